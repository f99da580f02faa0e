// One attribute's values among the rows of one chunk of the catalogue. Owns how they lie in memory;
// engine/attributes owns which columns there are and what their codes mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>
#include <variant>
#include <vector>

#include "engine/value_tests.h"

namespace fovea::engine {

/// Immutable. `Value` is double, or std::uint32_t for codes, of which a row may have several; code
/// 0 stands for an empty list, and no test holds for it.
///
/// Values of many rows lie by offset, one for each row; others lie one after the other beside their
/// offsets, so that an attribute of few items costs little. In lists, a code that many rows share
/// is a set of offsets, which is smaller and needs no loop.
template <typename Value>
class Column {
  static constexpr bool kNumbers = std::is_same_v<Value, double>;

 public:
  using Test = std::conditional_t<kNumbers, NumberTest, CodeTest>;
  struct Entry {
    std::uint16_t offset = 0;
    Value value{};
  };

  /// Of distinct entries in any order, numbers finite. Null when there are none.
  static std::shared_ptr<const Column> make(std::vector<Entry> entries);
  /// Those whose offsets are not in `without`, in any order.
  std::vector<Entry> entries(const ChunkBits& without) const;

  /// Each adds rows to `out`: those where the test holds for a value, those that have a value.
  void select(const Test& test, ChunkBits& out) const;
  void select_present(ChunkBits& out) const;

  /// Calls see(value) for each value of a row; for none of an empty list.
  template <typename See>
  void visit(std::uint16_t offset, const See& see) const;

  bool has(std::uint16_t offset) const;  ///< A value, be it an empty list.

  std::size_t bytes() const;  ///< Of memory.

 private:
  /// Codes are as narrow as the largest allows: the loops are as fast as memory.
  using Stored =
      std::conditional_t<kNumbers, std::variant<std::vector<double>>,
                         std::variant<std::vector<std::uint8_t>, std::vector<std::uint16_t>,
                                      std::vector<std::uint32_t>>>;
  struct Shared {
    Value value{};
    ChunkBits rows;
  };

  /// What stands for no value where values lie by offset.
  static constexpr Value kAbsent = kNumbers ? std::numeric_limits<Value>::quiet_NaN() : Value{};
  static bool is_absent(Value value) {
    if constexpr (kNumbers) {
      return std::isnan(value);
    } else {
      return value == kAbsent;
    }
  }

  /// Moves codes that many rows share from `entries` to shared_.
  void share(std::vector<Entry>& entries);
  void store(const std::vector<Entry>& entries);

  bool by_offset_ = false;
  Stored values_;                       // by offset: kChunkRows, some of them kAbsent
  std::vector<std::uint16_t> offsets_;  // of values_, ascending, where they do not lie by offset
  std::vector<Shared> shared_;          // beside values_
  std::vector<ChunkBits> present_;      // one; none where there are few entries
};

template <typename Value>
template <typename See>
void Column<Value>::visit(std::uint16_t offset, const See& see) const {
  std::size_t first = offset;
  std::size_t last = first + 1;
  if (!by_offset_) {
    const auto range = std::equal_range(offsets_.begin(), offsets_.end(), offset);
    first = static_cast<std::size_t>(range.first - offsets_.begin());
    last = static_cast<std::size_t>(range.second - offsets_.begin());
  }
  std::visit(
      [&](const auto& values) {
        for (std::size_t i = first; i < last; ++i) {
          if (!is_absent(values[i])) see(Value{values[i]});
        }
      },
      values_);
  for (const Shared& shared : shared_) {
    if (!is_absent(shared.value) && shared.rows.contains(offset)) see(shared.value);
  }
}

}  // namespace fovea::engine
