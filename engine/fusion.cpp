#include "engine/fusion.h"

#include <algorithm>
#include <unordered_map>

namespace fovea::engine {
namespace {

constexpr double kRankOffset = 60;

double at_place(std::size_t place_from_0) {
  return (kRankOffset + 1) / (kRankOffset + 1 + static_cast<double>(place_from_0));
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
    for (std::size_t i = 0; i < words.size(); ++i) {
      found[words[i].row].words = weights.words * at_place(i);
    }
    for (const std::uint32_t row : exact) found[row].exact = weights.words + weights.vectors;
  }
  if (weights.vectors > 0) {
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      found[vectors[i].row].vectors = weights.vectors * at_place(i);
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
