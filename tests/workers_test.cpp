// Workers: whatever is added is run, by as many at once as have to be, and finished by who added
// it.
#include "api/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>

namespace fovea::api {
namespace {

class Counted final : public Task {
 public:
  struct Counts {
    std::atomic<int> run = 0;
    int finished = 0;
    int out_of_turn = 0;
    std::atomic<int> destroyed = 0;
    std::thread::id finished_by;
  };

  Counted(Counts& counts, int number, std::function<void()> during = {})
      : counts_(counts), number_(number), during_(std::move(during)) {}
  ~Counted() override { ++counts_.destroyed; }

  void run() noexcept override {
    if (during_) during_();
    ++counts_.run;
  }
  void finish() noexcept override {
    if (number_ != counts_.finished) ++counts_.out_of_turn;
    ++counts_.finished;
    counts_.finished_by = std::this_thread::get_id();
  }

 private:
  Counts& counts_;
  int number_;
  std::function<void()> during_;
};

/// What its owner waits with until some are done.
struct Bell {
  void ring() { rung.release(); }
  std::counting_semaphore<> rung{0};
};

TEST(WorkersTest, EveryTaskIsRunAndFinishedOnceByItsOwner) {
  constexpr int kRounds = 2'000;
  Counted::Counts counts;
  Bell bell;
  Workers workers(3, [&] { bell.ring(); });
  int added = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i <= round % 5; ++i) {
      workers.add(std::make_unique<Counted>(counts, added++));
    }
    workers.wake_more();
    while (counts.finished + 8 < added) {
      bell.rung.acquire();
      workers.finish_done();
    }
  }
  while (counts.finished < added) {
    bell.rung.acquire();
    workers.finish_done();
  }
  EXPECT_EQ(counts.run, added);
  EXPECT_EQ(counts.destroyed, added);
  EXPECT_EQ(counts.finished_by, std::this_thread::get_id());
}

TEST(WorkersTest, OneWorkerRunsAndFinishesInTheOrderAdded) {
  constexpr int kTasks = 1'000;
  Counted::Counts counts;
  Bell bell;
  Workers workers(1, [&] { bell.ring(); });
  for (int i = 0; i < kTasks; ++i) workers.add(std::make_unique<Counted>(counts, i));
  while (counts.finished < kTasks) {
    bell.rung.acquire();
    workers.finish_done();
  }
  EXPECT_EQ(counts.out_of_turn, 0);
}

TEST(WorkersTest, TasksThatWaitForEachOtherRunAtOnce) {
  constexpr int kThreads = 4;
  Counted::Counts counts;
  std::latch all_run(kThreads);
  {
    Workers workers(kThreads, [] {});
    for (int i = 0; i < kThreads; ++i) {
      workers.add(std::make_unique<Counted>(counts, i, [&] { all_run.arrive_and_wait(); }));
    }
    workers.wake_more();
    all_run.wait();  // never, were they run one after the other
  }
  EXPECT_EQ(counts.run, kThreads);
}

TEST(WorkersTest, ATaskThatWaitsHoldsUpNobodyAddedLater) {
  Counted::Counts counts;
  std::promise<void> open;
  Bell bell;
  Workers workers(2, [&] { bell.ring(); });
  workers.add(std::make_unique<Counted>(counts, 0, [&] { open.get_future().wait(); }));
  for (int i = 1; i <= 100; ++i) {
    workers.add(std::make_unique<Counted>(counts, i));
    workers.wake_more();
  }
  while (counts.finished < 100) {
    bell.rung.acquire();
    workers.finish_done();
  }
  EXPECT_EQ(counts.run, 100);
  open.set_value();
  workers.end();
  EXPECT_EQ(counts.run, 101);
}

TEST(WorkersTest, EndingRunsWhatWaitsAndDestroysWhatNobodyFinished) {
  Counted::Counts counts;
  Workers workers(2, [] {});
  for (int i = 0; i < 100'000; ++i) workers.add(std::make_unique<Counted>(counts, i));
  workers.end();
  EXPECT_EQ(counts.run, 100'000);
  EXPECT_EQ(counts.destroyed, 100'000);
  EXPECT_EQ(counts.finished, 0);
  workers.end();
}

}  // namespace
}  // namespace fovea::api
