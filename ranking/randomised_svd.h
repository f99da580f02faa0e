// The leading right singular vectors of a sparse matrix, by random projection with power iterations
// (Halko, Martinsson, Tropp, arXiv 0909.4061). Owns the algebra; what rows and columns mean is the
// text encoder's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fovea::ranking {

/// Compressed rows: row r owns entries [offsets[r], offsets[r + 1]), each a column and a value.
struct SparseMatrix {
  struct Entry {
    std::uint32_t column = 0;
    float value = 0;
  };
  std::size_t columns = 0;
  std::vector<std::size_t> offsets = {0};
  std::vector<Entry> entries;

  std::size_t rows() const { return offsets.size() - 1; }
};

/// [columns, width], one singular vector per column, strongest first. Columns beyond the matrix's
/// rank are zero. The same seed gives the same numbers on any number of threads.
std::vector<float> right_singular_vectors(const SparseMatrix& matrix, std::size_t width,
                                          std::uint64_t seed, int threads);

}  // namespace fovea::ranking
