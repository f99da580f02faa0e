// Which requests are let in. Owns the estimate of how long one waits; who answers them is the
// server's. What cannot be answered in time is refused at once, while its caller can still do
// something else: a queue that only grows answers everybody too late.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace fovea::api {

/// Not thread-safe.
class Admission {
 public:
  using Duration = std::chrono::steady_clock::duration;

  struct Options {
    std::size_t workers = 1;         ///< That answer requests at once; at least 1.
    std::size_t requests_max = 512;  ///< Being answered or waiting.
    /// Longest wait for a worker, by estimate. 0: no limit but requests_max.
    std::chrono::milliseconds wait_max{0};
  };
  struct Refusal {
    std::string message;  ///< One sentence.
    std::chrono::milliseconds retry_after;
  };

  explicit Admission(const Options& options) : options_(options) {}

  /// Absent: let in, and leave() must follow.
  std::optional<Refusal> enter();
  /// One that was let in is gone. `worked` is how long a worker had it; absent: none took it.
  void leave(std::optional<Duration> worked);

  std::size_t requests() const { return requests_; }  ///< Let in and not gone.
  /// How long the next one would wait for a worker.
  Duration wait() const;

 private:
  Options options_;
  std::size_t requests_ = 0;
  std::size_t measured_ = 0;
  /// A worker's mean time for a request, moving.
  std::chrono::duration<double, std::nano> mean_{0};
};

}  // namespace fovea::api
