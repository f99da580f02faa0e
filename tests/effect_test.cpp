// Claim: the first list after an acknowledged behaviour shows its effect, every time, whichever
// connection asks and whatever else the server does: under load of several connections, with a
// version that learned, with transitions counted anew and versions swapped meanwhile. How long that
// takes is measured by tests/benchmarks/effect_benchmark.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "api/client.h"
#include "api/server.h"
#include "tests/shop.h"

namespace fovea::api {
namespace {

constexpr int kRecorders = 4;
constexpr int kUsersOfEach = 15;
constexpr int kEventsOfEach = 30;  // of 80 items, so that some are always left to show
constexpr int kOthers = 4;         // connections that only ask

RankRequest request_of(const std::string& user) {
  RankRequest request;
  request.__set_user_id(user);
  request.__set_limit(5);
  return request;
}

bool shows(const RankResponse& response, const std::string& item_id) {
  return std::ranges::any_of(response.items,
                             [&](const RankedItem& item) { return item.item_id == item_id; });
}

/// Whether the model paid attention to the behaviour of this time.
bool attends_to(const RankResponse& response, std::int64_t time_ms) {
  return std::ranges::all_of(response.items, [&](const RankedItem& item) {
    return std::ranges::any_of(item.explanation.attention,
                               [&](const Attention& at) { return at.time_ms == time_ms; });
  });
}

class EffectTest : public testing::Test {
 protected:
  EffectTest() {
    engine::EngineOptions options = shop_.options();
    options.reload_interval = std::chrono::milliseconds{5};
    engine_ = engine::Engine::open(shop_.directory(), options);
    shop_.stock(*engine_);
    for (std::string& version : versions_) {
      version = shop_.publish(shop_.learned_version(engine_->db()));
    }
    engine_->reload();
    server_.emplace(*engine_, ServerOptions{.port = 0, .wait_max = {}, .threads = 3});
    server_->start();
  }

  HostPort address() const { return {"127.0.0.1", server_->port()}; }

  /// Records what stands first and looks whether it is gone; then whether the model has read it.
  void record_and_look(const std::string& user) {
    Client recording(address());
    Client asking(address());
    RankRequest explained = request_of(user);
    explained.__set_include_seen(true);
    explained.__set_explain(true);
    for (int i = 0; i < kEventsOfEach; ++i) {
      RankResponse before;
      asking->rank(before, request_of(user));
      ASSERT_FALSE(before.items.empty());
      Event event;
      event.user_id = user;
      event.item_id = before.items.front().item_id;
      event.action = "view";
      event.__set_time_ms(shop_.now_ms + i);
      ASSERT_EQ(recording->record({event}), 1);
      RankResponse after;
      asking->rank(after, request_of(user));
      ASSERT_FALSE(shows(after, event.item_id)) << user << ", behaviour " << i;
      RankResponse why;
      asking->rank(why, explained);
      ASSERT_TRUE(attends_to(why, shop_.now_ms + i)) << user << ", behaviour " << i;
      ++effects_;
    }
  }

  engine::Shop shop_;
  std::unique_ptr<engine::Engine> engine_;
  std::array<std::string, 2> versions_;
  std::optional<Server> server_;
  std::atomic<int> effects_ = 0;
};

TEST_F(EffectTest, IsInTheFirstListAfterEveryRecordUnderLoad) {
  std::atomic<bool> stop = false;
  std::atomic<int> others_answered = 0;
  std::atomic<int> swaps = 0;
  std::vector<std::jthread> others;
  for (int i = 0; i < kOthers; ++i) {
    others.emplace_back([&, i] {
      Client client(address());
      for (std::size_t n = i; !stop; ++n) {
        RankResponse response;
        client->rank(response, request_of("user-" + std::to_string(n % engine::Shop::kUsers)));
        ++others_answered;
      }
    });
  }
  others.emplace_back([&] {
    const engine::Versions versions(shop_.directory());
    for (int n = 0; !stop; ++n) {
      versions.roll_back(versions_[n % 2]);
      engine_->reload();
      ++swaps;
    }
  });
  {
    std::vector<std::jthread> recorders;
    for (int i = 0; i < kRecorders; ++i) {
      recorders.emplace_back([&, i] {
        for (int u = 0; u < kUsersOfEach; ++u) {
          record_and_look("new-" + std::to_string(i) + "-" + std::to_string(u));
        }
      });
    }
  }
  stop = true;
  others.clear();
  EXPECT_EQ(effects_, kRecorders * kUsersOfEach * kEventsOfEach);
  EXPECT_GT(others_answered, 0);
  EXPECT_GT(swaps, 0);
}

}  // namespace
}  // namespace fovea::api
