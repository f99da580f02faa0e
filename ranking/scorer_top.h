// The n best of many scores in one order that never depends on timing: higher score first, then
// earlier candidate. A block keeps the best so far beside as many new ones, sorts both together and
// keeps the first half. The same functions on the host and on the device.
#pragma once

#include <cstdint>
#include <cstring>

#include "ranking/scorer_layout.h"

namespace fovea::ranking::scorer {

inline constexpr std::uint32_t kTopMax = 1024;         // n at most
inline constexpr std::uint32_t kSorted = 2 * kTopMax;  // keys sorted at once
inline constexpr std::uint64_t kNoKey = 0;             // behind every candidate

/// Greater is better. NaN and what is no candidate are for the caller to make -infinity.
FOVEA_BOTH inline std::uint64_t key_of(float score, std::uint32_t candidate) {
  std::uint32_t bits = 0;
  memcpy(&bits, &score, sizeof bits);
  bits = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<std::uint64_t>(bits) << 32 | (0xFFFFFFFFU - candidate);
}
FOVEA_BOTH constexpr std::uint32_t candidate_of(std::uint64_t key) {
  return 0xFFFFFFFFU - static_cast<std::uint32_t>(key);
}

FOVEA_BOTH inline float score_of(std::uint64_t key) {
  auto bits = static_cast<std::uint32_t>(key >> 32);
  bits = (bits & 0x80000000U) != 0 ? bits & 0x7FFFFFFFU : ~bits;
  float score = 0;
  memcpy(&score, &bits, sizeof score);
  return score;
}

/// A bitonic sort is the exchanges of all places of each stage (block 2, 4 .. kSorted, distance
/// block / 2 .. 1). Exchange number i < kSorted / 2 of a stage: which two places, and whether the
/// greater comes first.
struct Exchange {
  std::uint32_t low, high;
  bool greater_first;
};
FOVEA_BOTH constexpr Exchange exchange(std::uint32_t i, std::uint32_t block,
                                       std::uint32_t distance) {
  const std::uint32_t low = 2 * i - (i & (distance - 1));
  return {low, low + distance, (low & block) == 0};
}
FOVEA_BOTH inline void perform(const Exchange& e, std::uint64_t* keys) {
  const std::uint64_t a = keys[e.low];
  const std::uint64_t b = keys[e.high];
  if ((a < b) == e.greater_first) {
    keys[e.low] = b;
    keys[e.high] = a;
  }
}

}  // namespace fovea::ranking::scorer
