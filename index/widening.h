// Filters over an index that knows none: ask for more neighbours than wanted, drop what the filter
// refuses, ask for still more, and in the end ask an exact index that filters. Private to index/;
// knows no device, so that it is tested without one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "index/vector_index.h"

namespace fovea::index {

/// Neighbours that one call of Faiss' GPU indexes returns at most, and its queries at most.
inline constexpr std::size_t kGpuNeighboursMax = 2048;
inline constexpr std::size_t kGpuQueriesMax = 65'535;

/// The k nearest of each of n queries [n, width], best first, as numbers of vectors; -1 and
/// anything for a score where there are no more. `ids` and `scores` are [n, k].
using Fetch = std::function<void(std::span<const float> queries, std::size_t k,
                                 std::span<std::int64_t> ids, std::span<float> scores)>;

struct Unfiltered {
  Fetch fetch;
  std::size_t width = 0;
  std::span<const std::uint32_t> rows;  ///< By number of vector.
  bool complete = false;                ///< Asked for every vector it returns every vector.
  std::size_t neighbours_max = 0;       ///< k of one fetch.
  std::size_t queries_max = 0;          ///< n of one fetch.
};

/// Neighbours to ask for when k must be left after a filter: some more at first, four times as many
/// as last time when `last` were too few. Never more than `most`.
std::size_t widened(std::size_t k, std::size_t last, std::size_t most);

/// Inverted lists to read for `asked` neighbours: those that hold sixteen times as many, so that a
/// search made wider for a filter loses no more than a narrow one, and `least` at least. At most
/// what Faiss reads on a GPU, which is as many as neighbours, and all `lists` of the `size`
/// vectors.
std::size_t lists_to_read(std::size_t least, std::size_t asked, std::size_t lists,
                          std::size_t size);

/// What to ask main for when k neighbours shall be left without the `removed` ones of its `size`,
/// in one fetch; `fetch` is at least 1.
struct Ask {
  std::size_t fetch = 0;
  bool complete = false;  ///< k are left for certain, or all there are.
};
Ask ask_main(std::size_t k, std::size_t removed, std::size_t size, bool complete);

/// As VectorIndex::search_batch. `exact` holds the same vectors.
std::vector<std::vector<Neighbour>> search_widening(const Unfiltered& index,
                                                    const VectorIndex& exact,
                                                    std::span<const float> queries, std::size_t k,
                                                    std::span<const RowSet* const> allow);

}  // namespace fovea::index
