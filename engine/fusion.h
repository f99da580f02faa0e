// Two searches to one list: what words and what vectors found for a query, by reciprocal rank
// (Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual
// rank learning methods", k = 60), and first of all what has the query as it was typed. Owns that
// formula; what it is worth beside a user's behaviours is rerank's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "index/vector_index.h"

namespace fovea::engine {

/// What each search counts for. By default vectors count twice: they are made of words too, and on
/// Cranfield with LSA's equal weights were worse than vectors alone.
struct FusionWeights {
  double words = 1;    ///< 0: words bring nothing.
  double vectors = 2;  ///< 0: vectors bring nothing.
};

/// What an item is to a query, in parts. All 0: neither search found it.
struct Relevance {
  double words = 0;    ///< weight * 61 / (60 + its place, from 1); equal scores share a place.
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
