// What a call came with beside its arguments, for the thread that answers it: Thrift's interface
// has no place for it.
#pragma once

#include <chrono>

namespace fovea::api {

/// While one lives, received() on its thread is when the call had arrived whole. One at a time.
class CurrentCall {
 public:
  using Clock = std::chrono::steady_clock;

  explicit CurrentCall(Clock::time_point received) { current_ = received; }
  ~CurrentCall() { current_ = {}; }
  CurrentCall(const CurrentCall&) = delete;
  CurrentCall& operator=(const CurrentCall&) = delete;

  /// Now, where nobody said.
  static Clock::time_point received() {
    return current_ == Clock::time_point() ? Clock::now() : current_;
  }

 private:
  static inline thread_local Clock::time_point current_;
};

}  // namespace fovea::api
