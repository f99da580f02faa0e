// Claim: an engine with a GPU ranks as one without, follows puts, records and swaps of versions,
// ranks together what waits together, and goes on with the CPU, and says so, when the GPU fails,
// does not answer or is too small. The GPU is device_on_host.cpp's.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

#include "engine/engine.h"
#include "engine/gpu.h"
#include "engine/pipeline.h"
#include "tests/device_memory.h"
#include "tests/eventually.h"
#include "tests/shop.h"

namespace fovea::engine {
namespace {

namespace device = ranking::device_memory;
using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kAll = Shop::kKinds * Shop::kItemsPerKind;

class GpuEngineTest : public testing::Test {
 protected:
  GpuEngineTest() {
    device::lost = false;
    device::searching = 0ms;
    device::searches = 0;
    const auto engine = shop_.open();
    shop_.stock(*engine);
    shop_.publish(shop_.learned_version(engine->db()));
  }
  ~GpuEngineTest() override {
    device::lost = false;
    device::searching = 0ms;
    device::held = false;
  }

  /// A device of the host's threads may be slow; only the test of that takes it for dead.
  std::unique_ptr<Engine> open(DeviceChoice choice = DeviceChoice::kGpu,
                               GpuOptions gpu = {.answer_timeout = 60'000ms}) {
    EngineOptions options = shop_.options();
    options.device = choice;
    options.gpu = gpu;
    return Engine::open(shop_.directory(), options);
  }
  /// Beside the other one, on the CPU, with what is stored now.
  std::unique_ptr<Engine> on_cpu() {
    EngineOptions options = shop_.options();
    options.access = storage::Access::kReadOnly;
    return Engine::open(shop_.directory(), options);
  }

  static RankRequest for_user(std::size_t user, std::int32_t limit = 10) {
    RankRequest request;
    request.user_id = "user-" + std::to_string(user);
    request.limit = limit;
    return request;
  }

  /// The same items would be shown, and each has the CPU's score but for what bfloat16 rounds.
  static void expect_alike(const RankResponse& gpu, const RankResponse& cpu) {
    EXPECT_FALSE(gpu.degraded) << gpu.degraded_reason.value_or("");
    ASSERT_EQ(gpu.items.size(), cpu.items.size());
    std::map<std::string, double> scores;
    double mean = 0;
    double square = 0;
    const auto n = static_cast<double>(cpu.items.size());
    for (const auto& item : cpu.items) {
      scores[item.item_id] = item.score;
      mean += item.score / n;
    }
    for (const auto& item : cpu.items) square += (item.score - mean) * (item.score - mean) / n;
    for (const auto& item : gpu.items) {
      ASSERT_TRUE(scores.contains(item.item_id)) << item.item_id;
      EXPECT_NEAR(item.score, scores[item.item_id], 0.05 * std::max(0.5, std::sqrt(square)));
    }
  }

  Shop shop_;
};

TEST_F(GpuEngineTest, RanksAsTheCpu) {
  const auto engine = open();
  const auto cpu = on_cpu();
  EXPECT_THAT(engine->status().device, HasSubstr("host memory"));
  for (std::size_t user = 0; user < Shop::kUsers; ++user) {
    SCOPED_TRACE(user);
    expect_alike(engine->rank(for_user(user, kAll)), cpu->rank(for_user(user, kAll)));
  }
  EXPECT_EQ(device::searches, Shop::kUsers + 1);  // and the one that compares it with the CPU

  RankRequest request = for_user(3, kAll);
  request.query = Shop::item(0, 4).text;
  expect_alike(engine->rank(request), cpu->rank(request));
  request = for_user(3, kAll);
  request.candidates = {Shop::id(1, 2), Shop::id(2, 3), "unheard-of", Shop::id(3, 4)};
  expect_alike(engine->rank(request), cpu->rank(request));
}

TEST_F(GpuEngineTest, ExplainsWithTheCpusNumbers) {
  RankRequest request = for_user(5);
  request.explain = true;
  const auto explained = open()->rank(request);
  const auto expected = on_cpu()->rank(request);
  ASSERT_EQ(explained.items.size(), expected.items.size());
  for (std::size_t i = 0; i < expected.items.size(); ++i) {
    EXPECT_EQ(explained.items[i].item_id, expected.items[i].item_id);
    EXPECT_EQ(explained.items[i].score, expected.items[i].score);
    EXPECT_EQ(explained.items[i].explanation->parts, expected.items[i].explanation->parts);
    EXPECT_EQ(explained.items[i].explanation->rank_without_top_event,
              expected.items[i].explanation->rank_without_top_event);
  }
}

TEST_F(GpuEngineTest, TheNextListHasWhatWasPutAndRecordedAndNotWhatWasRemoved) {
  const auto engine = open();
  Item fresh = Shop::item(2, 0);
  fresh.item_id = "fresh";
  engine->put_items(std::vector{fresh});
  EXPECT_THAT(ids(engine->rank(for_user(2, kAll + 1))), Contains("fresh"));
  engine->record(std::vector{shop_.event("user-2", "fresh")});
  EXPECT_THAT(ids(engine->rank(for_user(2, kAll + 1))), Not(Contains("fresh")));
  const std::string gone = ids(engine->rank(for_user(2))).front();
  engine->remove_items(std::vector{gone});
  EXPECT_THAT(ids(engine->rank(for_user(2, kAll + 1))), Not(Contains(gone)));
  const auto cpu = on_cpu();
  for (std::size_t user = 0; user < Shop::kUsers; ++user) {
    expect_alike(engine->rank(for_user(user, kAll + 1)), cpu->rank(for_user(user, kAll + 1)));
  }
}

TEST_F(GpuEngineTest, RanksTogetherWhatWaitsTogether) {
  const auto engine = open();
  device::searching = 20ms;
  device::searches = 0;
  constexpr std::size_t kThreads = 8;
  constexpr std::size_t kEach = 10;
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < kEach; ++i) {
          const auto response = engine->rank(for_user((t + i) % Shop::kUsers));
          EXPECT_FALSE(response.degraded);
          EXPECT_EQ(response.items.size(), 10U);
        }
      });
    }
    // Beside them items come.
    for (std::size_t i = 0; i < 20; ++i) {
      Item item = Shop::item(i % Shop::kKinds, 1);
      item.item_id = "fresh-" + std::to_string(i);
      engine->put_items(std::vector{item});
    }
  }
  EXPECT_LT(device::searches, kThreads * kEach / 2);
  const auto figures = engine->figures();
  ASSERT_TRUE(figures.gpu.has_value());
  EXPECT_EQ(figures.gpu->batches.requests, kThreads * kEach);
  EXPECT_LT(figures.gpu->batches.batches, kThreads * kEach / 2);
  EXPECT_GE(figures.gpu->batches.largest, 2U);
  EXPECT_LE(figures.gpu->batches.largest, kThreads);
  EXPECT_GT(figures.gpu->bytes, 0U);
  EXPECT_LE(figures.gpu->bytes, figures.gpu->bytes_max);
}

