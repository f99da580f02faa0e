// Claim: where a deadline comes near, the list comes at once and says what it lacks; where it has
// passed, nothing is begun. The clock is moved by hand: it jumps when it is asked for the n-th
// time, for every n.
#include "engine/deadline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/pipeline.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kWithin{20};
constexpr milliseconds kNear{19};  // a tenth is kept to answer

/// A deadline whose clock stands still until it is asked for the n-th time, and then is at `late`.
struct Jump {
  explicit Jump(int asked_at, milliseconds late_by = kNear) : at(asked_at), late(late_by) {}

  Deadline deadline() {
    asked = 0;
    return {{}, kWithin, [this] {
              return Deadline::Clock::time_point(++asked >= at ? late : milliseconds{0});
            }};
  }

  int at;
  milliseconds late;
  int asked = 0;
};

class DeadlineTest : public testing::Test {
 protected:
  DeadlineTest() : engine_(shop_.open()) {
    shop_.stock(*engine_);
    shop_.publish(shop_.learned_version(engine_->db()));
    engine_->reload();
  }

  static RankRequest request() {
    RankRequest made;
    made.user_id = "user-0";
    made.exclude_items = {"soup-1"};
    return made;
  }
  static std::vector<std::pair<std::string, double>> list(const RankResponse& response) {
    std::vector<std::pair<std::string, double>> items;
    for (const auto& item : response.items) items.emplace_back(item.item_id, item.score);
    return items;
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(DeadlineTest, OneThatIsFarChangesNothing) {
  const auto without = engine_->rank(request());
  Jump never(1 << 30);
  auto with = request();
  with.deadline = never.deadline();
  const auto response = engine_->rank(with);
  EXPECT_FALSE(response.degraded);
  EXPECT_EQ(list(response), list(without));
  EXPECT_GT(never.asked, 5) << "asked between the parts of the reranking";
}

TEST_F(DeadlineTest, OneThatComesNearAtAnyPointLeavesTheOrderOfRetrievalAndSaysSo) {
  const auto whole = list(engine_->rank(request()));
  const Snapshot snapshot = engine_->snapshot();
  const Question question = history(snapshot, request(), shop_.now_ms);
  std::vector<std::string> retrieved;
  for (const auto& candidate : candidates(snapshot, question).items) {
    retrieved.push_back(engine_->db().catalog().item_id(candidate.row));
  }
  retrieved.resize(whole.size());

  Jump never(1 << 30);
  auto counting = request();
  counting.deadline = never.deadline();
  engine_->rank(counting);
  // The first is whether it has passed already; one that comes after the reranking is in time.
  for (int at = 2; at <= never.asked; ++at) {
    SCOPED_TRACE(at);
    Jump jump(at);
    auto late = request();
    late.deadline = jump.deadline();
    const auto response = engine_->rank(late);
    ASSERT_TRUE(response.degraded);
    EXPECT_THAT(*response.degraded_reason, HasSubstr("the deadline of 20 ms came near"));
    EXPECT_EQ(jump.asked, at) << "work went on after it";
    EXPECT_EQ(ids(response), retrieved);
    EXPECT_TRUE(std::ranges::is_sorted(response.items, std::ranges::greater{}, &RankedItem::score));
  }
  // What was cut short leaves nothing behind.
  EXPECT_EQ(list(engine_->rank(request())), whole);
}

TEST_F(DeadlineTest, OneThatHasPassedIsNotBegun) {
  Jump passed(1, kWithin);
  auto late = request();
  late.deadline = passed.deadline();
  try {
    engine_->rank(late);
    FAIL() << "it was answered";
  } catch (const DeadlinePassed& error) {
    EXPECT_THAT(error.what(), HasSubstr("20 ms"));
  }
  EXPECT_TRUE(engine_->db().exposures().read("user-0", 10).empty());
}

TEST_F(DeadlineTest, AnExplanationIsCutShortBeforeTheList) {
  auto explained = request();
  explained.explain = true;
  Jump never(1 << 30);
  explained.deadline = never.deadline();
  const auto whole = engine_->rank(explained);
  ASSERT_FALSE(whole.degraded);
  Jump last(never.asked);
  explained.deadline = last.deadline();
  const auto response = engine_->rank(explained);
  EXPECT_TRUE(response.degraded);
  EXPECT_THAT(*response.degraded_reason, HasSubstr("rank_without_top_event"));
  EXPECT_EQ(list(response), list(whole));
  EXPECT_FALSE(std::ranges::all_of(response.items, [](const RankedItem& item) {
    return item.explanation->rank_without_top_event.has_value();
  }));
}

TEST_F(DeadlineTest, UsersWithoutHistoryAreAnsweredInFull) {
  Jump jump(2);
  RankRequest stranger;
  stranger.user_id = "nobody";
  stranger.deadline = jump.deadline();
  const auto response = engine_->rank(stranger);
  EXPECT_FALSE(response.degraded) << "popularity takes no time";
  EXPECT_EQ(response.items.size(), 20U);
}

}  // namespace
}  // namespace fovea::engine
