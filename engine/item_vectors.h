// Item vectors by row: the arrays of a version, and over them the items put since, as a
// copy-on-write snapshot. Owns where the vectors lie in memory; how they are made is ranking's, who
// is near whom is index's.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace fovea::engine {

/// Copies of some rows' vectors, in the order asked; zeros for a row that has none.
struct GatheredVectors {
  std::vector<float> texts;  ///< [n, K]
  std::vector<float> items;  ///< [n, D]
};

/// Thread-safe: readers see one immutable state and never wait for a writer.
class ItemVectors {
 public:
  /// `texts` is [V, K]; `items` is [V, D], empty with D = 0 where nothing was learned.
  ItemVectors(std::vector<float> texts, std::size_t text_width, std::vector<float> items,
              std::size_t item_width);

  std::size_t text_width() const { return text_width_; }  ///< K
  std::size_t item_width() const { return item_width_; }  ///< D

  /// Adds or replaces distinct rows; `texts` is [n, K], `items` [n, D]. Visible to the next gather.
  void put(std::span<const std::uint32_t> rows, std::span<const float> texts,
           std::span<const float> items);

  GatheredVectors gather(std::span<const std::uint32_t> rows) const;

 private:
  /// A fresh row with its K + D floats, shared between the snapshots that hold it.
  using Fresh = std::pair<std::uint32_t, std::shared_ptr<const std::vector<float>>>;
  using Snapshot = std::vector<Fresh>;  // ascending by row
  std::shared_ptr<const Snapshot> fresh() const;

  std::size_t text_width_;
  std::size_t item_width_;
  std::vector<float> texts_;
  std::vector<float> items_;
  mutable std::mutex mutex_;  // guards the pointer swap and orders writers
  std::shared_ptr<const Snapshot> fresh_;
};

}  // namespace fovea::engine
