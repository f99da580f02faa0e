// One search of one thread for the 500 nearest of V vectors of 64 channels, exact and approximate,
// with the share of the true 500 that the approximate index finds. Vectors lie around 1,000
// centres, as items lie around genres.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "index/vector_index.h"

namespace {

using fovea::index::build_index;
using fovea::index::IndexOptions;
using fovea::index::Neighbour;
using fovea::index::VectorIndex;

constexpr std::size_t kWidth = 64;
constexpr std::size_t kNeighbours = 500;
constexpr std::size_t kQueries = 64;
constexpr std::uint64_t kSeed = 1;

struct Vectors {
  std::vector<float> items;    // [V, kWidth]
  std::vector<float> queries;  // [kQueries, kWidth]

  std::span<const float> query(std::size_t q) const {
    return {queries.data() + q % kQueries * kWidth, kWidth};
  }
};

const Vectors& vectors(std::size_t count) {
  static std::map<std::size_t, Vectors> made;
  const auto [found, is_new] = made.try_emplace(count);
  Vectors& result = found->second;
  if (!is_new) return result;
  std::mt19937_64 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<float> centres(std::size_t{1000} * kWidth);
  for (float& x : centres) x = normal(random);
  const auto around = [&](std::size_t n, std::vector<float>& out) {
    for (std::size_t i = 0; i < n; ++i) {
      const float* centre = centres.data() + random() % 1000 * kWidth;
      for (std::size_t d = 0; d < kWidth; ++d) out.push_back(centre[d] + 0.5F * normal(random));
    }
  };
  around(count, result.items);
  around(kQueries, result.queries);
  return result;
}

std::unique_ptr<VectorIndex> build(std::size_t count, std::size_t exact_items_max) {
  std::vector<std::uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0U);
  return build_index(rows, vectors(count).items, kWidth,
                     IndexOptions{.exact_items_max = exact_items_max, .seed = kSeed}, 2);
}

void search(benchmark::State& state, const VectorIndex& index, std::size_t count) {
  std::size_t q = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.search(vectors(count).query(q++), kNeighbours, {}));
  }
}

void exact(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  search(state, *build(count, count), count);
}

void approximate(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const auto index = build(count, 0);
  search(state, *index, count);

  const auto truth = build(count, count);
  std::size_t found = 0;
  for (std::size_t q = 0; q < kQueries; ++q) {
    std::set<std::uint32_t> nearest;
    for (const Neighbour& n : truth->search(vectors(count).query(q), kNeighbours, {})) {
      nearest.insert(n.row);
    }
    for (const Neighbour& n : index->search(vectors(count).query(q), kNeighbours, {})) {
      found += nearest.count(n.row);
    }
  }
  state.counters["recall@500"] =
      static_cast<double>(found) / static_cast<double>(kQueries * kNeighbours);
}

BENCHMARK(exact)->Name("index/exact")->Arg(10'000)->Arg(50'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(approximate)->Name("index/approximate")->Arg(200'000)->Unit(benchmark::kMicrosecond);

}  // namespace
