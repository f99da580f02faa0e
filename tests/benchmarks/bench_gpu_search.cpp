// What retrieval takes on this machine's GPU, and retrieval with reranking, from users' states on
// the device to their lists on the host: a million items of 128 channels, unit vectors about a
// thousand centres, as items lie; how they lie changes the recall of inverted lists only. Prints
// tables; with a file name also JSON. Times are by the host's clock from the call to its end,
// median over repetitions.
#include <faiss/gpu/GpuIndexFlat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "index/device_search.h"
#include "index/gpu_device.h"
#include "index/gpu_index.h"
#include "index/live_index.h"
#include "ranking/array.h"
#include "ranking/device.h"
#include "ranking/random.h"
#include "ranking/scorer.h"
#include "tests/scorer_case.h"

namespace {

using fovea::index::DeviceSearch;
using fovea::index::GpuKind;
using fovea::index::LiveIndex;
using fovea::ranking::Array;
using fovea::ranking::Context;
using fovea::ranking::Device;
using fovea::ranking::Scorer;
using fovea::ranking::ScorerCase;

// By the vendor's data sheet for one H200: float32 outside the matrix unit, and memory.
constexpr double kFlopsPerUs = 67e6;
constexpr double kBytesPerUs = 4.8e6;

constexpr std::size_t kItems = 1'000'000;
constexpr std::size_t kTouched = 16'000;  // that have behaviours, and so pairs
constexpr std::size_t kEntries = 200;     // kept of each of those in transitions and EASE
constexpr std::size_t kWidth = 128;
constexpr std::size_t kCentres = 1'000;
constexpr std::size_t kChanged = 1'000;  // fresh, and as many removed
constexpr std::size_t kNeighbours = 500;
constexpr std::size_t kCentreK = 200;  // as the recipe has it
constexpr std::size_t kBehaviours = 100;
constexpr std::size_t kBest = 20;
constexpr std::array<std::size_t, 4> kBatches = {1, 16, 64, 256};
constexpr double kTargetUs = 400;  // of retrieval and reranking of 64 users
constexpr int kRepetitions = 30;

/// [n, kWidth]; the same on any number of threads.
std::vector<float> unit_vectors(std::size_t n, std::uint64_t seed) {
  fovea::ranking::Random random(7);  // the centres are the same for all
  const auto centres = fovea::ranking::random_values(random, kCentres * kWidth, 1);
  std::vector<float> vectors(n * kWidth);
  const auto fill = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      fovea::ranking::Random own(seed * 0x9E3779B97F4A7C15ULL + i * 1'000'003);
      const float* centre = centres.data() + own.below(kCentres) * kWidth;
      float* vector = vectors.data() + i * kWidth;
      double square = 0;
      for (std::size_t d = 0; d < kWidth; ++d) {
        vector[d] = centre[d] + 0.7F * own.normal();
        square += double{vector[d]} * vector[d];
      }
      const auto inverse = static_cast<float>(1 / std::sqrt(square));
      for (std::size_t d = 0; d < kWidth; ++d) vector[d] *= inverse;
    }
  };
  const std::size_t parts = std::max(std::thread::hardware_concurrency(), 1U);
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p < parts; ++p) {
    threads.emplace_back(fill, n * p / parts, n * (p + 1) / parts);
  }
  for (std::thread& thread : threads) thread.join();
  return vectors;
}

/// What the scorer knows of the items: a few have behaviours and pairs, all have text. 256 users.
ScorerCase make_catalogue(std::vector<float> vectors) {
  ScorerCase made = fovea::ranking::scorer_case(
      {.width = kWidth, .heads = 2, .actions = 4, .hidden = 256, .text_width = kWidth}, kTouched,
      kEntries, 1);
  widen(made, 256, 128);
  for (std::size_t u = 0; u < kBatches.back(); ++u) add_request(made, kBehaviours, 0, 0, u);
  made.items = kItems;
  made.vectors = std::move(vectors);
  made.texts = unit_vectors(kItems, 2);
  made.log_popularity.resize(kItems);
  return made;
}

