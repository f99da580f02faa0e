// Tests of values, and the loops over them.
#include "engine/value_tests.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "ranking/clones.h"

namespace fovea::engine {
namespace {

/// Beyond so many numbers, looking up is faster than comparing with each.
constexpr std::size_t kComparedMax = 32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Bit i is byte i of 64 that are 0 or 1. Eight at a time: the product brings the lowest bits of
/// eight bytes together in its highest byte, no two of its terms in one place.
inline __attribute__((always_inline)) std::uint64_t pack(
    const std::array<std::uint8_t, 64>& bytes) {
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t packed = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data() + 8 * i, 8);
    packed |= (eight * 0x0102040810204080 >> 56) << 8 * i;
  }
  return packed;
}

/// Adds the places where the test holds. Inlined into the clones.
template <typename T, typename Holds>
inline __attribute__((always_inline)) void add_passing(std::span<const T> values,
                                                       const Holds& holds, ChunkBits& out) {
  std::array<std::uint8_t, 64> verdicts;
  std::size_t i = 0;
  for (; i + 64 <= values.size(); i += 64) {
#pragma GCC unroll 8  // for look-ups, which have no vector instructions
    for (std::size_t j = 0; j < 64; ++j) verdicts[j] = holds(values[i + j]);
    out.words[i / 64] |= pack(verdicts);
  }
  for (; i < values.size(); ++i) {
    if (holds(values[i])) out.insert(i);
  }
}

// Comparing is bound by arithmetic where two numbers fit into a register, by memory where eight do.
FOVEA_CLONES void add_in_range(std::span<const double> values, NumberTest::Range range,
                               ChunkBits& out) {
  const double low = range.low;
  const double high = range.high;
  // Both are asked of every number: a branch between them would cost more.
  add_passing(values, [=](double x) { return int{x >= low} & int{x <= high}; }, out);
}

/// Adds the places of any of the wanted values. As many are compared with all of them as fit into
/// a few registers, and hits are as wide as the values until then. Inlined into the clones.
template <typename Lane, typename T>
inline __attribute__((always_inline)) void add_any_equal_of(std::span<const T> values,
                                                            std::span<const T> wanted,
                                                            ChunkBits& out) {
  static_assert(sizeof(Lane) == sizeof(T));
  constexpr std::size_t kTogether = sizeof(T) < 8 ? 64 : 16;
  std::array<std::uint8_t, 64> verdicts;
  std::size_t i = 0;
  for (; i + 64 <= values.size(); i += 64) {
    for (std::size_t j = 0; j < 64; j += kTogether) {
      const T* const some = values.data() + i + j;
      std::array<Lane, kTogether> hits{};
      for (const T one : wanted) {
        for (std::size_t k = 0; k < kTogether; ++k) hits[k] |= static_cast<Lane>(some[k] == one);
      }
      for (std::size_t k = 0; k < kTogether; ++k) {
        verdicts[j + k] = static_cast<std::uint8_t>(hits[k]);
      }
    }
    out.words[i / 64] |= pack(verdicts);
  }
  for (; i < values.size(); ++i) {
    if (std::find(wanted.begin(), wanted.end(), values[i]) != wanted.end()) out.insert(i);
  }
}

// Clang has no clones of templates.
FOVEA_CLONES void add_any_equal(std::span<const std::uint8_t> codes,
                                std::span<const std::uint8_t> wanted, ChunkBits& out) {
  add_any_equal_of<std::uint8_t>(codes, wanted, out);
}
FOVEA_CLONES void add_any_equal(std::span<const std::uint16_t> codes,
                                std::span<const std::uint16_t> wanted, ChunkBits& out) {
  add_any_equal_of<std::uint16_t>(codes, wanted, out);
}
FOVEA_CLONES void add_any_equal(std::span<const std::uint32_t> codes,
                                std::span<const std::uint32_t> wanted, ChunkBits& out) {
  add_any_equal_of<std::uint32_t>(codes, wanted, out);
}
FOVEA_CLONES void add_any_equal(std::span<const double> numbers, std::span<const double> wanted,
                                ChunkBits& out) {
  add_any_equal_of<std::uint64_t>(numbers, wanted, out);
}

template <typename Code>
ChunkBits passing_codes(std::span<const Code> codes, const CodeTest& test) {
  ChunkBits out;
  if (!test.verdicts.empty()) {
    const std::uint8_t* const verdicts = test.verdicts.data();
    add_passing(codes, [=](Code code) { return verdicts[code]; }, out);
    return out;
  }
  std::vector<Code> wanted;
  for (const std::uint32_t code : test.codes) {
    if (code <= std::numeric_limits<Code>::max()) wanted.push_back(static_cast<Code>(code));
  }
  if (!wanted.empty()) add_any_equal(codes, std::span<const Code>(wanted), out);
  return out;
}

}  // namespace

NumberSet::NumberSet(const std::vector<double>& numbers) {
  const std::size_t firsts = std::bit_ceil(8 * numbers.size() + 2);
  shift_ = 64 - std::countr_zero(firsts);
  slots_.assign(firsts + numbers.size(), std::numeric_limits<double>::quiet_NaN());
  for (const double number : numbers) {
    const std::size_t first = std::bit_cast<std::uint64_t>(number) * kFactor >> shift_;
    std::size_t slot = first;
    while (slots_[slot] == slots_[slot]) ++slot;
    slots_[slot] = number;
    probes_ = std::max(probes_, slot - first + 1);
  }
}

NumberTest::NumberTest(const Filter::Comparison& comparison) {
  std::vector<double> numbers;
  for (const Filter::Value& value : comparison.values) {
    if (const auto* number = std::get_if<double>(&value)) numbers.push_back(*number);
  }
  if (numbers.size() > kComparedMax) {
    set = NumberSet(numbers);
    return;
  }
  for (const double x : numbers) {
    switch (comparison.test) {
      case Filter::Test::kEqual:
        if (numbers.size() == 1) {
          ranges.push_back({x, x});  // what is compared with one alone is faster this way
        } else {
          equal.push_back(x);
        }
        break;
      case Filter::Test::kLess:
        ranges.push_back({-kInfinity, std::nextafter(x, -kInfinity)});
        break;
      case Filter::Test::kLessOrEqual:
        ranges.push_back({-kInfinity, x});
        break;
      case Filter::Test::kGreater:
        ranges.push_back({std::nextafter(x, kInfinity), kInfinity});
        break;
      case Filter::Test::kGreaterOrEqual:
        ranges.push_back({x, kInfinity});
        break;
      case Filter::Test::kHas:
        break;
    }
  }
}

bool CodeTest::holds(std::uint32_t code) const {
  if (!verdicts.empty()) return verdicts[code] != 0;
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

ChunkBits passing(std::span<const double> values, const NumberTest& test) {
  ChunkBits out;
  for (const NumberTest::Range range : test.ranges) add_in_range(values, range, out);
  if (!test.equal.empty()) add_any_equal(values, std::span(test.equal), out);
  if (!test.set.empty()) {
    add_passing(values, [&](double x) { return test.set.contains(x); }, out);
  }
  return out;
}
ChunkBits passing(std::span<const std::uint8_t> codes, const CodeTest& test) {
  return passing_codes(codes, test);
}
ChunkBits passing(std::span<const std::uint16_t> codes, const CodeTest& test) {
  return passing_codes(codes, test);
}
ChunkBits passing(std::span<const std::uint32_t> codes, const CodeTest& test) {
  return passing_codes(codes, test);
}

}  // namespace fovea::engine
