// Below 2^11 us a bucket holds one value. Above, each power of two is cut into 2^10 buckets.
#include "api/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace fovea::api {
namespace {

constexpr int kBits = 10;
constexpr std::uint64_t kPerPower = std::uint64_t{1} << kBits;
constexpr int kMostBits = 32;  // of kMost
constexpr std::size_t kBuckets = (kMostBits - kBits + 1) * kPerPower;

std::size_t bucket_of(std::uint64_t us) {
  const int shift = std::max(0, static_cast<int>(std::bit_width(us)) - (kBits + 1));
  return static_cast<std::size_t>(shift) * kPerPower + (us >> shift);
}

/// The largest value that falls into it.
std::uint64_t end_of(std::size_t bucket) {
  const std::uint64_t shift = bucket < 2 * kPerPower ? 0 : bucket / kPerPower - 1;
  return ((bucket - shift * kPerPower + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : buckets_(kBuckets) {}

void LatencyHistogram::record(std::chrono::nanoseconds latency) {
  const auto us = std::clamp(std::chrono::duration_cast<std::chrono::microseconds>(latency),
                             std::chrono::microseconds{0}, kMost);
  const auto value = static_cast<std::uint64_t>(us.count());
  ++buckets_[bucket_of(value)];
  ++count_;
  most_us_ = std::max(most_us_, value);
}

std::uint64_t LatencyHistogram::at_us(double share) const {
  const auto wanted = static_cast<std::uint64_t>(
      std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen > 0 && seen >= wanted) return std::min(end_of(bucket), most_us_);
  }
  return 0;
}

}  // namespace fovea::api
