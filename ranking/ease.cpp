// See ease.h.
#include "ranking/ease.h"

#include <algorithm>
#include <cmath>
#include <vector>

// OpenBLAS' LAPACK: Cholesky factor and inverse of a symmetric matrix, in place, column-major.
// NOLINTBEGIN(readability-identifier-naming): Fortran's names.
extern "C" {
void spotrf_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void spotri_(const char* uplo, const int* n, float* a, const int* lda, int* info);
void openblas_set_num_threads(int threads);
}
// NOLINTEND(readability-identifier-naming)

namespace fovea::ranking {

ItemPairs solve_ease(const Interactions& interactions, std::size_t items,
                     std::span<const float> action_weights, const EaseOptions& options,
                     int threads) {
  const auto counts = [&](const Behaviour& b) {
    return b.row < items && (b.action >= action_weights.size() || action_weights[b.action] > 0);
  };
  std::vector<std::uint32_t> place(items, 0);
  for (const Behaviour& b : interactions.behaviours) {
    if (counts(b)) place[b.row] = 1;
  }
  std::vector<std::uint32_t> rows;  // [n] touched
  for (std::uint32_t row = 0; row < items; ++row) {
    if (place[row] == 0) continue;
    place[row] = static_cast<std::uint32_t>(rows.size());
    rows.push_back(row);
  }
  const std::size_t n = rows.size();
  if (n < 2 || n > options.items_max) return {};

  // The lower triangle of X'X, by columns.
  std::vector<float> gram(n * n);
  std::vector<std::uint32_t> user;
  for (std::size_t u = 0; u < interactions.users(); ++u) {
    user.clear();
    for (const Behaviour& b : interactions.user(u)) {
      if (counts(b)) user.push_back(place[b.row]);
    }
    std::ranges::sort(user);
    user.erase(std::ranges::unique(user).begin(), user.end());
    for (std::size_t i = 0; i < user.size(); ++i) {
      float* column = gram.data() + user[i] * n;
      for (std::size_t j = i; j < user.size(); ++j) column[user[j]] += 1;
    }
  }
  for (std::size_t i = 0; i < n; ++i) gram[i * n + i] += static_cast<float>(options.ridge);
  const int size = static_cast<int>(n);
  int info = 0;
  openblas_set_num_threads(threads);
  spotrf_("L", &size, gram.data(), &size, &info);
  if (info == 0) spotri_("L", &size, gram.data(), &size, &info);
  if (info != 0) return {};  // not positive definite: only with a ridge of nothing

  ItemPairs result;
  for (std::uint32_t row = 0; row < items; ++row) {
    std::vector<ItemPairs::Entry> entries;
    if (rows[place[row]] == row) {
      const std::size_t i = place[row];
      for (std::size_t j = 0; j < n; ++j) {
        if (j == i) continue;
        const float p = gram[std::min(i, j) * n + std::max(i, j)];
        entries.push_back({rows[j], -p / gram[j * n + j]});
      }
    }
    result.add_source(std::move(entries), options.row_entries_max);
  }
  return result;
}

}  // namespace fovea::ranking
