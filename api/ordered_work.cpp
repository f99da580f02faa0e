#include "api/ordered_work.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace fovea::api {
namespace {

/// So many answers are handed on together where more are under way: each time the caller's thread
/// is woken, one that answers loses its processor.
constexpr std::size_t kTakenTogether = 64;

struct Place {
  AskedLine asked;
  std::optional<AnsweredLine> answered;
};

/// The lines between reading and writing, in their order. Threads take them from the front too, so
/// that the one that is waited for is always under way.
class Window {
 public:
  Window(const OrderedWork& work, std::size_t threads) : work_(work) {
    threads_.reserve(threads);
    try {
      for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { answer_lines(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Window() { stop(); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  bool has_room() {
    const std::lock_guard lock(mutex_);
    return places_.empty() || (places_.size() < kLinesHeld && asked_bytes_ < kBytesHeld);
  }
  bool empty() {
    const std::lock_guard lock(mutex_);
    return places_.empty();
  }
  void put(AskedLine line) {
    {
      const std::lock_guard lock(mutex_);
      asked_bytes_ += line.text.size();
      places_.push_back({std::move(line), std::nullopt});
    }
    asked_.notify_one();
  }

  /// The front, once it is answered, and enough behind it or all that is there.
  AnsweredLine front() {
    AnsweredLine line;
    bool was_full = false;
    {
      std::unique_lock lock(mutex_);
      front_ready_.wait(lock,
                        [&] { return failure_ || (handing_on_ && front_answered()) || ready(); });
      if (failure_) std::rethrow_exception(failure_);
      line = *std::move(places_.front().answered);
      was_full = answered_bytes_ >= kBytesHeld;
      answered_bytes_ -= line.text.size();
      places_.pop_front();
      --begun_;
      --answered_;
      handing_on_ = front_answered();
    }
    if (was_full) asked_.notify_all();
    return line;
  }

 private:
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    asked_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  bool front_answered() const { return !places_.empty() && places_.front().answered; }
  bool ready() const {
    return front_answered() && (answered_ >= kTakenTogether || begun_ == places_.size() ||
                                answered_bytes_ >= kBytesHeld);
  }

  void answer_lines() {
    std::unique_lock lock(mutex_);
    for (;;) {
      // What is begun makes room one day: where nothing is, the front may take what it takes.
      asked_.wait(lock, [&] {
        return stopping_ ||
               (begun_ < places_.size() && (begun_ == 0 || answered_bytes_ < kBytesHeld));
      });
      if (stopping_) return;
      Place& place = places_[begun_++];  // stays where it is: only answered ones are removed
      lock.unlock();
      std::optional<AnsweredLine> answer;
      std::exception_ptr failure;
      try {
        answer = work_.answer(place.asked);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure) {
        if (!failure_) failure_ = failure;
        stopping_ = true;
        asked_.notify_all();
        front_ready_.notify_one();
        return;
      }
      answered_bytes_ += answer->text.size();
      asked_bytes_ -= place.asked.text.size();
      place.asked.text = {};
      place.answered = std::move(answer);
      ++answered_;
      if (ready()) front_ready_.notify_one();
    }
  }

  const OrderedWork& work_;
  std::mutex mutex_;                     // of everything below but `threads_`
  std::condition_variable asked_;        // or there is room again, or it ends
  std::condition_variable front_ready_;  // or it failed
  std::deque<Place> places_;
  std::size_t begun_ = 0;           // of places_, from the front
  std::size_t answered_ = 0;        // of places_, wherever
  bool handing_on_ = false;         // the answers behind a front that was taken
  std::size_t asked_bytes_ = 0;     // of lines without an answer
  std::size_t answered_bytes_ = 0;  // of answers
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

void run(const OrderedWork& work, std::size_t threads) {
  Window window(work, threads);
  for (bool more = true; more || !window.empty();) {
    while (more && window.has_room()) {
      auto line = work.next();
      more = line.has_value();
      if (line) window.put(*std::move(line));
    }
    if (!window.empty()) work.take(window.front());
  }
}

}  // namespace fovea::api
