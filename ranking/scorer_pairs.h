// Which pairs of behaviour and candidate were counted: instead of searching every pair in the
// behaviour's source, each kept entry of the source is looked up among the user's candidates, a
// hash table in shared memory. What is found lies in an array [N, L] that nobody clears, under a
// bit per pair that says whether it was written. The same functions on the host and on the device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ranking/scorer_formula.h"
#include "ranking/scorer_layout.h"

namespace fovea::ranking::scorer {

inline constexpr std::uint32_t kTableCandidates = 2048;  // put into a table at once
inline constexpr std::uint32_t kTableSlots = 4096;       // at most half full; a power of two
inline constexpr std::uint32_t kNoRow = 0xFFFFFFFF;      // an empty slot; a candidate that is none
inline constexpr std::uint32_t kPairGroup = 16;          // sources that a block looks up

/// A sparse item-to-item matrix (ItemPairs) as arrays.
struct PairsView {
  std::uint32_t sources = 0;
  const std::uint32_t* offsets = nullptr;  // [sources + 1]
  const std::uint32_t* rows = nullptr;
  const float* weights = nullptr;
};

FOVEA_BOTH constexpr std::uint32_t slot_of(std::uint32_t row) {
  return row * 2654435761U >> 20;  // of kTableSlots = 2^12; multiplicative hashing (Knuth)
}
FOVEA_BOTH constexpr std::uint32_t next_slot(std::uint32_t slot) {
  return (slot + 1) & (kTableSlots - 1);
}

/// Calls meet(candidate) for each candidate of `row`, also where one was named twice. `rows` and
/// `candidates` [kTableSlots].
template <typename Meet>
FOVEA_BOTH void find(const std::uint32_t* rows, const std::uint16_t* candidates, std::uint32_t row,
                     const Meet& meet) {
  for (std::uint32_t slot = slot_of(row); rows[slot] != kNoRow; slot = next_slot(slot)) {
    if (rows[slot] == row) meet(candidates[slot]);
  }
}

/// Sums over earlier behaviours are of whole numbers, so that their order does not matter: units of
/// 2^-32, for sums up to 2^31.
FOVEA_BOTH inline std::int64_t to_fixed(float value) {
  return static_cast<std::int64_t>(static_cast<double>(value) * 4294967296.0);
}
FOVEA_BOTH inline float from_fixed(std::int64_t value) {
  return static_cast<float>(static_cast<double>(value) / 4294967296.0);
}

/// Words of bits per candidate, and where a pair's bit is.
FOVEA_BOTH constexpr std::uint32_t bit_words(std::uint32_t behaviours) {
  return (behaviours + 31) / 32;
}

static_assert(kTableSlots == 1U << 12 && kTableCandidates * 2 <= kTableSlots);

}  // namespace fovea::ranking::scorer