std::vector<std::uint32_t> rows_from(std::uint32_t first, std::size_t n) {
  std::vector<std::uint32_t> rows(n);
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

template <typename Call>
double median_us(const Call& call) {
  for (int i = 0; i < 3; ++i) call();
  std::vector<double> times;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::ranges::nth_element(times, times.begin() + kRepetitions / 2);
  return times[kRepetitions / 2];
}

/// The lists of the largest batch, in the device's memory; smaller batches use the beginning.
struct Lists {
  Array<float> states;        // [B, kWidth]
  Array<std::uint32_t> rows;  // [B, kNeighbours]
  Array<float> scores;        // [B, kNeighbours]
  Array<std::int64_t> ids;    // of Faiss alone
  explicit Lists(const Context& gpu)
      : states(gpu, std::span<const float>(unit_vectors(kBatches.back(), 3))),
        rows(gpu, kBatches.back() * kNeighbours),
        scores(gpu, kBatches.back() * kNeighbours),
        ids(gpu, kBatches.back() * kNeighbours) {}
};

using Times = std::array<double, kBatches.size()>;

template <typename Call>
Times of_batches(const Call& call) {
  Times times{};
  for (std::size_t b = 0; b < kBatches.size(); ++b) {
    times[b] = median_us([&] { call(kBatches[b]); });
  }
  return times;
}

Times time_search(Device& device, DeviceSearch& search, Lists& lists) {
  return of_batches([&](std::size_t batch) {
    search.search(lists.states.data(), batch, kNeighbours, lists.rows.data(), lists.scores.data());
    device.wait();
  });
}

// Faiss with nothing of ours around it.
Times time_faiss(Device& device, fovea::index::GpuDevice& on, std::span<const float> vectors,
                 Lists& lists) {
  faiss::gpu::GpuIndexFlat flat(&on.resources(), static_cast<int>(kWidth),
                                faiss::METRIC_INNER_PRODUCT);
  flat.add(static_cast<std::int64_t>(kItems), vectors.data());
  return of_batches([&](std::size_t batch) {
    flat.search(static_cast<std::int64_t>(batch), lists.states.data(),
                static_cast<std::int64_t>(kNeighbours), lists.scores.data(), lists.ids.data());
    device.wait();
  });
}

Times time_served(DeviceSearch& search, Scorer& scorer, const ScorerCase& made, Lists& lists) {
  auto requests = made.batch();
  for (auto& request : requests) request.state = {};  // comes from the device
  const fovea::ranking::ScorerRetrieved retrieved{lists.rows.data(), lists.scores.data(),
                                                  lists.states.data(), kNeighbours, kCentreK};
  return of_batches([&](std::size_t batch) {
    search.search(lists.states.data(), batch, kNeighbours, lists.rows.data(), lists.scores.data());
    scorer.best(std::span(requests).first(batch), kBest, &retrieved);
  });
}

std::vector<std::uint32_t> found(DeviceSearch& search, Lists& lists) {
  search.search(lists.states.data(), kBatches.back(), kNeighbours, lists.rows.data(),
                lists.scores.data());
  return lists.rows.read();
}

double recall(std::span<const std::uint32_t> rows, std::span<const std::uint32_t> exact) {
  std::size_t same = 0;
  for (std::size_t first = 0; first < exact.size(); first += kNeighbours) {
    const auto list = exact.subspan(first, kNeighbours);
    const std::unordered_set<std::uint32_t> wanted(list.begin(), list.end());
    for (const std::uint32_t row : rows.subspan(first, kNeighbours)) same += wanted.count(row);
  }
  return static_cast<double>(same) / static_cast<double>(exact.size());
}

struct Row {
  std::string name;
  Times us;
};

Row limit_of_scan() {
  Row row{"limit of an exact scan", {}};
  for (std::size_t b = 0; b < kBatches.size(); ++b) {
    row.us[b] = std::max(4.0 * kItems * kWidth / kBytesPerUs,
                         2.0 * static_cast<double>(kBatches[b]) * kItems * kWidth / kFlopsPerUs);
  }
  return row;
}

void print(const std::vector<Row>& rows, double of_lists) {
  std::printf("%-44s", "us for a batch of");
  for (const std::size_t batch : kBatches) std::printf(" %9zu", batch);
  std::printf("\n");
  for (const Row& row : rows) {
    std::printf("%-44s", row.name.c_str());
    for (const double us : row.us) std::printf(" %9.1f", us);
    std::printf("\n");
  }
  std::printf("The limit is what memory gives where it is %.1f us, else what float32 gives.\n",
              4.0 * kItems * kWidth / kBytesPerUs);
  std::printf("gpu-ivf-fp16 finds %.3f of the %zu exact neighbours (recall@%zu).\n", of_lists,
              kNeighbours, kNeighbours);
  std::printf("Retrieval and reranking of 64 users are to take at most %.0f us.\n", kTargetUs);
}

void print_json(std::FILE* file, const std::vector<Row>& rows, double of_lists) {
  std::fprintf(file, "{\"recall_500\": %.4f, \"target_us\": %.0f, \"us\": {", of_lists, kTargetUs);
  for (const Row& row : rows) {
    std::fprintf(file, "%s\n\"%s\": {", &row == rows.data() ? "" : ",", row.name.c_str());
    for (std::size_t b = 0; b < kBatches.size(); ++b) {
      std::fprintf(file, "%s\"%zu\": %.1f", b == 0 ? "" : ", ", kBatches[b], row.us[b]);
    }
    std::fprintf(file, "}");
  }
  std::fprintf(file, "\n}}\n");
}

std::pair<std::vector<Row>, double> measure(Device& device) {
  const Context gpu{1, &device};
  const auto on = fovea::index::open_gpu({.stream = device.stream()});
  ScorerCase made = make_catalogue(unit_vectors(kItems, 1));
  const auto build = [&](GpuKind kind) {
    const auto threads = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U));
    return std::make_unique<LiveIndex>(
        build_gpu_index(on, rows_from(0, kItems), made.vectors, kWidth, {.kind = kind}, threads),
        kWidth);
  };
  Lists lists(gpu);
  std::vector<Row> rows = {limit_of_scan()};
  rows.push_back({"Faiss' exact scan", time_faiss(device, *on, made.vectors, lists)});
  Scorer scorer(device, made.weights, made.relations(), made.catalogue(), kItems + kChanged,
                fovea::ranking::ScorerPrecision::kBfloat16);

  const auto exact = build(GpuKind::kExact);
  DeviceSearch exact_search(*exact, *exact->main());
  rows.push_back({"gpu-exact", time_search(device, exact_search, lists)});
  const auto neighbours = found(exact_search, lists);
  rows.push_back({"gpu-exact and reranking", time_served(exact_search, scorer, made, lists)});
  exact->put(rows_from(kItems, kChanged), unit_vectors(kChanged, 4));
  exact->remove(rows_from(0, kChanged));
  rows.push_back(
      {"gpu-exact, 1,000 fresh and 1,000 removed", time_search(device, exact_search, lists)});

  const auto inverted = build(GpuKind::kIvfFp16);
  DeviceSearch inverted_search(*inverted, *inverted->main());
  rows.push_back({"gpu-ivf-fp16", time_search(device, inverted_search, lists)});
  const double of_lists = recall(found(inverted_search, lists), neighbours);
  rows.push_back({"gpu-ivf-fp16 and reranking", time_served(inverted_search, scorer, made, lists)});
  const auto times = scorer.repeat(kRepetitions);
  std::printf(
      "kernels of reranking %zu users: %.1f us (gather %.1f, pairs %.1f, tiles %.1f, best "
      "%.1f)\n",
      kBatches.back(), times.all_us, times.gather_us, times.pairs_us, times.tiles_us,
      times.best_us);
  return {rows, of_lists};
}

}  // namespace

int main(int arguments, char** values) {
  if (const auto devices = fovea::ranking::device_count(); devices.count == 0) {
    std::printf("skipped: no GPU: %s\n", devices.reason.c_str());
    return 0;
  }
  try {
    const auto device = Device::open();
    const auto [rows, of_lists] = measure(*device);
    print(rows, of_lists);
    if (arguments > 1) {
      std::FILE* file = std::fopen(values[1], "w");
      if (file == nullptr) {
        std::fprintf(stderr, "cannot write %s\n", values[1]);
        return 1;
      }
      print_json(file, rows, of_lists);
      std::fclose(file);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_gpu_search: %s\n", e.what());
    return 1;
  }
  return 0;
}
