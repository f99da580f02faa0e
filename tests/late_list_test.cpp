// Claim: where reranking takes ten times as long as the caller can wait, the list comes all the
// same, in the order of retrieval and marked with the reason; behind a real server, by a reranker
// that really is that slow. How late the list is, which depends on the machine, is measured by
// tests/benchmarks/deadline_benchmark.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/server.h"
#include "engine/pipeline.h"
#include "tests/sanitized.h"
#include "tests/slow_shop.h"

namespace fovea::api {
namespace {

using testing::HasSubstr;

constexpr int kTries = 20;
constexpr std::int32_t kShown = 50;

class LateList : public testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    options.port = 0;
    options.threads = 2;
    server_.emplace(shop_.engine(), options);
    server_->start();
  }

  RankRequest request() const {
    RankRequest request;
    request.__set_user_id(engine::SlowShop::kUser);
    request.__set_candidates(shop_.items());
    request.__set_limit(kShown);
    return request;
  }

  /// A tenth of what reranking takes on this machine, now; half of it with sanitizers, with which
  /// the names alone take as long as a tenth to read.
  std::int32_t part_of_reranking_ms() {
    Client client({"127.0.0.1", server_->port()});
    std::int64_t least_us = INT64_MAX;
    for (int i = 0; i < 3; ++i) {
      RankResponse whole;
      RankRequest patient = request();
      patient.__set_deadline_ms(60'000);
      client->rank(whole, patient);
      EXPECT_FALSE(whole.degraded);
      least_us = std::min(least_us, whole.stage_us.at("rerank"));
    }
    return std::max<std::int32_t>(
        2, static_cast<std::int32_t>(least_us / 1000 / unless_sanitized(10, 2)));
  }

  std::vector<std::string> in_order_of_retrieval() {
    engine::RankRequest plain;
    plain.user_id = engine::SlowShop::kUser;
    plain.candidates = shop_.items();
    const engine::Snapshot snapshot = shop_.engine().snapshot();
    std::vector<std::string> ids;
    for (const auto& candidate :
         engine::candidates(snapshot, engine::history(snapshot, plain, 0)).items) {
      if (ids.size() == kShown) break;
      ids.push_back(snapshot.db->catalog().item_id(candidate.row));
    }
    return ids;
  }

  /// On a machine that is busy elsewhere a request may be due before its turn; that is said, and
  /// others are not.
  void expect_late_lists(const RankRequest& hurried) {
    const auto expected = in_order_of_retrieval();
    Client client({"127.0.0.1", server_->port()});
    int lists = 0;
    for (int i = 0; i < kTries; ++i) {
      try {
        RankResponse response;
        client->rank(response, hurried);
        ++lists;
        ASSERT_TRUE(response.degraded);
        EXPECT_THAT(response.degraded_reason, HasSubstr("in the order of retrieval: the deadline"));
        std::vector<std::string> got;
        for (const auto& item : response.items) got.push_back(item.item_id);
        ASSERT_EQ(got, expected);
      } catch (const Overloaded& refused) {
        EXPECT_THAT(refused.message, HasSubstr("deadline"));
      }
    }
    EXPECT_GT(lists, 0);
  }

  engine::SlowShop shop_;
  std::optional<Server> server_;
};

TEST_F(LateList, IsInTheOrderOfRetrievalAndSaysWhy) {
  start();
  RankRequest hurried = request();
  hurried.__set_deadline_ms(part_of_reranking_ms());
  expect_late_lists(hurried);
}

TEST_F(LateList, IsSoByTheServersDefaultToo) {
  start();
  const auto deadline = std::chrono::milliseconds{part_of_reranking_ms()};
  server_->stop();
  start({.deadline_default = deadline});
  expect_late_lists(request());
}

// The parts between which reranking asks for the time.
TEST_F(LateList, IsScoredInPartsAsItWouldBeAlone) {
  start();
  Client client({"127.0.0.1", server_->port()});
  RankResponse all;
  client->rank(all, request());
  ASSERT_EQ(all.items.size(), kShown);
  for (const auto& item : all.items) {
    RankRequest one = request();
    one.__set_candidates({item.item_id});
    RankResponse alone;
    client->rank(alone, one);
    ASSERT_EQ(alone.items.size(), 1);
    EXPECT_NEAR(alone.items.front().score, item.score, 1e-3) << item.item_id;
  }
}

}  // namespace
}  // namespace fovea::api
