// Two searches to one list: what words and what vectors found for a query, each by its share of the
// best score of its list (a convex combination of normalised scores: Bruch, Gai and Ingber, "An
// Analysis of Fusion Functions for Hybrid Retrieval", arXiv 2210.11934), and first of all what has
// the query as it was typed. Owns that formula; what it is worth beside a user's behaviours is
// rerank's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "index/vector_index.h"

namespace fovea::engine {

/// What each search counts for.
struct FusionWeights {
  double words = 1;    ///< 0: words bring nothing.
  double vectors = 1;  ///< 0: vectors bring nothing.
};

/// What an item is to a query, in parts. All 0: neither search found it.
struct Relevance {
  double words = 0;    ///< weight * its score / the list's best; 0 for a score below 0.
  double vectors = 0;  ///< The same.
  /// Where its text has all of the query's words, one after the other: both weights, so that it
  /// comes before all that have not.
  double exact = 0;

  double sum() const { return words + vectors + exact; }
  /// "words" or "vectors", whichever is worth more here.
  std::string_view source() const;
};

struct Relevant {
  std::uint32_t row = 0;
  Relevance relevance;
};

/// Both lists best first; `exact` is any of the rows. At most n, most relevant first, ties by row.
std::vector<Relevant> fuse(std::span<const index::Neighbour> words,
                           std::span<const index::Neighbour> vectors,
                           std::span<const std::uint32_t> exact, const FusionWeights& weights,
                           std::size_t n);

}  // namespace fovea::engine
