// A set of item rows as bits, one for each row below its size: what a filter leaves, as whoever
// filters makes it and whoever searches reads it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fovea::index {

/// Not thread-safe; read by many once it is made.
class RowSet {
 public:
  RowSet() = default;
  /// Of rows 0 .. rows - 1, none of them in it.
  explicit RowSet(std::size_t rows) : rows_(rows), words_((rows + 63) / 64) {}

  std::size_t rows() const { return rows_; }  ///< Rows at or beyond are not in it.
  bool contains(std::uint32_t row) const {
    return row < rows_ && (words_[row / 64] >> (row % 64) & 1) != 0;
  }
  void insert(std::uint32_t row) { words_[row / 64] |= std::uint64_t{1} << (row % 64); }
  void erase(std::uint32_t row) { words_[row / 64] &= ~(std::uint64_t{1} << (row % 64)); }

  std::size_t count() const {
    std::size_t sum = 0;
    for (const std::uint64_t word : words_) sum += static_cast<std::size_t>(std::popcount(word));
    return sum;
  }
  /// Calls visit(row) for each, ascending.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t w = 0; w < words_.size(); ++w) {
      for (std::uint64_t word = words_[w]; word != 0; word &= word - 1) {
        visit(
            static_cast<std::uint32_t>(64 * w + static_cast<std::size_t>(std::countr_zero(word))));
      }
    }
  }

  /// Row r is bit r % 64 of word r / 64; bits at or beyond rows() are 0.
  std::span<std::uint64_t> words() { return words_; }
  std::span<const std::uint64_t> words() const { return words_; }

 private:
  std::size_t rows_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace fovea::index