TEST_F(GpuEngineTest, AVersionIsSwappedForAnotherAndGivesItsMemoryBack) {
  const auto engine = open();
  const auto before = engine->status().device;
  for (int swap = 0; swap < 3; ++swap) {
    shop_.now_ms += 1000;
    const std::string version = shop_.publish(shop_.learned_version(engine->db()));
    ASSERT_TRUE(engine->reload());
    const auto response = engine->rank(for_user(1));
    EXPECT_EQ(response.model_version, version);
    EXPECT_FALSE(response.degraded);
    EXPECT_EQ(engine->status().device, before);
  }
}

TEST_F(GpuEngineTest, AnIndexThatIsBuiltAnewTakesTheVersionOffTheGpuAndOnAgain) {
  EngineOptions options = shop_.options();
  options.device = DeviceChoice::kGpu;
  options.rebuild.changes_min = 3;
  const auto engine = Engine::open(shop_.directory(), options);
  const auto put = [&](int i) {
    Item item = Shop::item(2, 0);
    item.item_id = "fresh-" + std::to_string(i);
    engine->put_items(std::vector{item});
  };
  for (int i = 0; i < 5; ++i) put(i);
  engine->remove_items(std::vector{Shop::id(2, 3)});

  // The two steps of a rebuild one by one, to look and to change things in between.
  const auto live = std::const_pointer_cast<LiveModel>(engine->snapshot().model);
  ASSERT_TRUE(live->rebuild_due());
  ASSERT_TRUE(live->rebuild(1, {}));
  put(5);
  engine->remove_items(std::vector{std::string("fresh-0")});
  const auto between = engine->rank(for_user(2, kAll + 5));
  EXPECT_TRUE(between.degraded);
  EXPECT_THAT(*between.degraded_reason, HasSubstr("built anew"));
  EXPECT_THAT(engine->status().device, HasSubstr("built anew"));
  EXPECT_THAT(ids(between), Contains("fresh-5"));
  EXPECT_THAT(ids(between), Not(Contains("fresh-0")));
  EXPECT_THAT(ids(between), Not(Contains(Shop::id(2, 3))));

  ASSERT_TRUE(engine->rebuild());
  EXPECT_FALSE(engine->rebuild());
  EXPECT_THAT(engine->status().device, Not(HasSubstr("cpu")));
  put(6);
  const auto cpu = on_cpu();
  for (std::size_t user = 0; user < Shop::kUsers; ++user) {
    expect_alike(engine->rank(for_user(user, kAll + 5)), cpu->rank(for_user(user, kAll + 5)));
  }
  EXPECT_THAT(ids(engine->rank(for_user(2, kAll + 5))), Contains("fresh-6"));
}

