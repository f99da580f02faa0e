// One lock, held for a few pointers, and one condition that tells how many were woken.
#include "api/workers.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace fovea::api {

/// One after the other: destroyed from the first, each would destroy the next within itself, as
/// deep as the queue is long.
TaskQueue::~TaskQueue() {
  while (pop()) {
  }
}

void TaskQueue::push(std::unique_ptr<Task> task) {
  Task* added = task.get();
  (last_ == nullptr ? first_ : last_->next_) = std::move(task);
  last_ = added;
  ++size_;
}

std::unique_ptr<Task> TaskQueue::pop() {
  if (empty()) return nullptr;
  auto task = std::exchange(first_, nullptr);
  first_ = std::move(task->next_);
  if (first_ == nullptr) last_ = nullptr;
  --size_;
  return task;
}

void TaskQueue::swap(TaskQueue& other) noexcept {
  std::swap(first_, other.first_);
  std::swap(last_, other.last_);
  std::swap(size_, other.size_);
}

Workers::Workers(std::size_t threads, std::function<void()> some_done)
    : some_done_(std::move(some_done)), idle_(0) {
  threads_.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Workers::~Workers() { end(); }

void Workers::add(std::unique_ptr<Task> task) {
  bool wake = false;
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push(std::move(task));
    wake = idle_ == threads_.size();
    if (wake) {
      --idle_;
      ++waking_;
    }
  }
  if (wake) woken_.notify_one();
}

void Workers::wake_more() {
  std::size_t count = 0;
  {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() <= waking_) return;
    count = std::min(waiting_.size() - waking_, idle_);
    idle_ -= count;
    waking_ += count;
  }
  for (std::size_t i = 0; i < count; ++i) woken_.notify_one();
}

void Workers::work() {
  ::pthread_setname_np(::pthread_self(), "fovea-worker");
  std::unique_lock lock(mutex_);
  for (;;) {
    if (waiting_.empty()) {
      if (ended_) return;
      ++idle_;
      woken_.wait(lock, [this] { return waking_ > 0 || ended_; });
      if (waking_ > 0) {
        --waking_;  // who woke us has counted us out of `idle_`
      } else {
        --idle_;
      }
      continue;
    }
    auto task = waiting_.pop();
    lock.unlock();
    task->run();
    lock.lock();
    const bool first = done_.empty();
    done_.push(std::move(task));
    if (first) {
      lock.unlock();
      some_done_();
      lock.lock();
    }
  }
}

void Workers::finish_done() {
  TaskQueue done;
  {
    const std::scoped_lock lock(mutex_);
    done.swap(done_);
  }
  while (const auto task = done.pop()) task->finish();
}

void Workers::end() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  woken_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  TaskQueue unfinished;
  const std::scoped_lock lock(mutex_);
  unfinished.swap(done_);
}

}  // namespace fovea::api
