// What the ranker is fitted on: the newest tenth of each user's behaviours, never what encoder and
// transitions under it have learned.
#include "ranking/unseen.h"

#include <gmock/gmock.h>

#include <limits>

#include "ranking/ease.h"

namespace fovea::ranking {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kAlways = std::numeric_limits<std::int64_t>::min();

/// Rows 0, 1, 2, ... a second apart; every action 1 unless said otherwise.
std::vector<Behaviour> history(std::size_t n) {
  std::vector<Behaviour> behaviours(n);
  for (std::size_t i = 0; i < n; ++i) {
    behaviours[i] = {.row = static_cast<std::uint32_t>(i),
                     .action = 1,
                     .time_ms = static_cast<std::int64_t>(i) * 1000};
  }
  return behaviours;
}

TrainData data_of(const std::vector<std::vector<Behaviour>>& users) {
  TrainData data;
  for (const auto& user : users) data.interactions.add_user(user);
  data.items = 200;
  data.action_weights = {1, 1, -1};
  return data;
}

std::vector<std::uint32_t> targets(const Unseen& unseen) {
  std::vector<std::uint32_t> rows;
  for (const HeldOut& question : unseen.questions) rows.push_back(question.target.row);
  return rows;
}

TEST(Unseen, AsksOfTheNewestTenthAtLeastOneAtMostTen) {
  const Unseen unseen =
      hold_out_newest(data_of({history(3), history(30), history(150)}), kAlways, {});
  EXPECT_THAT(targets(unseen),
              ElementsAre(2, 27, 28, 29, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149));
  EXPECT_EQ(unseen.sequences.user(0).size(), 2U);
  EXPECT_EQ(unseen.sequences.user(1).size(), 27U);
  EXPECT_EQ(unseen.sequences.user(2).size(), 140U) << "what is asked of is not learned from";
}

TEST(Unseen, AQuestionSeesAllThatCameBeforeItsTarget) {
  const Unseen unseen = hold_out_newest(data_of({history(20)}), kAlways, {});
  ASSERT_THAT(targets(unseen), ElementsAre(18, 19));
  EXPECT_EQ(unseen.questions[0].history.size(), 18U);
  EXPECT_EQ(unseen.questions[1].history.size(), 19U);
}

TEST(Unseen, PushedAwayItemsAndFirstBehavioursAreNeverAskedOf) {
  auto skipped = history(3);
  skipped[2].action = 2;
  EXPECT_THAT(targets(hold_out_newest(data_of({skipped, history(1)}), kAlways, {})),
              ElementsAre(1));
}

TEST(Unseen, WhatAModelMayHaveLearnedIsNotAskedOf) {
  const Unseen unseen = hold_out_newest(data_of({history(30), history(5)}), 27'500, {});
  EXPECT_THAT(targets(unseen), ElementsAre(28, 29));
  EXPECT_EQ(unseen.sequences.user(0).size(), 28U);
  EXPECT_EQ(unseen.sequences.user(1).size(), 5U);
}

TEST(Ease, OfTwoItemsIsTheirSharedUsersOverTheOthersUsersAndTheRidge) {
  // Users {0, 1}, {0, 1}, {0}: X'X = [[3, 2], [2, 2]]; B[0, 1] = 2 / (3 + r), B[1, 0] = 2 / (2 +
  // r).
  const auto both = history(2);
  const TrainData data = data_of({both, both, history(1)});
  const ItemPairs ease =
      solve_ease(data.interactions, data.items, data.action_weights, {.ridge = 1}, 1);
  EXPECT_NEAR(ease.weight(0, 1), 2.0 / 4, 1e-6);
  EXPECT_NEAR(ease.weight(1, 0), 2.0 / 3, 1e-6);
  EXPECT_EQ(ease.weight(0, 0), 0) << "an item says nothing of itself";
}

TEST(Ease, IsEmptyAboveItsLimit) {
  const TrainData data = data_of({history(5)});
  const ItemPairs ease =
      solve_ease(data.interactions, data.items, data.action_weights, {.items_max = 4}, 1);
  EXPECT_TRUE(ease.from(0).empty());
}

}  // namespace
}  // namespace fovea::ranking
