// Rules over scored candidates: what diversity, caps and pins each promise, alone and together, on
// random lists against a plain reading of the same promises.
#include "engine/policy.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "tests/plain_policy.h"

namespace fovea::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::size_t> candidates_of(const std::vector<Placed>& page) {
  std::vector<std::size_t> result;
  for (const auto& placed : page) result.push_back(placed.candidate);
  return result;
}

/// Scores n, n - 1, ..: candidate i stands at place i.
struct List {
  explicit List(std::size_t n) : by_score(n), scores(n) {
    std::iota(by_score.begin(), by_score.end(), std::size_t{0});
    for (std::size_t i = 0; i < n; ++i) scores[i] = static_cast<double>(n - i);
  }
  std::vector<std::size_t> page(const Rules& rules) const {
    return candidates_of(arrange(by_score, scores, rules));
  }
  std::vector<std::size_t> by_score;
  std::vector<double> scores;
};

TEST(Policy, WithoutRulesTheOrderIsByScore) {
  EXPECT_THAT(List(5).page({.limit = 3}), ElementsAre(0, 1, 2));
  EXPECT_THAT(List(2).page({.limit = 3}), ElementsAre(0, 1));
  EXPECT_TRUE(List(0).page({.limit = 3}).empty());
}

TEST(Policy, PinsStandWhereTheyArePinned) {
  EXPECT_THAT(List(6).page({.limit = 4, .pins = {{5, 0}, {4, 2}}}), ElementsAre(5, 0, 4, 1));
  EXPECT_THAT(List(6).page({.limit = 3, .pins = {{0, 2}}}), ElementsAre(1, 2, 0));
  // Beyond this page: held back for its own.
  EXPECT_THAT(List(6).page({.limit = 3, .pins = {{0, 3}}}), ElementsAre(1, 2, 3));
  EXPECT_THAT(List(6).page({.limit = 3, .first = 3, .pins = {{0, 3}}}), ElementsAre(0, 1, 2));
  // A list that ends before the place.
  EXPECT_THAT(List(3).page({.limit = 9, .pins = {{0, 8}}}), ElementsAre(1, 2, 0));
}

TEST(Policy, CapsPassOverWhatIsTooMuch) {
  const AttributeKey one{.bits = 1}, two{.bits = 2}, three{.bits = 3};
  CapValues cap{"genre", 1, {{one}, {one}, {two}, {}, {two, three}, {three}}};
  const auto page = arrange(List(6).by_score, List(6).scores, {.limit = 4, .caps = {cap}});
  EXPECT_THAT(candidates_of(page), ElementsAre(0, 2, 3, 5));
  EXPECT_TRUE(page[0].moved_by.empty());
  EXPECT_THAT(page[1].moved_by.at(0), HasSubstr("at most 1 of one genre"));
  // A pin counts and is not held back.
  EXPECT_THAT(List(6).page({.limit = 4, .caps = {cap}, .pins = {{1, 2}}}), ElementsAre(2, 3, 1, 5));
}

TEST(Policy, DiversityTradesScoreForDifference) {
  // Two groups of equal directions: 0, 1, 2 and 3, 4.
  const std::vector<float> vectors = {1, 0, 1, 0, 1, 0, 0, 1, 0, 1};
  Rules rules{.limit = 4, .diversity = 0.5, .vectors = vectors, .width = 2};
  const auto page = arrange(List(5).by_score, List(5).scores, rules);
  EXPECT_THAT(candidates_of(page), ElementsAre(0, 3, 1, 2));
  EXPECT_THAT(page[1].moved_by.at(0), HasSubstr("from 3 by score"));
  rules.diversity = 0;
  EXPECT_THAT(List(5).page(rules), ElementsAre(0, 1, 2, 3));
}

TEST(Policy, RandomListsAreArrangedAsTheHeaderSays) {
  std::mt19937 random(5);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  for (int round = 0; round < 300; ++round) {
    List list(1 + below(60));
    for (double& score : list.scores) score = static_cast<double>(below(1000)) / 50;
    std::ranges::stable_sort(list.by_score,
                             [&](auto a, auto b) { return list.scores[a] > list.scores[b]; });
    Rules rules{.limit = 1 + below(30), .first = below(3) * 10};
    rules.width = 4;
    std::vector<float> vectors(list.scores.size() * rules.width);
    for (std::size_t i = 0; i < list.scores.size(); ++i) {
      double square = 0;
      for (std::size_t d = 0; d < 4; ++d) {
        vectors[4 * i + d] = static_cast<float>(below(7)) - 3;
        square += vectors[4 * i + d] * static_cast<double>(vectors[4 * i + d]);
      }
      for (std::size_t d = 0; d < 4 && square > 0; ++d) {
        vectors[4 * i + d] /= static_cast<float>(std::sqrt(square));
      }
    }
    rules.vectors = vectors;
    if (below(2) == 0) rules.diversity = static_cast<double>(1 + below(10)) / 10;
    for (std::size_t c = below(3); c > 0; --c) {
      CapValues& cap = rules.caps.emplace_back(CapValues{"a", 1 + below(3)});
      for (std::size_t i = 0; i < list.scores.size(); ++i) {
        std::set<AttributeKey> keys;
        for (std::size_t k = below(3); k > 0; --k) keys.insert({.bits = below(8)});
        cap.keys.emplace_back(keys.begin(), keys.end());
      }
    }
    std::set<std::size_t> pinned, positions;
    for (std::size_t p = below(4); p > 0; --p) {
      const std::size_t candidate = below(list.scores.size());
      const std::size_t position = below(40);
      if (!pinned.insert(candidate).second || !positions.insert(position).second) continue;
      rules.pins.push_back({candidate, position});
    }
    EXPECT_EQ(list.page(rules), plainly(list.by_score, list.scores, rules)) << "round " << round;
  }
}

}  // namespace
}  // namespace fovea::engine
