// An index whose items come and go while it is searched: main + fresh - removed.
// Main is immutable; fresh items sit in a small exact index; removed or replaced rows are left out
// of main.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "index/vector_index.h"

namespace fovea::index {

/// Thread-safe: searches read one immutable state each and never wait for a writer.
class LiveIndex {
 public:
  /// `main` may be null: everything is fresh.
  LiveIndex(std::unique_ptr<const VectorIndex> main, std::size_t width);

  /// Adds or replaces rows; `vectors` is [rows.size(), width], finite; of a row given twice the
  /// last counts. Visible to the next search. Costs a copy of all fresh vectors.
  void put(std::span<const std::uint32_t> rows, std::span<const float> vectors);
  void remove(std::span<const std::uint32_t> rows);

  /// At most k live rows that `allow` accepts (empty: all), best first.
  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowFilter& allow = {}) const;
  /// The same for B queries at once, [B, width]; `allow` is empty or holds one filter per query.
  /// Returns B lists.
  std::vector<std::vector<Neighbour>> search_batch(std::span<const float> queries, std::size_t k,
                                                   std::span<const RowFilter> allow = {}) const;

  std::size_t size() const;  ///< Live rows.
  std::size_t width() const { return width_; }
  std::string kind() const;  ///< Of main; "exact" without one.

  /// What one search sees beside main. Fresh vectors are few; their index is built anew by every
  /// put.
  struct State {
    std::unordered_set<std::uint32_t> out_of_main;  // rows of main: removed, or fresh now
    std::vector<std::uint32_t> fresh_rows;
    std::vector<float> fresh_vectors;          // [fresh, width]
    std::unique_ptr<const VectorIndex> fresh;  // null when there are none
  };
  /// For who keeps a copy of it elsewhere: another pointer with every change.
  std::shared_ptr<const State> state() const;
  const VectorIndex* main() const { return main_.get(); }  ///< Null: everything is fresh.

 private:
  /// Takes rows out, and with `vectors` not empty puts them in again as fresh.
  void replace(std::span<const std::uint32_t> rows, std::span<const float> vectors);

  std::size_t width_;
  std::shared_ptr<const VectorIndex> main_;
  std::vector<bool> in_main_;  // by row
  std::mutex writing_;         // one writer at a time
  mutable std::mutex mutex_;   // guards the pointer only, never held while anything is computed
  std::shared_ptr<const State> state_;
};

}  // namespace fovea::index
