#include "engine/split.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "engine/request.h"

namespace fovea::engine {
namespace {

using ranking::Behaviour;
using ranking::HeldOut;
using ranking::Interactions;

bool positive(const Behaviour& behaviour, std::span<const float> action_weights) {
  return behaviour.action >= action_weights.size() || action_weights[behaviour.action] > 0;
}

HeldOut held_out(std::size_t user, std::span<const Behaviour> history, const Behaviour& target) {
  return {static_cast<std::uint32_t>(user), {history.begin(), history.end()}, target};
}

/// Keeps the first `kept` behaviours of each user, in place. Reads run ahead of writes, so nothing
/// is lost.
class Shortener {
 public:
  explicit Shortener(Interactions& interactions) : interactions_(interactions) {}

  void keep_first(std::size_t user, std::size_t kept) {
    const auto from = interactions_.behaviours.begin() + static_cast<std::ptrdiff_t>(begin_);
    begin_ = interactions_.offsets[user + 1];  // the next user's begin, before it is overwritten
    std::copy(from, from + static_cast<std::ptrdiff_t>(kept),
              interactions_.behaviours.begin() + static_cast<std::ptrdiff_t>(written_));
    written_ += kept;
    interactions_.offsets[user + 1] = written_;
  }
  void finish() { interactions_.behaviours.resize(written_); }

  /// Of the user whose turn it is.
  std::span<const Behaviour> behaviours(std::size_t user) const {
    return {interactions_.behaviours.data() + begin_, interactions_.offsets[user + 1] - begin_};
  }

 private:
  Interactions& interactions_;
  std::uint64_t begin_ = 0;  // where the user whose turn it is begins in the untouched part
  std::uint64_t written_ = 0;
};

SplitData leave_one_out(Interactions all, std::span<const float> action_weights) {
  constexpr std::size_t kTargetsMin = 3;  // one to learn from, one to validate, one to test
  SplitData result;
  Shortener shortener(all);
  for (std::size_t user = 0; user < all.users(); ++user) {
    const std::span<const Behaviour> behaviours = shortener.behaviours(user);
    std::size_t last = 0;
    std::size_t before_last = 0;
    std::size_t targets = 0;
    for (std::size_t i = 0; i < behaviours.size(); ++i) {
      if (!positive(behaviours[i], action_weights)) continue;
      before_last = std::exchange(last, i);
      ++targets;
    }
    if (targets < kTargetsMin) {
      shortener.keep_first(user, behaviours.size());
      continue;
    }
    result.validation.push_back(
        held_out(user, behaviours.first(before_last), behaviours[before_last]));
    result.test.push_back(held_out(user, behaviours.first(last), behaviours[last]));
    shortener.keep_first(user, before_last);
  }
  shortener.finish();
  result.train = std::move(all);
  return result;
}

/// The question asked at `from_ms`: what the user did first from then on and before `to_ms`,
/// knowing what was before.
void ask_at(std::size_t user, std::span<const Behaviour> behaviours, std::int64_t from_ms,
            std::int64_t to_ms, std::span<const float> action_weights,
            std::vector<HeldOut>& questions) {
  const auto begin = std::partition_point(behaviours.begin(), behaviours.end(),
                                          [&](const Behaviour& b) { return b.time_ms < from_ms; });
  if (begin == behaviours.begin()) return;  // nothing is known of the user yet
  const auto target = std::find_if(begin, behaviours.end(),
                                   [&](const Behaviour& b) { return positive(b, action_weights); });
  if (target == behaviours.end() || target->time_ms >= to_ms) return;
  questions.push_back(held_out(user, {behaviours.begin(), begin}, *target));
}

SplitData by_time(Interactions all, std::span<const float> action_weights) {
  SplitData result;
  if (all.behaviours.empty()) {
    result.train = std::move(all);
    return result;
  }
  std::vector<std::int64_t> times(all.behaviours.size());
  std::transform(all.behaviours.begin(), all.behaviours.end(), times.begin(),
                 [](const Behaviour& b) { return b.time_ms; });
  const auto point = [&times](std::size_t percent) {
    const auto nth = times.begin() + static_cast<std::ptrdiff_t>(times.size() * percent / 100);
    std::nth_element(times.begin(), nth, times.end());
    return *nth;
  };
  const std::int64_t validation_ms = point(80);
  const std::int64_t test_ms = point(90);
  constexpr std::int64_t kEver = std::numeric_limits<std::int64_t>::max();

  Shortener shortener(all);
  for (std::size_t user = 0; user < all.users(); ++user) {
    const std::span<const Behaviour> behaviours = shortener.behaviours(user);
    ask_at(user, behaviours, validation_ms, test_ms, action_weights, result.validation);
    ask_at(user, behaviours, test_ms, kEver, action_weights, result.test);
    const auto trains =
        std::partition_point(behaviours.begin(), behaviours.end(),
                             [&](const Behaviour& b) { return b.time_ms < validation_ms; });
    shortener.keep_first(user, static_cast<std::size_t>(trains - behaviours.begin()));
  }
  shortener.finish();
  result.train = std::move(all);
  return result;
}

}  // namespace

Split parse_split(std::string_view name) {
  if (name == "none") return Split::kNone;
  if (name == "leave-one-out") return Split::kLeaveOneOut;
  if (name == "time") return Split::kTime;
  throw InvalidRequest(
      "split", "the split is \"" + std::string(name) + "\"; it is none, leave-one-out or time");
}

std::string_view name(Split split) {
  switch (split) {
    case Split::kNone:
      return "none";
    case Split::kLeaveOneOut:
      return "leave-one-out";
    case Split::kTime:
      return "time";
  }
  return "none";
}

SplitData split(Interactions all, Split how, std::span<const float> action_weights) {
  switch (how) {
    case Split::kLeaveOneOut:
      return leave_one_out(std::move(all), action_weights);
    case Split::kTime:
      return by_time(std::move(all), action_weights);
    case Split::kNone:
      break;
  }
  SplitData result;
  result.train = std::move(all);
  return result;
}

}  // namespace fovea::engine
