// See unseen.h.
#include "ranking/unseen.h"

#include <algorithm>
#include <cmath>

#include "ranking/random.h"

namespace fovea::ranking {
namespace {

// More say no more than these, and each holds a copy of its history.
constexpr std::size_t kQuestionsMax = 50'000;

// Where in `user` the behaviours stand that become questions, oldest first.
std::vector<std::size_t> targets(std::span<const Behaviour> user, const TrainData& data,
                                 std::int64_t after_ms, const TrainOptions& options) {
  std::vector<std::size_t> positive;
  for (std::size_t i = 0; i < user.size(); ++i) {
    if (data.action_weights[user[i].action] > 0) positive.push_back(i);
  }
  const std::size_t wanted =
      std::clamp<std::size_t>(positive.size() / 10, 1, options.ranker_examples);
  if (positive.size() > wanted) {
    positive.erase(positive.begin(), positive.end() - static_cast<std::ptrdiff_t>(wanted));
  }
  if (!positive.empty() && positive.front() == 0) positive.erase(positive.begin());
  std::erase_if(positive, [&](std::size_t i) { return user[i].time_ms <= after_ms; });
  return positive;
}

}  // namespace

Unseen hold_out_newest(const TrainData& data, std::int64_t after_ms, const TrainOptions& options) {
  const std::size_t users = data.interactions.users();
  std::vector<std::size_t> order(users);
  for (std::size_t u = 0; u < users; ++u) order[u] = u;
  Random random(options.seed + 29);
  for (std::size_t u = users; u > 1; --u) std::swap(order[u - 1], order[random.below(u)]);
  std::vector<char> asked(users);
  std::size_t questions = 0;
  for (const std::size_t u : order) {
    if (questions >= kQuestionsMax) break;
    asked[u] = 1;
    questions += targets(data.interactions.user(u), data, after_ms, options).size();
  }

  Unseen unseen;
  for (std::size_t u = 0; u < users; ++u) {
    const auto user = data.interactions.user(u);
    const auto held_out =
        asked[u] != 0 ? targets(user, data, after_ms, options) : std::vector<std::size_t>();
    unseen.sequences.add_user(held_out.empty() ? user : user.first(held_out.front()));
    for (const std::size_t target : held_out) {
      const auto before = user.first(target);
      unseen.questions.push_back(
          {static_cast<std::uint32_t>(u), {before.begin(), before.end()}, user[target]});
    }
  }
  return unseen;
}

std::vector<float> log_popularity(const Interactions& interactions, std::size_t items,
                                  std::span<const float> action_weights) {
  std::vector<float> result(items);
  for (const Behaviour& b : interactions.behaviours) {
    if (action_weights[b.action] > 0) result[b.row] += 1;
  }
  for (float& x : result) x = std::log1p(x);
  return result;
}

}  // namespace fovea::ranking
