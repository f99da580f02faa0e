#include "engine/fusion.h"

#include <algorithm>
#include <unordered_map>

namespace fovea::engine {
namespace {

/// Scores this near, as a share of the greater, are one score: the same product comes out of two
/// indexes in other digits, and equal items would change places.
constexpr float kSame = 1e-5F;

/// Of the best score; of a list best first.
std::vector<double> shares(std::span<const index::Neighbour> list) {
  std::vector<double> share(list.size());
  std::size_t first = 0;  // of those with this score
  for (std::size_t i = 0; i < list.size() && list[i].score > 0; ++i) {
    if (list[first].score - list[i].score > kSame * list[first].score) first = i;
    share[i] = static_cast<double>(list[first].score) / static_cast<double>(list[0].score);
  }
  return share;
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
    const std::vector<double> share = shares(words);
    for (std::size_t i = 0; i < words.size(); ++i) {
      found[words[i].row].words = weights.words * share[i];
    }
    for (const std::uint32_t row : exact) found[row].exact = weights.words + weights.vectors;
  }
  if (weights.vectors > 0) {
    const std::vector<double> share = shares(vectors);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      found[vectors[i].row].vectors = weights.vectors * share[i];
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
