// Item vectors by row: the arrays of a version, and over them the items put since, as a
// copy-on-write snapshot. Owns where the vectors lie in memory, and compares a query with a few of
// them there; how they are made is ranking's, who is near whom among all is index's.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "index/fresh_vectors.h"
#include "index/row_set.h"
#include "index/vector_index.h"

namespace fovea::engine {

/// Copies of some rows' vectors, in the order asked; zeros for a row that has none.
struct GatheredVectors {
  std::vector<float> texts;  ///< [n, K]
  std::vector<float> items;  ///< [n, D]
};

/// Thread-safe: readers see one immutable state and never wait for a writer.
class ItemVectors {
 public:
  /// Which of a row's two vectors.
  enum class Part { kText, kItem };

  /// `texts` is [V, K]; `items` is [V, D], empty with D = 0 where nothing was learned.
  ItemVectors(std::vector<float> texts, std::size_t text_width, std::vector<float> items,
              std::size_t item_width);

  std::size_t text_width() const { return text_width_; }  ///< K
  std::size_t item_width() const { return item_width_; }  ///< D
  std::size_t width(Part part) const { return part == Part::kText ? text_width_ : item_width_; }
  /// One more than the greatest row that has vectors.
  std::size_t rows_end() const;

  /// Adds or replaces distinct rows; `texts` is [n, K], `items` [n, D]. Visible to the next gather.
  /// Costs what index::FreshVectors::put() does.
  void put(std::span<const std::uint32_t> rows, std::span<const float> texts,
           std::span<const float> items);

  GatheredVectors gather(std::span<const std::uint32_t> rows) const;
  /// One part alone, into [rows.size(), width(part)].
  void gather(Part part, std::span<const std::uint32_t> rows, std::span<float> vectors) const;

  /// The k of `rows` whose vectors have the greatest inner product with `query` [width(part)], best
  /// first; of equal ones the lower row first. Compares each where it lies. Rows without vectors
  /// are passed over.
  std::vector<index::Neighbour> nearest(Part part, const index::RowSet& rows,
                                        std::span<const float> query, std::size_t k) const;

 private:
  /// Null: the row has none.
  const float* find(const index::FreshVectors& fresh, Part part, std::uint32_t row) const;
  std::shared_ptr<const index::FreshVectors> fresh() const;

  std::size_t text_width_;
  std::size_t item_width_;
  std::vector<float> texts_;
  std::vector<float> items_;
  std::mutex writing_;        // one writer at a time
  mutable std::mutex mutex_;  // guards the pointer only, never held while anything is copied
  std::shared_ptr<const index::FreshVectors> fresh_;  // [K + D] of each
};

}  // namespace fovea::engine
