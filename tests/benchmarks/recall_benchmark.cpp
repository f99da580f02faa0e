// What a filter costs: recall@k against exact filtered search and microseconds per query of the one
// search that the engine calls, by kind of index, by share and kind of what the filter leaves, and
// by how much has come and gone since the index was built. Vectors are generated around centres, as
// items lie around genres.
//
//   fovea_recall [--items 200000] [--width 64] [--k 100] [--queries 100] [--seed 1]
//   fovea_recall --switch    what comparing row by row and searching under a filter cost, by rows
//   left fovea_recall --puts      what puts of one item cost beside the fresh ones before them
//
// Ends with 1 where a mean recall is below .95. One thread measures; two build.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/item_vectors.h"
#include "index/generational_index.h"
#include "index/gpu_index.h"

namespace {

using fovea::engine::ItemVectors;
using fovea::index::GenerationalIndex;
using fovea::index::GpuKind;
using fovea::index::IndexOptions;
using fovea::index::LiveIndex;
using fovea::index::Neighbour;
using fovea::index::RowSet;
using fovea::index::VectorIndex;

constexpr double kRecallMin = 0.95;
constexpr auto kItem = ItemVectors::Part::kItem;

struct Sizes {
  std::size_t items = 200'000;
  std::size_t width = 64;
  std::size_t clusters = 1'000;
  std::size_t k = 100;
  std::size_t queries = 100;
  std::uint64_t seed = 1;
};

/// Items and queries, each around one of the centres. Rows from `items` on come after the build.
struct Data {
  Data(const Sizes& given, std::size_t more)
      : sizes(given), random(given.seed), centres(given.clusters * given.width) {
    std::normal_distribution<float> normal;
    for (float& x : centres) x = normal(random);
    around(sizes.items + more, vectors, cluster);
    around(sizes.queries, queries, query_cluster);
  }

  void around(std::size_t n, std::vector<float>& out, std::vector<std::uint32_t>& of) {
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < n; ++i) {
      of.push_back(static_cast<std::uint32_t>(random() % sizes.clusters));
      const float* centre = centres.data() + of.back() * sizes.width;
      for (std::size_t d = 0; d < sizes.width; ++d)
        out.push_back(centre[d] + 0.5F * normal(random));
    }
  }
  std::span<const float> query(std::size_t q) const {
    return std::span(queries).subspan(q * sizes.width, sizes.width);
  }
  std::span<const float> some(std::size_t begin, std::size_t count) const {
    return std::span(vectors).subspan(begin * sizes.width, count * sizes.width);
  }

  Sizes sizes;
  std::mt19937_64 random;
  std::vector<float> centres, vectors, queries;
  std::vector<std::uint32_t> cluster, query_cluster;
};

std::vector<std::uint32_t> counted(std::size_t begin, std::size_t count) {
  std::vector<std::uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(begin));
  return rows;
}

/// An index with the vectors by row that it is rebuilt and narrowly searched from, as LiveModel has
/// them.
struct Served {
  using Build = std::function<std::unique_ptr<VectorIndex>(std::span<const std::uint32_t>,
                                                           std::span<const float>)>;
  Served(const Data& data, const Build& build, const IndexOptions& options)
      : vectors({}, 0, {data.vectors.begin(), data.vectors.begin() + built(data)},
                data.sizes.width),
        index(
            build(counted(0, data.sizes.items), data.some(0, data.sizes.items)), data.sizes.width,
            [this](auto rows, auto out) { vectors.gather(kItem, rows, out); },
            [this](const auto& rows, auto query, auto k) {
              return vectors.nearest(kItem, rows, query, k);
            },
            {.index = options}) {}

  static std::ptrdiff_t built(const Data& data) {
    return static_cast<std::ptrdiff_t>(data.sizes.items * data.sizes.width);
  }
  void put(std::span<const std::uint32_t> rows, std::span<const float> values) {
    vectors.put(rows, {}, values);
    index.put(rows, values);
  }

  ItemVectors vectors;
  GenerationalIndex index;
};

enum class Leaves { kRandom, kNear, kFar };

