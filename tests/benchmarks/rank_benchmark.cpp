// A whole ranking in process, as a request thread runs it, with the microseconds of each of its
// steps: a stored user's list of 20, the same with the explanation, and a search. And the model
// alone, over 50 behaviours and 500 candidates.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/models.h"
#include "ranking/encoder.h"
#include "ranking/model.h"
#include "tests/benchmarks/shop.h"

namespace {

using fovea::benchmarks::kShop;
using fovea::benchmarks::shop_directory;
using fovea::benchmarks::shop_user;
using fovea::engine::Engine;
using fovea::engine::EngineOptions;
using fovea::engine::RankRequest;
using fovea::engine::RankResponse;

void run(benchmark::State& state, RankRequest request, bool by_user) {
  const auto engine = Engine::open(shop_directory(),
                                   EngineOptions{.reload_interval = std::chrono::milliseconds{0}});
  std::map<std::string, std::int64_t> stage_us;
  std::size_t n = 0;
  for (auto _ : state) {
    if (by_user) request.user_id = shop_user(n++);
    for (const auto& [stage, us] : engine->rank(request).stage_us) stage_us[stage] += us;
  }
  for (const auto& [stage, us] : stage_us) {
    state.counters[stage + "_us"] =
        benchmark::Counter(static_cast<double>(us), benchmark::Counter::kAvgIterations);
  }
}

void rank_user(benchmark::State& state) { run(state, {}, true); }
void rank_user_explained(benchmark::State& state) { run(state, {.explain = true}, true); }
void rank_query(benchmark::State& state) {
  const auto items = fovea::engine::synthetic_items(kShop);
  run(state, {.query = items.front().text}, false);
}

void encode_and_score(benchmark::State& state) {
  constexpr std::size_t kBehaviours = 50;
  constexpr std::size_t kCandidates = 500;
  const fovea::engine::Versions versions(shop_directory());
  const auto version = versions.load(versions.current().value());
  const auto& model = version.model.value();
  const std::size_t width = model.width();
  const std::size_t text_width = model.text_width();

  std::vector<fovea::ranking::Behaviour> behaviours;
  for (std::uint32_t i = 0; i < kBehaviours; ++i) {
    behaviours.push_back({.row = i, .time_ms = 60'000 * std::int64_t{i}});
  }
  const std::span vectors(version.vectors);
  const std::span texts(version.texts);
  const fovea::ranking::BehaviourInput input{behaviours, vectors.first(kBehaviours * width),
                                             texts.first(kBehaviours * text_width)};
  std::vector<std::uint32_t> rows;
  for (std::uint32_t i = 0; i < kCandidates; ++i) rows.push_back(kBehaviours + i);
  const fovea::ranking::CandidateInput candidates{
      rows, vectors.subspan(kBehaviours * width, kCandidates * width),
      texts.subspan(kBehaviours * text_width, kCandidates * text_width),
      std::span(version.log_popularity).subspan(kBehaviours, kCandidates)};
  const fovea::ranking::Context context{.threads = 1};
  for (auto _ : state) {
    const auto hidden = model.user_state(context, input);
    benchmark::DoNotOptimize(model.score(context, hidden, input, candidates, 0, false));
  }
}

// Whether the user encoder is cheaper for users who are encoded together: time is for all of them.
void encode_users(benchmark::State& state) {
  constexpr std::size_t kBehaviours = 50;
  const auto users = static_cast<std::size_t>(state.range(0));
  const fovea::ranking::EncoderShape shape{.behaviours_max = kBehaviours, .items = 10'000};
  const auto weights = fovea::ranking::EncoderWeights::random(shape, 1);
  fovea::ranking::EncoderBatch batch;
  std::vector<float> vectors(users * kBehaviours * shape.width, 0.1F);
  for (std::uint32_t u = 0; u < users; ++u) {
    std::vector<fovea::ranking::Behaviour> behaviours;
    std::vector<std::uint32_t> rows;
    for (std::uint32_t i = 0; i < kBehaviours; ++i) {
      behaviours.push_back({.row = i, .time_ms = 60'000 * std::int64_t{i}});
      rows.push_back(u * kBehaviours + i);
    }
    batch.add(behaviours, rows);
  }
  for (auto _ : state) {
    fovea::ranking::EncoderTape tape;
    encode(fovea::ranking::Context{.threads = 1}, weights, vectors.data(), batch, 0, 0, tape);
    benchmark::DoNotOptimize(tape.states.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(users));
}

BENCHMARK(encode_users)
    ->Name("model/encode_users")
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Arg(8)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(encode_and_score)->Name("model/encode_50_score_500")->Unit(benchmark::kMicrosecond);
BENCHMARK(rank_user)->Name("rank/user")->Unit(benchmark::kMicrosecond);
BENCHMARK(rank_user_explained)->Name("rank/user_explained")->Unit(benchmark::kMicrosecond);
BENCHMARK(rank_query)->Name("rank/query")->Unit(benchmark::kMicrosecond);

}  // namespace
