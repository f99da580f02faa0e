// What split holds out: the rules of leave-one-out and of the cut in time.
#include "engine/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/request.h"

namespace fovea::engine {
namespace {

using ranking::Behaviour;
using ranking::HeldOut;
using ranking::Interactions;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint16_t kView = 1;
constexpr std::uint16_t kSkip = 2;
constexpr float kWeights[] = {1, 1, -1};

Behaviour at(std::int64_t time_ms, std::uint32_t row, std::uint16_t action = kView) {
  return {row, action, 0, time_ms};
}

std::vector<std::uint32_t> rows(std::span<const Behaviour> behaviours) {
  std::vector<std::uint32_t> result;
  for (const Behaviour& behaviour : behaviours) result.push_back(behaviour.row);
  return result;
}

Interactions users(const std::vector<std::vector<Behaviour>>& each) {
  Interactions result;
  for (const auto& behaviours : each) result.add_user(behaviours);
  return result;
}

TEST(LeaveOneOut, TheLastTestsTheOneBeforeValidatesTheRestTrains) {
  const SplitData data = split(
      users({{at(1, 10), at(2, 11), at(3, 12), at(4, 13)}, {at(1, 20), at(2, 21), at(3, 22)}}),
      Split::kLeaveOneOut, kWeights);
  ASSERT_EQ(data.train.users(), 2U);
  EXPECT_THAT(rows(data.train.user(0)), ElementsAre(10, 11));
  EXPECT_THAT(rows(data.train.user(1)), ElementsAre(20));
  EXPECT_EQ(data.train.behaviours.size(), 3U);
  ASSERT_EQ(data.validation.size(), 2U);
  EXPECT_EQ(data.validation[0].target.row, 12U);
  EXPECT_THAT(rows(data.validation[0].history), ElementsAre(10, 11));
  ASSERT_EQ(data.test.size(), 2U);
  EXPECT_EQ(data.test[1].user, 1U);
  EXPECT_EQ(data.test[1].target.row, 22U);
  EXPECT_THAT(rows(data.test[1].history), ElementsAre(20, 21));
}

TEST(LeaveOneOut, UsersWithFewerThanThreeOnlyTrainAndKeepTheirPlace) {
  const SplitData data =
      split(users({{at(1, 10), at(2, 11)}, {}, {at(1, 20), at(2, 21), at(3, 22)}}),
            Split::kLeaveOneOut, kWeights);
  ASSERT_EQ(data.train.users(), 3U);
  EXPECT_THAT(rows(data.train.user(0)), ElementsAre(10, 11));
  EXPECT_THAT(rows(data.train.user(1)), IsEmpty());
  EXPECT_THAT(rows(data.train.user(2)), ElementsAre(20));
  ASSERT_EQ(data.test.size(), 1U);
  EXPECT_EQ(data.test[0].user, 2U);
}

TEST(LeaveOneOut, ASkipIsNeverATargetButStaysInHistories) {
  const SplitData data = split(users({{at(1, 10), at(2, 11), at(3, 12, kSkip), at(4, 13),
                                       at(5, 14, kSkip), at(6, 15), at(7, 16, kSkip)}}),
                               Split::kLeaveOneOut, kWeights);
  ASSERT_EQ(data.test.size(), 1U);
  EXPECT_EQ(data.test[0].target.row, 15U);
  EXPECT_THAT(rows(data.test[0].history), ElementsAre(10, 11, 12, 13, 14));
  EXPECT_EQ(data.validation[0].target.row, 13U);
  EXPECT_THAT(rows(data.train.user(0)), ElementsAre(10, 11, 12));
}

TEST(LeaveOneOut, ThreeBehavioursOfWhichOneIsASkipOnlyTrain) {
  const SplitData data =
      split(users({{at(1, 10), at(2, 11, kSkip), at(3, 12)}}), Split::kLeaveOneOut, kWeights);
  EXPECT_THAT(data.test, IsEmpty());
  EXPECT_THAT(rows(data.train.user(0)), ElementsAre(10, 11, 12));
}

TEST(TimeSplit, CutsEveryUserAtTheSameTwoPoints) {
  // Ten behaviours at times 0 .. 9: the points are 8 and 9.
  const SplitData data = split(users({{at(0, 10), at(2, 11), at(4, 12), at(8, 13), at(9, 14)},
                                      {at(1, 20), at(3, 21), at(5, 22), at(6, 23), at(7, 24)}}),
                               Split::kTime, kWeights);
  EXPECT_THAT(rows(data.train.user(0)), ElementsAre(10, 11, 12));
  EXPECT_THAT(rows(data.train.user(1)), ElementsAre(20, 21, 22, 23, 24));
  ASSERT_EQ(data.validation.size(), 1U);
  EXPECT_EQ(data.validation[0].target.row, 13U);
  ASSERT_EQ(data.test.size(), 1U);
  EXPECT_EQ(data.test[0].target.row, 14U);
  EXPECT_THAT(rows(data.test[0].history), ElementsAre(10, 11, 12, 13));
}

TEST(TimeSplit, AUserWithNothingBeforeThePointIsNotAsked) {
  std::vector<Behaviour> old;
  for (int i = 0; i < 18; ++i) old.push_back(at(i, 1));
  const SplitData data = split(users({old, {at(18, 2), at(19, 3)}}), Split::kTime, kWeights);
  for (const HeldOut& question : data.test) EXPECT_FALSE(question.history.empty());
  EXPECT_THAT(data.validation, testing::SizeIs(1));  // the first user, at its behaviour 16
  ASSERT_EQ(data.test.size(), 0U);                   // points 16 and 18: both are the new user's
}

TEST(TimeSplit, TheFirstBehaviourOfPositiveWeightIsTheTarget) {
  std::vector<Behaviour> behaviours;
  for (int i = 0; i < 20; ++i) behaviours.push_back(at(i, static_cast<std::uint32_t>(i)));
  behaviours[18].action = kSkip;
  const SplitData data = split(users({behaviours}), Split::kTime, kWeights);
  ASSERT_EQ(data.test.size(), 1U);
  EXPECT_EQ(data.test[0].target.row, 19U);
  EXPECT_EQ(data.test[0].history.size(), 18U);
}

TEST(Split, NoneTrainsOnEverything) {
  const SplitData data =
      split(users({{at(1, 1), at(2, 2), at(3, 3)}, {at(1, 4)}}), Split::kNone, kWeights);
  EXPECT_EQ(data.train.behaviours.size(), 4U);
  EXPECT_THAT(data.validation, IsEmpty());
  EXPECT_THAT(data.test, IsEmpty());
}

TEST(Split, NothingSplitsIntoNothing) {
  for (const Split how : {Split::kNone, Split::kLeaveOneOut, Split::kTime}) {
    const SplitData data = split({}, how, kWeights);
    EXPECT_EQ(data.train.users(), 0U);
    EXPECT_THAT(data.test, IsEmpty());
  }
}

TEST(Split, NamesAreReadBackAndOthersRefused) {
  for (const Split how : {Split::kNone, Split::kLeaveOneOut, Split::kTime}) {
    EXPECT_EQ(parse_split(name(how)), how);
  }
  try {
    parse_split("last");
    FAIL() << "an unknown split was taken";
  } catch (const InvalidRequest& error) {
    EXPECT_EQ(error.field, "split");
    EXPECT_THAT(error.what(), testing::HasSubstr("\"last\""));
  }
}

}  // namespace
}  // namespace fovea::engine
