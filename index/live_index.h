// An index whose items come and go while it is searched: main + fresh - removed.
// Main is immutable; fresh vectors lie beside it and are all compared; removed or replaced rows are
// left out of main. Decides whether main is searched under a filter or what the filter leaves is
// compared row by row. When main is built anew is index/generational_index's matter.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "index/fresh_vectors.h"
#include "index/row_set.h"
#include "index/vector_index.h"

namespace fovea::index {

/// The k nearest of some rows, best first, by their vectors in full precision, wherever they lie.
using NearestOf = std::function<std::vector<Neighbour>(
    const RowSet& rows, std::span<const float> query, std::size_t k)>;

/// Thread-safe: searches read one immutable state each and never wait for a writer.
class LiveIndex {
 public:
  /// `main` may be null: everything is fresh. `nearest_of` knows the vectors of main's rows;
  /// without it every filter is left to main.
  LiveIndex(std::unique_ptr<const VectorIndex> main, std::size_t width, NearestOf nearest_of = {});

  /// Adds or replaces rows; `vectors` is [rows.size(), width], finite; of a row given twice the
  /// last counts. Visible to the next search. Costs what FreshVectors::put() does, and a bit for
  /// each row of main where one of them is replaced.
  void put(std::span<const std::uint32_t> rows, std::span<const float> vectors);
  void remove(std::span<const std::uint32_t> rows);

  /// At most k live rows that are in `allow`, best first; null allows all. Of 100, at least .95 are
  /// those of exact search, whatever `allow` leaves (tests/benchmarks/recall_benchmark.cpp).
  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowSet* allow = nullptr) const;
  /// The same for B queries at once, [B, width()]; `allow` is empty or has a pointer for each
  /// query. Returns B lists.
  std::vector<std::vector<Neighbour>> search_batch(std::span<const float> queries, std::size_t k,
                                                   std::span<const RowSet* const> allow = {}) const;

  /// As search(), of all live rows and not only of what main would read: time goes with their
  /// number. Where nothing else knows main's vectors it is as exact as main.
  std::vector<Neighbour> search_exact(std::span<const float> query, std::size_t k,
                                      const RowSet* allow = nullptr) const;

  bool contains(std::uint32_t row) const;
  std::size_t size() const;  ///< Live rows.
  std::size_t width() const { return width_; }
  std::string kind() const;  ///< Of main; "exact" without one.

  /// What one search sees beside main.
  struct State {
    std::shared_ptr<const RowSet> left_in_main;  // rows of main that are its own still
    std::size_t out_of_main = 0;                 // and how many are not: removed, or fresh now
    FreshVectors fresh;
  };
  /// For who keeps a copy of it elsewhere: another pointer with every change.
  std::shared_ptr<const State> state() const;
  std::vector<std::uint32_t> rows(const State& state) const;         ///< Live, ascending.
  std::vector<std::uint32_t> out_of_main(const State& state) const;  ///< Of main, ascending.
  const VectorIndex* main() const { return main_.get(); }            ///< Null: everything is fresh.

 private:
  /// `filter` gives each query's.
  void search_main(const State& state, std::span<const float> queries, std::size_t k,
                   const std::function<const RowSet*(std::size_t b)>& filter,
                   std::vector<std::vector<Neighbour>>& found) const;
  /// Takes rows out of main and lets `change` do the rest.
  void replace(std::span<const std::uint32_t> rows,
               const std::function<void(FreshVectors& fresh)>& change);

  std::size_t width_;
  std::shared_ptr<const VectorIndex> main_;
  NearestOf nearest_of_;
  std::shared_ptr<const RowSet> in_main_;
  std::mutex writing_;        // one writer at a time
  mutable std::mutex mutex_;  // guards the pointer only, never held while anything is computed
  std::shared_ptr<const State> state_;
};

}  // namespace fovea::index
