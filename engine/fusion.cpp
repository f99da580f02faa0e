#include "engine/fusion.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace fovea::engine {
namespace {

constexpr double kRankOffset = 60;

/// Scores this near, as a share of the greater, are one score: the same product comes out of two
/// indexes in other digits, and equal items would change places.
constexpr float kSame = 1e-5F;

/// What each is worth by its place; those of one score share the first's.
std::vector<double> by_place(std::span<const index::Neighbour> list) {
  std::vector<double> worth(list.size());
  std::size_t first = 0;  // of those with this score
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[first].score - list[i].score > kSame * std::abs(list[first].score)) first = i;
    worth[i] = (kRankOffset + 1) / (kRankOffset + 1 + static_cast<double>(first));
  }
  return worth;
}

}  // namespace

std::string_view Relevance::source() const {
  return words > 0 && words + exact >= vectors ? "words" : "vectors";
}

std::vector<Relevant> fuse(std::span<const index::Neighbour> words,
                           std::span<const index::Neighbour> vectors,
                           std::span<const std::uint32_t> exact, const FusionWeights& weights,
                           std::size_t n) {
  std::unordered_map<std::uint32_t, Relevance> found;
  found.reserve(words.size() + vectors.size());
  if (weights.words > 0) {
    const std::vector<double> worth = by_place(words);
    for (std::size_t i = 0; i < words.size(); ++i) {
      found[words[i].row].words = weights.words * worth[i];
    }
    for (const std::uint32_t row : exact) found[row].exact = weights.words + weights.vectors;
  }
  if (weights.vectors > 0) {
    const std::vector<double> worth = by_place(vectors);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      found[vectors[i].row].vectors = weights.vectors * worth[i];
    }
  }
  std::vector<Relevant> all;
  all.reserve(found.size());
  for (const auto& [row, relevance] : found) all.push_back({row, relevance});
  std::ranges::sort(all, [](const Relevant& a, const Relevant& b) {
    const double sum_a = a.relevance.sum();
    const double sum_b = b.relevance.sum();
    return sum_a != sum_b ? sum_a > sum_b : a.row < b.row;
  });
  if (all.size() > n) all.resize(n);
  return all;
}

}  // namespace fovea::engine
