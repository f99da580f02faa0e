// Team draft: each item once, from whose list it says, and neither list before the other.
#include "engine/interleaving.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>
#include <set>
#include <vector>

namespace fovea::engine {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

bool anything(std::uint32_t) { return true; }

std::vector<std::uint32_t> shuffled(std::size_t n, std::uint64_t seed) {
  std::vector<std::uint32_t> rows(n);
  std::iota(rows.begin(), rows.end(), 0U);
  std::shuffle(rows.begin(), rows.end(), std::mt19937_64(seed));
  return rows;
}

TEST(TeamDraft, TakesInEachRoundTheBestThatIsLeftOfEachList) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<std::vector<std::uint32_t>> lists = {shuffled(30, 2 * seed),
                                                           shuffled(30, 2 * seed + 1)};
    const auto drafted = team_draft(lists[0], lists[1], 20, seed, anything);
    ASSERT_THAT(drafted, SizeIs(20));
    std::set<std::uint32_t> taken;
    for (std::size_t i = 0; i < drafted.size(); ++i) {
      const auto best = std::ranges::find_if(
          lists[drafted[i].team], [&](std::uint32_t row) { return !taken.contains(row); });
      EXPECT_EQ(drafted[i].row, *best);
      EXPECT_TRUE(taken.insert(drafted[i].row).second);
      if (i % 2 == 1) {
        EXPECT_NE(drafted[i].team, drafted[i - 1].team) << "both take in a round";
      }
    }
  }
}

TEST(TeamDraft, EachListIsFirstInHalfOfTheRounds) {
  const auto first = shuffled(200, 1);
  const auto second = shuffled(200, 2);
  int led = 0;
  int rounds = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto drafted = team_draft(first, second, 100, seed, anything);
    for (std::size_t i = 0; i < drafted.size(); i += 2) {
      led += drafted[i].team == 0 ? 1 : 0;
      ++rounds;
    }
  }
  EXPECT_EQ(rounds, 5000);
  EXPECT_NEAR(led, 2500, 212) << "six deviations of 35";
}

TEST(TeamDraft, IsAFunctionOfItsSeed) {
  const auto first = shuffled(50, 1);
  const auto second = shuffled(50, 2);
  const auto teams = [&](std::uint64_t seed) {
    std::vector<int> all;
    for (const auto& one : team_draft(first, second, 40, seed, anything)) all.push_back(one.team);
    return all;
  };
  EXPECT_EQ(teams(5), teams(5));
  EXPECT_NE(teams(5), teams(6));
}

TEST(TeamDraft, EqualListsAreTheListItself) {
  const auto list = shuffled(20, 3);
  const auto drafted = team_draft(list, list, 20, 9, anything);
  ASSERT_THAT(drafted, SizeIs(20));
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(drafted[i].row, list[i]);
}

TEST(TeamDraft, WhereOneListEndsTheOtherGoesOn) {
  const std::vector<std::uint32_t> one = {7};
  const std::vector<std::uint32_t> many = {7, 1, 2, 3};
  EXPECT_THAT(team_draft(one, many, 10, 1, anything), SizeIs(4));
  EXPECT_THAT(team_draft(many, one, 3, 1, anything), SizeIs(3));
  EXPECT_THAT(team_draft({}, many, 10, 1, anything), SizeIs(4));
  EXPECT_THAT(team_draft({}, {}, 10, 1, anything), IsEmpty());
  EXPECT_THAT(team_draft(many, many, 0, 1, anything), IsEmpty());
}

TEST(TeamDraft, PassesOverWhatIsRefused) {
  const auto first = shuffled(30, 4);
  const auto second = shuffled(30, 5);
  const auto even = [](std::uint32_t row) { return row % 2 == 0; };
  const auto drafted = team_draft(first, second, 30, 1, even);
  EXPECT_THAT(drafted, SizeIs(15));
  for (const auto& one : drafted) EXPECT_TRUE(even(one.row));
}

}  // namespace
}  // namespace fovea::engine
