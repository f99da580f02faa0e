// What a call came with beside its arguments, for the thread that answers it: Thrift's interface
// has no place for it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

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

/// While one lives, the call on its thread has these names in the log and in the answer. HTTP has
/// places for both; a call over Thrift has none. One at a time.
class NamedCall {
 public:
  NamedCall(std::string request_id, std::optional<std::string> trace_id)
      : request_id_(std::move(request_id)), trace_id_(std::move(trace_id)) {
    current_ = this;
  }
  ~NamedCall() { current_ = nullptr; }
  NamedCall(const NamedCall&) = delete;
  NamedCall& operator=(const NamedCall&) = delete;

  static NamedCall* current() { return current_; }  ///< Null: it has none.

  const std::string& request_id() const { return request_id_; }
  const std::optional<std::string>& trace_id() const { return trace_id_; }

  /// Whether a method has seen the call, and said in the log what there is to say.
  bool logged = false;

 private:
  static inline thread_local NamedCall* current_ = nullptr;
  std::string request_id_;
  std::optional<std::string> trace_id_;
};

}  // namespace fovea::api
