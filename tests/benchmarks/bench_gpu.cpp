// What the fused scorer takes on this machine's GPU: the reference shape of target attention with
// its MLP, its neighbours, and what we ship by default. Prints a table; with a file name also JSON.
// Times of kernels are by the device's clock over repetitions of one batch, so that what fits into
// the L2 cache is there; a call is by the host's, with packing and both transfers, median.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <string>
#include <unordered_set>
#include <vector>

#include "ranking/scorer.h"
#include "ranking/scorer_layout.h"
#include "tests/scorer_case.h"

namespace {

using fovea::ranking::Device;
using fovea::ranking::RankerShape;
using fovea::ranking::Scorer;
using fovea::ranking::ScorerCase;
using fovea::ranking::ScorerPrecision;
using fovea::ranking::ScorerTimes;

// By the vendor's data sheet for one H200: dense bfloat16 and memory.
constexpr double kFlopsPerUs = 990e6;
constexpr double kBytesPerUs = 4.8e6;

constexpr std::size_t kItems = 100'000;
constexpr std::size_t kEntries = 200;  // kept of each source in transitions and EASE
constexpr std::size_t kBest = 100;
constexpr int kRepetitions = 200;

struct Shape {
  const char* name;
  std::size_t users, candidates, behaviours;
  std::size_t width, heads, text_width, hidden1, hidden2;
  bool ragged = false;  // the same numbers as means
};

constexpr Shape kShapes[] = {
    {"reference", 64, 1000, 128, 128, 2, 128, 256, 128},
    {"reference, ragged", 64, 1000, 128, 128, 2, 128, 256, 128, true},
    {"one user", 1, 1000, 128, 128, 2, 128, 256, 128},
    {"16 users", 16, 1000, 128, 128, 2, 128, 256, 128},
    {"256 users", 256, 1000, 128, 128, 2, 128, 256, 128},
    {"500 candidates", 64, 500, 128, 128, 2, 128, 256, 128},
    {"50 behaviours", 64, 1000, 50, 128, 2, 128, 256, 128},
    {"512 behaviours", 64, 1000, 512, 128, 2, 128, 256, 128},
    {"our defaults", 64, 500, 50, 64, 2, 128, 64, 64},
};

struct Result {
  const Shape* shape;
  ScorerTimes times;
  double call_us = 0;
  double limit_us = 0;
  double gigaflop = 0;
  std::size_t device_bytes = 0;
};

// Half of the candidates are what transitions say of the newest behaviours, as in a request.
void choose_candidates(ScorerCase& made) {
  for (auto& request : made.requests) {
    std::size_t next = 0;
    for (auto b = request.behaviours.rbegin(); b != request.behaviours.rend(); ++b) {
      for (const auto& entry : made.transitions.from(b->row)) {
        if (next >= request.candidates.size() / 2) return;
        request.candidates[next++] = entry.row;
      }
    }
  }
}

Result measure(Device& device, const Shape& shape, const ScorerCase& catalogue) {
  ScorerCase made = catalogue;
  fovea::ranking::Random random(shape.users * 7919 + shape.candidates);
  const auto length = [&](std::size_t mean) {
    return shape.ragged ? 1 + random.below(2 * mean - 1) : mean;
  };
  for (std::size_t u = 0; u < shape.users; ++u) {
    add_request(made, length(shape.behaviours), 0, length(shape.candidates), random.next());
  }
  choose_candidates(made);
  Scorer scorer(device, made.weights, made.relations(), made.catalogue(), made.items,
                ScorerPrecision::kBfloat16);
  const auto batch = made.batch();
  Result result{&shape};
  std::vector<double> calls;
  for (int i = 0; i < kRepetitions / 4; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    scorer.best(batch, kBest);
    calls.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::ranges::nth_element(calls, calls.begin() + static_cast<std::ptrdiff_t>(calls.size() / 2));
  result.call_us = calls[calls.size() / 2];
  scorer.repeat(10);
  result.times = scorer.repeat(kRepetitions);
  result.device_bytes = scorer.device_bytes();

  double flop = 0;
  std::unordered_set<std::uint32_t> candidates, behaviours;
  for (const auto& request : made.requests) {
    const auto n = static_cast<double>(request.candidates.size());
    flop += 2 * n * static_cast<double>(request.behaviours.size()) *
            static_cast<double>((shape.heads + 1) * shape.width + shape.text_width);
    flop += 2 * n *
            static_cast<double>(made.weights.features() * shape.hidden1 +
                                shape.hidden1 * shape.hidden2);
    candidates.insert(request.candidates.begin(), request.candidates.end());
    for (const auto& b : request.behaviours) behaviours.insert(b.row);
  }
  const auto bytes =
      2.0 * static_cast<double>(candidates.size() * (shape.width + shape.text_width) +
                                behaviours.size() *
                                    ((shape.heads + 1) * shape.width + shape.text_width)) +
      4.0 * static_cast<double>(made.candidates());
  result.gigaflop = flop / 1e9;
  result.limit_us = std::max(flop / kFlopsPerUs, bytes / kBytesPerUs);
  return result;
}

void print_table(const std::vector<Result>& results) {
  std::printf("%-20s %8s %8s %8s %8s %8s %8s %7s\n", "fused scorer, us", "kernel", "limit", "share",
              "pairs", "best", "all", "call");
  for (const Result& r : results) {
    std::printf("%-20s %8.1f %8.1f %7.0f%% %8.1f %8.1f %8.1f %7.0f\n", r.shape->name,
                r.times.tiles_us, r.limit_us, 100 * r.limit_us / r.times.tiles_us, r.times.pairs_us,
                r.times.best_us, r.times.all_us, r.call_us);
  }
}

void print_json(std::FILE* file, const std::vector<Result>& results) {
  std::fprintf(file, "[");
  for (const Result& r : results) {
    std::fprintf(file,
                 "%s\n{\"shape\": \"%s\", \"users\": %zu, \"candidates\": %zu, \"behaviours\": "
                 "%zu, \"width\": %zu, \"heads\": %zu, \"text_width\": %zu, \"hidden\": [%zu, "
                 "%zu], \"kernel_us\": %.2f, \"limit_us\": %.2f, \"pairs_us\": %.2f, \"best_us\": "
                 "%.2f, \"all_us\": %.2f, \"call_us\": %.1f, \"gigaflop\": %.3f, "
                 "\"device_bytes\": %zu}",
                 &r == results.data() ? "" : ",", r.shape->name, r.shape->users,
                 r.shape->candidates, r.shape->behaviours, r.shape->width, r.shape->heads,
                 r.shape->text_width, r.shape->hidden1, r.shape->hidden2, r.times.tiles_us,
                 r.limit_us, r.times.pairs_us, r.times.best_us, r.times.all_us, r.call_us,
                 r.gigaflop, r.device_bytes);
  }
  std::fprintf(file, "\n]\n");
}

}  // namespace

int main(int arguments, char** values) {
  if (const auto devices = fovea::ranking::device_count(); devices.count == 0) {
    std::printf("skipped: no GPU: %s\n", devices.reason.c_str());
    return 0;
  }
  try {
    const auto device = Device::open();
    std::vector<Result> results;
    ScorerCase catalogue;
    const Shape* of_catalogue = nullptr;
    for (const Shape& shape : kShapes) {
      if (of_catalogue == nullptr || of_catalogue->width != shape.width ||
          of_catalogue->hidden1 != shape.hidden1) {
        catalogue = fovea::ranking::scorer_case({.width = shape.width,
                                                 .heads = shape.heads,
                                                 .actions = 4,
                                                 .hidden = shape.hidden1,
                                                 .text_width = shape.text_width},
                                                kItems, kEntries, 1);
        widen(catalogue, shape.hidden1, shape.hidden2);
        of_catalogue = &shape;
      }
      results.push_back(measure(*device, shape, catalogue));
    }
    print_table(results);
    if (arguments > 1) {
      std::FILE* file = std::fopen(values[1], "w");
      if (file == nullptr) {
        std::fprintf(stderr, "cannot write %s\n", values[1]);
        return 1;
      }
      print_json(file, results);
      std::fclose(file);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_gpu: %s\n", e.what());
    return 1;
  }
  return 0;
}
