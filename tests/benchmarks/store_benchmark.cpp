// Reading a user's behaviours, and recording one: the record returns when it is on the disk, so its
// figure is the disk's as much as ours; with more threads, one sync serves several.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "storage/db.h"
#include "tests/benchmarks/shop.h"

namespace {

using fovea::benchmarks::shop_directory;
using fovea::benchmarks::shop_user;
using fovea::storage::Access;
using fovea::storage::Db;
using fovea::storage::NewEvent;

std::unique_ptr<Db> db;

void open(const benchmark::State&) {
  db = Db::open(shop_directory(), Access::kReadWrite);
  db->catalog().declare_action("view", 1);
}
void close(const benchmark::State&) { db.reset(); }

void history_read(benchmark::State& state) {
  std::size_t n = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(db->history().read(shop_user(n++), 50));
  }
}

void record(benchmark::State& state) {
  static std::atomic<std::int64_t> time_ms{1'770'000'000'000};
  const std::string item = db->catalog().item_id(0);
  for (auto _ : state) {
    const std::int64_t now_ms = ++time_ms;
    const NewEvent event{.user_id = shop_user(static_cast<std::size_t>(now_ms)),
                         .item_id = item,
                         .action = "view",
                         .time_ms = now_ms};
    benchmark::DoNotOptimize(db->record({&event, 1}));
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(history_read)
    ->Name("store/history_read_50")
    ->Setup(open)
    ->Teardown(close)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(record)
    ->Name("store/record_durable")
    ->Setup(open)
    ->Teardown(close)
    ->Threads(1)
    ->Threads(8)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