TEST_F(GpuEngineTest, PutsBesideAMoveToTheGpuAreRankedThere) {
  EngineOptions options = shop_.options();
  options.device = DeviceChoice::kGpu;
  options.rebuild.changes_min = 3;
  const auto engine = Engine::open(shop_.directory(), options);
  const auto live = std::const_pointer_cast<LiveModel>(engine->snapshot().model);
  live->leave_gpu("to be moved by hand");
  Gpu gpu({});
  const auto loaded = gpu.load(live->gpu_source(), 1);
  Item fresh = Shop::item(2, 0);
  fresh.item_id = "fresh";
  engine->put_items(std::vector{fresh});
  ASSERT_TRUE(live->move_to_gpu(loaded));
  const auto response = engine->rank(for_user(2, kAll + 1));
  EXPECT_THAT(ids(response), Contains("fresh"));
  expect_alike(response, on_cpu()->rank(for_user(2, kAll + 1)));

  // Loaded over an index that serves no more.
  const auto stale = gpu.load(live->gpu_source(), 1);
  for (int i = 0; i < 6; ++i) {
    Item item = Shop::item(2, 0);
    item.item_id = "many-" + std::to_string(i);
    engine->put_items(std::vector{item});
  }
  ASSERT_TRUE(live->rebuild(1, {}));
  EXPECT_FALSE(live->move_to_gpu(stale));
  EXPECT_EQ(live->on_gpu(), nullptr);
}

TEST_F(GpuEngineTest, AnItemWithoutRoomOnTheGpuMakesTheVersionMoveToMore) {
  const auto engine = open();
  const auto version = std::make_shared<LiveModel>(shop_.learned_version(engine->db()));
  engine->snapshot(version);
  ASSERT_NE(version->on_gpu(), nullptr);
  const Item item = Shop::item(2, 0);
  const storage::Item* items[] = {&item};
  const auto texts = version->encode({}, items);
  const std::vector<std::uint32_t> beyond = {120'000};
  version->put(beyond, texts);
  EXPECT_EQ(version->on_gpu(), nullptr);
  EXPECT_THAT(version->off_gpu(), HasSubstr("outgrown"));
  EXPECT_TRUE(version->awaits_gpu());
  engine->snapshot(version);
  EXPECT_NE(version->on_gpu(), nullptr);
  EXPECT_FALSE(version->awaits_gpu());
  version->put(beyond, texts);
  EXPECT_NE(version->on_gpu(), nullptr);
}

TEST_F(GpuEngineTest, ALostDeviceCostsTheDeviceOnly) {
  const auto engine = open();
  const auto cpu = on_cpu();
  device::lost = true;
  for (int i = 0; i < 3; ++i) {
    const auto response = engine->rank(for_user(4));
    EXPECT_TRUE(response.degraded);
    EXPECT_THAT(*response.degraded_reason, HasSubstr("lost"));
    EXPECT_EQ(ids(response), ids(cpu->rank(for_user(4))));
  }
  EXPECT_THAT(engine->status().device, HasSubstr("cpu, not host memory"));
  engine->record(std::vector{shop_.event("user-4", Shop::id(0, 19))});
  engine->put_items(std::vector{Shop::item(0, 3)});
  shop_.publish(shop_.learned_version(engine->db()));
  ASSERT_TRUE(engine->reload());
  EXPECT_EQ(engine->rank(for_user(4)).items.size(), 10U);
}

TEST_F(GpuEngineTest, ADeviceThatDoesNotAnswerIsNotWaitedForTwice) {
  const auto patience = 2'000ms;  // with slow machines too: the CPU ranks within it
  const auto engine = open(DeviceChoice::kGpu, {.answer_timeout = patience});
  const std::size_t before = device::searches;
  device::held = true;
  const auto first = engine->rank(for_user(1));
  EXPECT_TRUE(first.degraded);
  EXPECT_THAT(*first.degraded_reason, HasSubstr("no answer within 2000 ms"));
  EXPECT_EQ(first.items.size(), 10U);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(engine->rank(for_user(1)).items.size(), 10U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, patience);
  device::held = false;
  // The thread that was left behind goes on to its end.
  EXPECT_TRUE(api::eventually([&] { return device::searches > before; }));
}

TEST_F(GpuEngineTest, AVersionThatDoesNotFitIsRankedOnTheCpu) {
  const auto engine = open(DeviceChoice::kAuto, {.memory_mib_max = 1});
  const auto response = engine->rank(for_user(1));
  EXPECT_TRUE(response.degraded);
  EXPECT_THAT(*response.degraded_reason, HasSubstr("ranked on the CPU: 80 items need at least"));
  EXPECT_EQ(ids(response), ids(on_cpu()->rank(for_user(1))));
}

TEST_F(GpuEngineTest, UsersOfWhomNothingIsKnownNeedNoDevice) {
  const auto engine = open();
  device::lost = true;
  RankRequest request;
  request.user_id = "nobody";
  const auto response = engine->rank(request);
  EXPECT_FALSE(response.degraded);
  EXPECT_EQ(response.items.size(), 20U);
}

}  // namespace
}  // namespace fovea::engine