/// A filter that leaves `share` of all rows: any, or whole clusters with the query's among them or
/// not.
RowSet filter(Data& data, std::size_t rows, double share, Leaves leaves, std::size_t query) {
  const auto wanted = static_cast<std::size_t>(share * static_cast<double>(rows));
  std::vector<std::uint32_t> order = counted(0, rows);
  std::ranges::shuffle(order, data.random);
  if (leaves != Leaves::kRandom) {
    auto clusters = counted(0, data.sizes.clusters);
    std::ranges::shuffle(clusters, data.random);
    std::vector<std::uint32_t> place(clusters.size());
    for (std::size_t i = 0; i < clusters.size(); ++i)
      place[clusters[i]] = static_cast<std::uint32_t>(i) + 1;
    place[data.query_cluster[query]] =
        leaves == Leaves::kNear ? 0 : static_cast<std::uint32_t>(clusters.size()) + 1;
    std::ranges::stable_sort(order, {},
                             [&](std::uint32_t row) { return place[data.cluster[row]]; });
  }
  RowSet allow(rows);
  for (std::size_t i = 0; i < wanted; ++i) allow.insert(order[i]);
  return allow;
}

double microseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

struct Cell {
  double recall = 0, mean_us = 0, p99_us = 0;
};

Cell measure(Data& data, const Served& served, const std::set<std::uint32_t>& gone,
             std::size_t rows, double share, Leaves leaves) {
  std::vector<double> times;
  double found = 0;
  double expected = 0;
  for (std::size_t q = 0; q < data.sizes.queries; ++q) {
    RowSet allow = filter(data, rows, share, leaves, q);
    const RowSet* given = share < 1 ? &allow : nullptr;
    std::vector<Neighbour> got;
    times.push_back(
        microseconds([&] { got = served.index.search(data.query(q), data.sizes.k, given); }));
    for (const std::uint32_t row : gone) allow.erase(row);
    std::set<std::uint32_t> right;
    for (const auto& n : served.vectors.nearest(kItem, allow, data.query(q), data.sizes.k)) {
      right.insert(n.row);
    }
    expected += static_cast<double>(right.size());
    for (const auto& n : got) {
      if (!allow.contains(n.row)) {
        std::fprintf(stderr, "row %u is not allowed\n", n.row);
        std::exit(2);
      }
      found += static_cast<double>(right.erase(n.row));
    }
  }
  std::ranges::sort(times);
  return {expected > 0 ? found / expected : 1,
          std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size()),
          times[std::min(times.size() - 1, times.size() * 99 / 100)]};
}

bool table(const Sizes& sizes, std::string_view kind, const Served::Build& build,
           const IndexOptions& options) {
  const std::size_t changed = sizes.items / 10;
  Data data(sizes, changed);
  Served served(data, build, options);
  bool enough = true;
  std::set<std::uint32_t> gone;
  std::size_t rows = sizes.items;
  const auto print = [&](const char* churn) {
    for (const double share : {1.0, 0.5, 0.2, 0.1, 0.01, 0.001, 0.0001}) {
      std::printf("| %s, %s | %g %% |", std::string(kind).c_str(), churn, 100 * share);
      for (const Leaves leaves : {Leaves::kRandom, Leaves::kNear, Leaves::kFar}) {
        if (share == 1 && leaves != Leaves::kRandom) {
          std::printf(" |");
          continue;
        }
        const Cell cell = measure(data, served, gone, rows, share, leaves);
        enough = enough && cell.recall >= kRecallMin;
        std::printf(" %.3f, %.0f, %.0f |", cell.recall, cell.mean_us, cell.p99_us);
      }
      std::printf("\n");
      std::fflush(stdout);
    }
  };
  print("as built");
  std::vector<std::uint32_t> removed = counted(0, sizes.items);
  std::ranges::shuffle(removed, data.random);
  removed.resize(changed);
  served.put(counted(sizes.items, changed), data.some(sizes.items, changed));
  served.index.remove(removed);
  gone.insert(removed.begin(), removed.end());
  rows += changed;
  print("10 % came, 10 % went");
  if (kind.starts_with("gpu")) return enough;  // built anew, it would be one of the CPU's
  served.index.rebuild(2);
  print("built anew");
  return enough;
}

