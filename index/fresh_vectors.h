// Vectors by row that came after an array was built: what is laid over it until the next one. A
// copy is a snapshot and costs next to nothing, because copies share the vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace fovea::index {

/// Reading a copy is thread-safe, also while the copy made from it last takes puts: vectors are
/// only ever written behind those that older copies know. So each state is to be made from the
/// newest, by one writer at a time.
///
/// A put writes its vectors once and copies 16 KiB for each 4,096 rows that it touches, a pointer
/// for each 256 vectors held and for each 4,096 rows below the greatest. Vectors that were replaced
/// or removed go when they are more than half.
class FreshVectors {
 public:
  explicit FreshVectors(std::size_t width) : width_(width) {}

  /// Adds or replaces; `vectors` is [rows.size(), width]; of a row given twice the last counts.
  void put(std::span<const std::uint32_t> rows, std::span<const float> vectors);
  void remove(std::span<const std::uint32_t> rows);  ///< Those that are not there are passed over.

  std::size_t size() const { return size_; }
  std::size_t width() const { return width_; }
  /// One more than the greatest row ever put.
  std::size_t rows_end() const { return rows_end_; }
  /// [width], for as long as this copy lives; null: nothing was put for that row.
  const float* find(std::uint32_t row) const {
    const std::uint32_t place = place_of(row);
    return place == kNowhere ? nullptr : vector_at(place);
  }
  /// Calls visit(row, vector) for each, in the order of their last puts.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::uint32_t place = 0; place < used_; ++place) {
      const std::uint32_t row = blocks_[place / kBlock]->rows[place % kBlock];
      if (place_of(row) == place) visit(row, vector_at(place));
    }
  }

 private:
  static constexpr std::size_t kBlock = 256;   // vectors
  static constexpr std::size_t kPage = 4'096;  // rows
  static constexpr std::uint32_t kNowhere = 0xFFFFFFFF;

  /// Vectors one behind the other as they came; places are counted through all blocks.
  struct Block {
    std::array<std::uint32_t, kBlock> rows;
    std::unique_ptr<float[]> vectors;  // [kBlock, width]
  };
  /// Where the vectors of consecutive rows lie.
  using Page = std::array<std::uint32_t, kPage>;
  class Pages;

  std::uint32_t place_of(std::uint32_t row) const {
    if (row / kPage >= pages_.size() || !pages_[row / kPage]) return kNowhere;
    return (*pages_[row / kPage])[row % kPage];
  }
  const float* vector_at(std::uint32_t place) const {
    return blocks_[place / kBlock]->vectors.get() + place % kBlock * width_;
  }
  void pack();

  std::size_t width_;
  std::size_t size_ = 0;
  std::size_t rows_end_ = 0;
  std::uint32_t used_ = 0;  // places
  std::vector<std::shared_ptr<Block>> blocks_;
  std::vector<std::shared_ptr<const Page>> pages_;  // null: none of these rows
};

}  // namespace fovea::index
