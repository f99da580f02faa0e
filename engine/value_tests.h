// What a filter asks of the values of a column, and the loops that ask it of thousands: plain ones
// over arrays, whose verdicts become 64 bits at a time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/filter.h"

namespace fovea::engine {

/// Rows of a chunk of the catalogue. A row's offset is its place there.
inline constexpr std::size_t kChunkRows = 4'096;

/// A set of offsets.
struct ChunkBits {
  std::array<std::uint64_t, kChunkRows / 64> words{};

  bool contains(std::size_t offset) const { return (words[offset / 64] >> offset % 64 & 1) != 0; }
  void insert(std::size_t offset) { words[offset / 64] |= std::uint64_t{1} << offset % 64; }
  std::size_t count() const {
    std::size_t sum = 0;
    for (const std::uint64_t word : words) sum += static_cast<std::size_t>(std::popcount(word));
    return sum;
  }
  /// Calls visit(offset) for each, ascending.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t w = 0; w < words.size(); ++w) {
      for (std::uint64_t word = words[w]; word != 0; word &= word - 1) {
        visit(64 * w + static_cast<std::size_t>(std::countr_zero(word)));
      }
    }
  }
};

/// Numbers to look many others up in: a sparse hash table in which every look-up compares the same
/// few places, so that no branch depends on what is looked up.
class NumberSet {
 public:
  NumberSet() = default;
  explicit NumberSet(const std::vector<double>& numbers);

  bool empty() const { return probes_ == 0; }
  bool contains(double number) const {
    const std::size_t first = std::bit_cast<std::uint64_t>(number) * kFactor >> shift_;
    bool found = false;
    for (std::size_t i = 0; i < probes_; ++i) found |= slots_[first + i] == number;
    return found;
  }

 private:
  static constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd
  int shift_ = 63;
  std::size_t probes_ = 0;     // as many as the number that found its place last needs
  std::vector<double> slots_;  // NaN where there is none
};

/// Of numbers: to lie in a range, ends included, or to be one of a few or of the set.
struct NumberTest {
  struct Range {
    double low = 0;
    double high = 0;
  };
  std::vector<Range> ranges;
  std::vector<double> equal;
  NumberSet set;

  NumberTest() = default;
  /// What the comparison asks of numbers; its other values are left out.
  explicit NumberTest(const Filter::Comparison& comparison);
};

/// Of codes: to be one of a few or, with verdicts by code, to have a 1 there. Never holds for 0.
struct CodeTest {
  std::vector<std::uint32_t> codes;
  std::vector<std::uint8_t> verdicts;  ///< Not empty: counts instead of `codes`.

  bool holds(std::uint32_t code) const;
};

// The places, out of at most kChunkRows values, for which a test holds. NaN passes none.
ChunkBits passing(std::span<const double> values, const NumberTest& test);
ChunkBits passing(std::span<const std::uint8_t> codes, const CodeTest& test);
ChunkBits passing(std::span<const std::uint16_t> codes, const CodeTest& test);
ChunkBits passing(std::span<const std::uint32_t> codes, const CodeTest& test);

}  // namespace fovea::engine
