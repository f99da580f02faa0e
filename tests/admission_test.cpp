// Claim: what would wait too long is refused at once, and only that.
#include "api/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace fovea::api {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

Admission worked_in(milliseconds each, const Admission::Options& options) {
  Admission admission(options);
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(admission.enter());
    admission.leave(each);
  }
  return admission;
}

TEST(Admission, LetsInWhatAWorkerIsFreeFor) {
  Admission admission = worked_in(milliseconds{50}, {.workers = 2, .wait_max = milliseconds{1}});
  EXPECT_FALSE(admission.enter());
  EXPECT_FALSE(admission.enter());
  EXPECT_TRUE(admission.enter()) << "both are busy, for 50 ms";
  admission.leave(milliseconds{50});
  EXPECT_FALSE(admission.enter());
}

TEST(Admission, RefusesWhatWouldWaitLongerThanItMayAndSaysHowLong) {
  // Four workers do 400 requests a second: 100 ms are 40 requests behind those in work.
  Admission admission = worked_in(milliseconds{10}, {.workers = 4, .wait_max = milliseconds{100}});
  std::size_t let_in = 0;
  std::optional<Admission::Refusal> refusal;
  while (!(refusal = admission.enter())) ++let_in;
  EXPECT_NEAR(static_cast<double>(let_in), 43, 1);
  EXPECT_THAT(refusal->message, HasSubstr("100 ms is the limit"));
  EXPECT_GT(refusal->retry_after, milliseconds{100});
  EXPECT_LT(refusal->retry_after, milliseconds{110});
}

TEST(Admission, FollowsHowLongRequestsTake) {
  Admission admission = worked_in(milliseconds{1}, {.workers = 1, .wait_max = milliseconds{100}});
  const auto room = [&] {
    std::size_t let_in = 0;
    while (!admission.enter()) ++let_in;
    for (std::size_t i = 0; i < let_in; ++i) admission.leave(std::nullopt);
    return let_in;
  };
  EXPECT_GT(room(), 90U);
  for (int i = 0; i < 200; ++i) {
    ASSERT_FALSE(admission.enter());
    admission.leave(milliseconds{20});
  }
  EXPECT_LT(room(), 8U);
}

TEST(Admission, OneThatTakesForeverDoesNotKeepTheOthersOut) {
  Admission admission = worked_in(milliseconds{1}, {.workers = 1, .wait_max = milliseconds{100}});
  ASSERT_FALSE(admission.enter());
  admission.leave(std::chrono::hours{1});
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(admission.enter());
}

TEST(Admission, ItsQueueEndsEvenWhereNothingIsKnownOfTime) {
  Admission admission({.workers = 1, .requests_max = 3});
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(admission.enter());
  const auto refusal = admission.enter();
  ASSERT_TRUE(refusal);
  EXPECT_THAT(refusal->message, HasSubstr("3 requests"));
  EXPECT_GT(refusal->retry_after.count(), 0);
  admission.leave(std::nullopt);
  EXPECT_FALSE(admission.enter());
}

}  // namespace
}  // namespace fovea::api
