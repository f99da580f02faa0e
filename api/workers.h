// Threads for what takes time, for one thread that must not. Owns when one of them is woken: waking
// costs more than a short task does, so that a burst of those is one thread's, and one that has
// to wait gets another. Knows neither sockets nor what is done.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace fovea::api {

/// Made and finished by the thread that owns the workers, run by one of them between.
class Task {
 public:
  Task() = default;
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  virtual void run() noexcept = 0;
  virtual void finish() noexcept = 0;

 private:
  friend class TaskQueue;
  std::unique_ptr<Task> next_;
};

/// First in, first out. Allocates nothing. Not thread-safe.
class TaskQueue {
 public:
  TaskQueue() = default;
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  bool empty() const { return first_ == nullptr; }
  std::size_t size() const { return size_; }
  void push(std::unique_ptr<Task> task);
  std::unique_ptr<Task> pop();  ///< Null when empty.
  void swap(TaskQueue& other) noexcept;

 private:
  std::unique_ptr<Task> first_;
  Task* last_ = nullptr;
  std::size_t size_ = 0;
};

/// add(), wake_more(), finish_done() and end() from one thread at a time.
class Workers {
 public:
  /// `some_done` is called by a worker when finish_done() has something to do and was not asked for
  /// yet. At least one thread.
  Workers(std::size_t threads, std::function<void()> some_done);
  ~Workers();  ///< Ends.
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Runs it after those that were added before. Where a worker is awake already none is woken:
  /// wake_more() must follow, when whatever else there is to add has been added.
  void add(std::unique_ptr<Task> task);
  /// Wakes a worker for each task that none has taken yet.
  void wake_more();

  /// Finishes what has been run.
  void finish_done();

  /// Returns when all tasks were run and the threads are gone. What finish_done() has not been
  /// asked for is destroyed unfinished. Does nothing twice.
  void end();

 private:
  void work();

  const std::function<void()> some_done_;

  std::mutex mutex_;  // of everything below but `threads_`
  std::condition_variable woken_;
  TaskQueue waiting_;
  TaskQueue done_;
  std::size_t idle_;        // of the threads; who is being woken is not
  std::size_t waking_ = 0;  // by so many, who have not noticed yet
  bool ended_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace fovea::api
