#include "api/simulation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>

#include "api/client.h"
#include "ranking/random.h"

namespace fovea::api {
namespace {

constexpr std::chrono::milliseconds kTimeout{30'000};
constexpr int kTriesMax = 100;  // of a request that the server has no room for

std::vector<std::string> texts_of(const storage::Item& item, const std::string& attribute) {
  const auto found = item.attributes.find(attribute);
  if (found == item.attributes.end()) return {};
  if (const auto* text = std::get_if<std::string>(&found->second)) return {*text};
  if (const auto* texts = std::get_if<std::vector<std::string>>(&found->second)) return *texts;
  return {};
}

/// Calls again, after as long as the server says, while it has no room.
template <typename Call>
void patiently(Client& client, Call&& call) {
  for (int tries = 1;; ++tries) {
    try {
      return call();
    } catch (const Overloaded& overloaded) {
      if (tries == kTriesMax) throw std::runtime_error(client.explain(overloaded));
      std::this_thread::sleep_for(std::chrono::milliseconds(overloaded.retry_after_ms));
    } catch (const std::exception& error) {
      throw std::runtime_error(client.explain(error));
    }
  }
}

/// What the users of one connection add up to.
struct Sums {
  explicit Sums(std::size_t variants) : users(variants), acted(variants), expected(variants) {}

  std::vector<std::int64_t> users;
  std::vector<std::int64_t> acted;
  std::vector<double> expected;
  std::int64_t outside = 0;
  std::int64_t interleaved = 0;
};

class Players {
 public:
  Players(const HostPort& server, const TlsFiles& tls, const engine::Experiment& experiment,
          const Tastes& tastes, const SimulationOptions& options)
      : client_(server, kTimeout, tls),
        experiment_(experiment),
        tastes_(tastes),
        options_(options),
        sums_(experiment.variants.size()) {
    for (const Tastes::Taste& taste : tastes.list) {
      ends_.push_back((ends_.empty() ? 0 : ends_.back()) + taste.items.size());
      for (const std::string& item : taste.items) liked_by_[item].insert(taste.value);
    }
  }

  void play(std::size_t number) {
    ranking::Random random(ranking::mix(options_.seed) + number);
    const std::string user = fmt::format("sim-{}-{}", options_.seed, number);
    const Tastes::Taste& taste = any_taste(random);
    act_before(user, taste, random);
    const RankResponse shown = rank(user, nullptr);
    const auto variant = shown.variants.find(experiment_.name);
    if (variant == shown.variants.end()) {
      ++sums_.outside;
      return;
    }
    const auto arm = place(variant->second);
    ++(arm ? sums_.users[*arm] : sums_.interleaved);
    for (std::size_t v = 0; v < experiment_.variants.size(); ++v) {
      sums_.expected[v] +=
          acts(liked(rank(user, &experiment_.variants[v].name), taste), options_.habits);
    }
    if (act(user, shown, taste, random) && arm) ++sums_.acted[*arm];
  }

  const Sums& sums() const { return sums_; }

 private:
  /// As many like it as items have it.
  const Tastes::Taste& any_taste(ranking::Random& random) const {
    const std::size_t drawn = random.below(ends_.back());
    std::size_t taste = 0;
    while (ends_[taste] <= drawn) ++taste;
    return tastes_.list[taste];
  }

  std::optional<std::size_t> place(const std::string& variant) const {
    for (std::size_t v = 0; v < experiment_.variants.size(); ++v) {
      if (experiment_.variants[v].name == variant) return v;
    }
    return std::nullopt;
  }

  Event event(const std::string& user, const std::string& item) const {
    Event event;
    event.user_id = user;
    event.item_id = item;
    event.action = *experiment_.success;
    return event;
  }

  void record(const Event& event) {
    patiently(client_, [&] { client_->record({event}); });
  }

  void act_before(const std::string& user, const Tastes::Taste& taste, ranking::Random& random) {
    for (std::size_t b = 0; b < options_.behaviours; ++b) {
      Event before = event(user, taste.items[random.below(taste.items.size())]);
      before.__set_time_ms(before_ms_ + static_cast<std::int64_t>(b));
      before.__set_event_id(fmt::format("{}-before-{}", user, b));
      record(before);
    }
  }

  RankResponse rank(const std::string& user, const std::string* variant) {
    RankRequest request;
    request.__set_user_id(user);
    request.__set_limit(options_.limit);
    if (variant != nullptr) request.__set_variants({{experiment_.name, *variant}});
    RankResponse response;
    patiently(client_, [&] { client_->rank(response, request); });
    return response;
  }

  std::vector<bool> liked(const RankResponse& response, const Tastes::Taste& taste) const {
    std::vector<bool> liked;
    for (const RankedItem& item : response.items) {
      const auto tastes = liked_by_.find(item.item_id);
      liked.push_back(tastes != liked_by_.end() && tastes->second.contains(taste.value));
    }
    return liked;
  }

  bool act(const std::string& user, const RankResponse& shown, const Tastes::Taste& taste,
           ranking::Random& random) {
    const std::vector<bool> likes = liked(shown, taste);
    for (std::size_t i = 0; i < likes.size(); ++i) {
      if (random.uniform() < (likes[i] ? options_.habits.liked : options_.habits.other)) {
        Event acted = event(user, shown.items[i].item_id);
        acted.__set_request_id(shown.request_id);
        record(acted);
        return true;
      }
      if (random.uniform() >= options_.habits.patience) return false;
    }
    return false;
  }

  Client client_;
  const engine::Experiment& experiment_;
  const Tastes& tastes_;
  const SimulationOptions& options_;
  Sums sums_;
  /// An hour ago: what lies before the list must not share its millisecond.
  const std::int64_t before_ms_ =
      std::chrono::duration_cast<std::chrono::milliseconds>(
          (std::chrono::system_clock::now() - std::chrono::hours(1)).time_since_epoch())
          .count();
  std::vector<std::size_t> ends_;  // by taste: items of it and of those before
  std::unordered_map<std::string, std::set<std::string>> liked_by_;  // by item
};

}  // namespace

Tastes tastes_of(const storage::Catalog& catalog, const std::string& attribute) {
  std::map<std::string, std::vector<std::string>> items;
  std::set<std::string> others;
  catalog.for_each([&](const storage::StoredItem& item) {
    for (const auto& [name, value] : item.attributes) {
      if (!texts_of(item, name).empty()) others.insert(name);
    }
    for (const std::string& text : texts_of(item, attribute)) items[text].push_back(item.item_id);
  });
  if (items.empty()) {
    throw std::runtime_error(fmt::format(
        "no item has a text in the attribute '{}', by which tastes would differ; there are: {}",
        attribute, others.empty() ? "none" : fmt::format("{}", fmt::join(others, ", "))));
  }
  if (items.size() == 1) {
    throw std::runtime_error(
        fmt::format("every item's '{}' is '{}', so that all users would have one taste", attribute,
                    items.begin()->first));
  }
  Tastes tastes{attribute, {}};
  for (auto& [value, ids] : items) tastes.list.push_back({value, std::move(ids)});
  return tastes;
}

double acts(const std::vector<bool>& liked, const Habits& habits) {
  double arrives = 1;
  double acted = 0;
  for (const bool likes : liked) {
    const double here = likes ? habits.liked : habits.other;
    acted += arrives * here;
    arrives *= (1 - here) * habits.patience;
  }
  return acted;
}

double Simulation::planted_lift(std::size_t arm) const {
  return arms[arm].expected / arms[0].expected - 1;
}

Simulation simulate(const HostPort& server, const TlsFiles& tls,
                    const engine::Experiment& experiment, const Tastes& tastes,
                    const SimulationOptions& options,
                    const std::function<void(std::size_t)>& progress) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;  // guards what follows
  std::string failure;
  Sums sums(experiment.variants.size());
  const auto add = [&](const Sums& part) {
    for (std::size_t v = 0; v < experiment.variants.size(); ++v) {
      sums.users[v] += part.users[v];
      sums.acted[v] += part.acted[v];
      sums.expected[v] += part.expected[v];
    }
    sums.outside += part.outside;
    sums.interleaved += part.interleaved;
  };
  const auto play = [&] {
    try {
      Players players(server, tls, experiment, tastes, options);
      while (!failed) {
        const std::size_t number = next++;
        if (number >= options.users) break;
        players.play(number);
        progress(number + 1);
      }
      const std::lock_guard lock(mutex);
      add(players.sums());
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex);
      if (!failed.exchange(true)) failure = error.what();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < options.connections; ++t) threads.emplace_back(play);
  }
  if (failed) throw std::runtime_error(failure);

  Simulation result;
  result.outside = sums.outside;
  result.interleaved = sums.interleaved;
  const auto inside = static_cast<double>(static_cast<std::int64_t>(options.users) - sums.outside);
  for (std::size_t v = 0; v < experiment.variants.size(); ++v) {
    result.arms.push_back({experiment.variants[v].name, sums.users[v], sums.acted[v],
                           inside > 0 ? sums.expected[v] / inside : 0});
  }
  return result;
}

}  // namespace fovea::api
