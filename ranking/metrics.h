// Ranking quality from ranks: hit rate, NDCG, MRR, coverage. Owns the definitions, nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

namespace fovea::ranking {

struct Metrics {
  std::size_t users = 0;
  double hr_5 = 0, hr_10 = 0;      ///< Share of users whose one relevant item is in the top k.
  double ndcg_5 = 0, ndcg_10 = 0;  ///< Mean of 1 / log2(rank + 2), rank from 0, 0 beyond k.
  double mrr = 0;          ///< Mean of 1 / (rank + 1); 0 where the item was not ranked at all.
  double coverage_10 = 0;  ///< Share of the catalogue that stands in somebody's top 10.
};

/// What place `rank`, from 0, is worth in DCG: 1 / log2(rank + 2) (Jarvelin and Kekalainen 2002).
double discount(std::size_t rank);

/// Collects one user at a time. Not thread-safe.
class MetricsCollector {
 public:
  /// `rank` of the relevant item from 0; absent: not ranked. `top` are the rows shown, best first.
  void add(std::optional<std::size_t> rank, std::span<const std::uint32_t> top);
  Metrics metrics(std::size_t catalogue_items) const;

 private:
  Metrics sums_;
  std::unordered_set<std::uint32_t> shown_;
};

}  // namespace fovea::ranking