/// Where comparing row by row costs as much as searching under the filter.
void compare_switch(const Sizes& sizes) {
  Data data(sizes, 0);
  const auto rows = counted(0, sizes.items);
  std::printf(
      "| rows left | row by row | exact | ivf-sq8 | of clusters: row by row | exact | ivf-sq8 |\n");
  std::printf("|---|---|---|---|---|---|---|\n");
  const ItemVectors vectors({}, 0, data.vectors, sizes.width);
  const LiveIndex exact(fovea::index::build_index(rows, data.vectors, sizes.width,
                                                  {.exact_items_max = sizes.items}, 2),
                        sizes.width);
  const LiveIndex lists(
      fovea::index::build_index(rows, data.vectors, sizes.width, {.exact_items_max = 0}, 2),
      sizes.width);
  for (const double share : {0.8, 0.5, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01}) {
    std::printf("| %.0f |", share * static_cast<double>(sizes.items));
    for (const Leaves leaves : {Leaves::kRandom, Leaves::kFar}) {
      double narrow = 0, scan = 0, broad = 0;
      const auto n = static_cast<double>(sizes.queries);
      for (std::size_t q = 0; q < sizes.queries; ++q) {
        const RowSet allow = filter(data, sizes.items, share, leaves, q);
        narrow += microseconds([&] { vectors.nearest(kItem, allow, data.query(q), sizes.k); }) / n;
        scan += microseconds([&] { exact.search(data.query(q), sizes.k, &allow); }) / n;
        broad += microseconds([&] { lists.search(data.query(q), sizes.k, &allow); }) / n;
      }
      std::printf(" %.0f | %.0f | %.0f |", narrow, scan, broad);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}

/// Items put one by one over an index of `items`.
void compare_puts(const Sizes& sizes) {
  constexpr std::size_t kPuts = 10'000;
  Data data(sizes, kPuts);
  Served served(data,
                [&](auto rows, auto values) {
                  return fovea::index::build_index(rows, values, sizes.width, {}, 2);
                },
                {});
  std::printf("| put one by one | microseconds a put |\n|---|---|\n");
  for (std::size_t begin = 0; begin < kPuts; begin += kPuts / 4) {
    const double took = microseconds([&] {
      for (std::size_t i = begin; i < begin + kPuts / 4; ++i) {
        served.put(counted(sizes.items + i, 1), data.some(sizes.items + i, 1));
      }
    });
    std::printf("| %zu to %zu | %.1f |\n", begin, begin + kPuts / 4, took / (kPuts / 4));
  }
}

std::shared_ptr<fovea::index::GpuDevice> gpu() {
  try {
    return fovea::index::open_gpu();
  } catch (const fovea::index::DeviceError& error) {
    std::fprintf(stderr, "no GPU: %s\n", error.what());
    return nullptr;
  }
}

}  // namespace

int main(int argc, char** argv) {
  Sizes sizes;
  const std::pair<const char*, std::size_t*> options[] = {
      {"--items", &sizes.items}, {"--width", &sizes.width},     {"--clusters", &sizes.clusters},
      {"--k", &sizes.k},         {"--queries", &sizes.queries}, {"--seed", &sizes.seed}};
  std::string_view what;
  for (int i = 1; i < argc; ++i) {
    const auto* option = std::ranges::find_if(
        options, [&](const auto& each) { return std::strcmp(each.first, argv[i]) == 0; });
    if (option != std::end(options) && i + 1 < argc) {
      *option->second = std::strtoull(argv[++i], nullptr, 10);
    } else {
      what = argv[i];
    }
  }
  std::printf(
      "%s; %zu vectors of %zu channels around %zu centres, k %zu, %zu queries, seed %zu\n\n",
      fovea::index::faiss_build().c_str(), sizes.items, sizes.width, sizes.clusters, sizes.k,
      sizes.queries, static_cast<std::size_t>(sizes.seed));
  if (what == "--switch") return compare_switch(sizes), 0;
  if (what == "--puts") return compare_puts(sizes), 0;
  if (!what.empty()) {
    std::fprintf(stderr, "%s is unknown; the options stand at the top of the source\n",
                 std::string(what).c_str());
    return 2;
  }
  std::printf("recall, mean and p99 in microseconds by what the filter leaves\n\n");
  std::printf("| index | left | any rows | clusters, the query's too | clusters far from it |\n");
  std::printf("|---|---|---|---|---|\n");
  bool enough = true;
  for (const bool exact : {true, false}) {
    const IndexOptions index{.exact_items_max = exact ? std::size_t{1} << 32 : 0};
    const auto build = [&](auto rows, auto values) {
      return fovea::index::build_index(rows, values, sizes.width, index, 2);
    };
    enough = table(sizes, exact ? "exact" : "ivf-sq8", build, index) && enough;
  }
  if (const auto device = gpu()) {
    for (const GpuKind kind : {GpuKind::kExact, GpuKind::kIvfFp16}) {
      const auto build = [&](auto rows, auto values) {
        return fovea::index::build_gpu_index(device, rows, values, sizes.width, {.kind = kind}, 2);
      };
      enough =
          table(sizes, kind == GpuKind::kExact ? "gpu-exact" : "gpu-ivf-fp16", build, {}) && enough;
    }
  }
  return enough ? 0 : 1;
}
