// Latencies counted in buckets whose width grows with what they hold, after Gil Tene's
// HdrHistogram: every percentile is within 0.1 %, whatever the range, in a fixed 190 KB.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace fovea::api {

/// Not thread-safe.
class LatencyHistogram {
 public:
  LatencyHistogram();

  /// Whole microseconds; what is negative counts as 0, what is above kMost as that.
  void record(std::chrono::nanoseconds latency);

  std::uint64_t count() const { return count_; }
  /// The microseconds that a `share` of the latencies, 0 to 1, does not exceed: never less than
  /// theirs, and at most 0.1 % more. 0 when nothing was recorded.
  std::uint64_t at_us(double share) const;
  std::uint64_t most_us() const { return most_us_; }  ///< Exact.

  static constexpr std::chrono::microseconds kMost{(std::int64_t{1} << 32) - 1};  ///< 71 minutes.

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t most_us_ = 0;
};

}  // namespace fovea::api
