// Time gaps between behaviours as the encoder reads them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::ranking {

inline constexpr std::size_t kGapBuckets = 40;  // log2(1 + seconds) up to 34,000 years

/// The same on the host and on a device: integers only.
constexpr std::uint8_t gap_bucket(std::int64_t earlier_ms, std::int64_t later_ms) {
  std::uint64_t rest =
      (later_ms > earlier_ms ? static_cast<std::uint64_t>(later_ms - earlier_ms) / 1000 : 0) + 1;
  std::uint8_t bucket = 0;
  while ((rest >>= 1) != 0 && bucket + std::size_t{1} < kGapBuckets) ++bucket;
  return bucket;
}

}  // namespace fovea::ranking
