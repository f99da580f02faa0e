// See scorer.h: what lies on the device, and how a batch goes there and back. A call is one graph:
// upload, gather what was retrieved, clear, find pairs, score tiles, keep the best, download. A
// graph is captured once for each bucket of sizes; what is in the batch, and where the retrieved
// lies, the kernels read from the uploaded block.
#include <algorithm>
#include <compare>
#include <cstring>
#include <map>
#include <variant>

#include "ranking/scorer.h"
#include "ranking/scorer_kernels.h"
#include "ranking/scorer_memory.h"
#include "ranking/scorer_top.h"

namespace fovea::ranking {
namespace {

using namespace scorer;  // NOLINT: this file is its other half

constexpr std::size_t kGraphsMax = 64;
constexpr std::size_t kPackedItems = 4096;  // items packed and uploaded at once

struct DevicePairs {
  Buffer<std::uint32_t> offsets, rows;
  Buffer<float> weights;
  std::uint32_t sources = 0;

  void assign(Device& device, const ItemPairs* pairs, std::uint32_t items) {
    sources = 0;
    if (pairs == nullptr) return;
    const PackedPairs packed = pack_pairs(*pairs, items);
    offsets.assign(device, packed.offsets, "hold item pairs");
    rows.assign(device, packed.rows, "hold item pairs");
    weights.assign(device, packed.weights, "hold item pairs");
    sources = packed.view().sources;
  }
  PairsView view() const { return {sources, offsets.data(), rows.data(), weights.data()}; }
  std::size_t bytes() const { return offsets.bytes() + rows.bytes() + weights.bytes(); }
};

std::vector<float> as_numbers(std::span<const float> values, float) {
  return {values.begin(), values.end()};
}
std::vector<__nv_bfloat16> as_numbers(std::span<const float> values, __nv_bfloat16) {
  std::vector<__nv_bfloat16> numbers(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    numbers[i] = __nv_bfloat16_raw{to_bfloat16(values[i])};
  }
  return numbers;
}

// What the bank and the MLP hold is of one of two types.
template <typename Number>
struct Parameters {
  Buffer<Number> bank, weights1, weights2;
  std::size_t bytes() const { return bank.bytes() + weights1.bytes() + weights2.bytes(); }
};

struct Event {
  cudaEvent_t event = nullptr;
  Event() { check(cudaEventCreate(&event), "make an event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event); }
};

struct Graph {
  cudaGraphExec_t exec = nullptr;
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (exec != nullptr) cudaGraphExecDestroy(exec);
  }
};

// What a call's graph has as constants: bytes, and which kernels run.
struct GraphKey {
  std::size_t uploaded, earlier_at, cleared, downloaded;
  bool with_retrieved, with_best;
  auto operator<=>(const GraphKey&) const = default;
};

}  // namespace

struct Scorer::State {
  State(Device& on, const RankerWeights& ranker, std::size_t capacity, ScorerPrecision precision)
      : device(on),
        stream(on.handles().stream),
        weights(ranker),
        packer(ranker),
        items(static_cast<std::uint32_t>(capacity)) {
    int number = 0;
    int shared_max = 0;
    check(cudaGetDevice(&number), "be asked for its number");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, number),
          "be asked for its processors");
    check(cudaDeviceGetAttribute(&shared_max, cudaDevAttrMaxSharedMemoryPerBlockOptin, number),
          "be asked for its shared memory");
    if (precision == ScorerPrecision::kFloat32) {
      make<float>(shared_max);
    } else {
      make<__nv_bfloat16>(shared_max);
    }
  }

  template <typename Number>
  void make(int shared_max) {
    auto& own = parameters.emplace<Parameters<Number>>();
    const BankShape shape = packer.shape();
    const std::size_t rows = std::size_t{items} + 1;
    own.bank.reserve(rows * shape.row(), "hold the items");
    lengths.reserve(rows, "hold the items");
    log_popularity.reserve(rows, "hold the items");
    device.zero(own.bank.data(), own.bank.bytes());
    device.zero(lengths.data(), lengths.bytes());
    device.zero(log_popularity.data(), log_popularity.bytes());
    const PackedMlp mlp = pack_mlp(weights);
    own.weights1.assign(device, as_numbers(mlp.weights1, Number{}), "hold the MLP");
    own.weights2.assign(
        device,
        as_numbers(std::is_same_v<Number, float> ? mlp.weights2 : in_order_of_units(mlp), Number{}),
        "hold the MLP");
    bias1.assign(device, mlp.bias1, "hold the MLP");
    bias2.assign(device, mlp.bias2, "hold the MLP");
    out.assign(device, mlp.out, "hold the MLP");
    hidden1 = mlp.hidden1;
    hidden2 = mlp.hidden2;
    plan = shared_plan(shape, sizeof(Number), static_cast<std::size_t>(shared_max));
    constants = constants_of(weights);
    check(prepare_tiles(tile_arguments(own)), "prepare the scorer");
  }

  scorer::Scratch scratch() const {
    return {reinterpret_cast<std::uint32_t*>(cleared.data()), pairs.data(),
            reinterpret_cast<long long*>(cleared.data() + earlier_at), scores.data(), best.data()};
  }

  template <typename Number>
  TileArguments<Number> tile_arguments(const Parameters<Number>& own) const {
    return {block.data(),
            items,
            own.bank.data(),
            lengths.data(),
            log_popularity.data(),
            packer.shape(),
            plan,
            {hidden1, hidden2, own.weights1.data(), bias1.data(), own.weights2.data(), bias2.data(),
             out.data()},
            constants,
            scratch()};
  }

  void put(std::size_t first, const ScorerItems& added) {
    const std::size_t width = weights.shape.width;
    const std::size_t text_width = weights.shape.text_width;
    const std::size_t count = added.log_popularity.size();
    if (first + count > items || added.vectors.size() != count * width ||
        added.texts.size() != count * text_width) {
      throw std::invalid_argument("items that do not fit the scorer's bank");
    }
    std::vector<float> rows;
    std::vector<float> norms;
    for (std::size_t done = 0; done < count; done += kPackedItems) {
      const std::size_t n = std::min(kPackedItems, count - done);
      rows.resize(n * packer.shape().row());
      norms.resize(n);
      packer.pack(Context{}, added.vectors.subspan(done * width, n * width),
                  added.texts.subspan(done * text_width, n * text_width), rows, norms);
      std::visit(
          [&]<typename Number>(const Parameters<Number>& own) {
            const auto numbers = as_numbers(rows, Number{});
            device.upload(own.bank.data() + (first + done) * packer.shape().row(), numbers.data(),
                          numbers.size() * sizeof(Number));
          },
          parameters);
      device.upload(lengths.data() + first + done, norms.data(), n * sizeof(float));
      device.upload(log_popularity.data() + first + done, added.log_popularity.data() + done,
                    n * sizeof(float));
    }
  }

  unsigned blocks() const { return static_cast<unsigned>(processors); }
  void queue_gather() { gather_retrieved(stream, blocks(), block.data()); }
  void queue_pairs() {
    find_pairs(stream, 4 * blocks(),
               {block.data(), items, transitions.view(), since.view(), ease.view(), scratch()});
  }
  void queue_tiles() {
    std::visit([&](const auto& own) { score_tiles(stream, blocks(), tile_arguments(own)); },
               parameters);
  }
  void queue_best() { take_best(stream, blocks(), block.data(), scratch()); }

  // What a call does between its transfers.
  void queue_kernels(const GraphKey& key) {
    if (key.with_retrieved) queue_gather();
    device.zero(cleared.data(), key.cleared);
    queue_pairs();
    queue_tiles();
    if (key.with_best) queue_best();
    check(cudaGetLastError(), "start the scorer");
  }

  void run(std::span<const ScorerRequest> requests, std::size_t top,
           const ScorerRetrieved* retrieved) {
    const std::vector<std::byte> bytes =
        pack_requests(weights, items, requests, static_cast<std::uint32_t>(top), retrieved);
    const BlockHeader header = *BlockView(bytes.data()).header;
    GraphKey key{};
    key.with_retrieved = retrieved != nullptr;
    key.with_best = top > 0;
    key.uploaded = bucket(bytes.size());
    key.earlier_at = bucket(header.words * sizeof(std::uint32_t));
    key.cleared = key.earlier_at + bucket(header.candidates * sizeof(long long));
    key.downloaded = bucket(key.with_best ? header.users * top * sizeof(ScorerBest)
                                          : header.candidates * sizeof(float));
    grow(block, std::max(key.uploaded, bucket(header.size)));
    grow(host_block, key.uploaded);
    grow(cleared, key.cleared);
    grow(pairs, bucket(header.pairs * sizeof(PairValues)) / sizeof(PairValues));
    grow(scores, bucket(header.candidates * sizeof(float)) / sizeof(float));
    grow(best, key.with_best ? key.downloaded / sizeof(ScorerBest) + 1 : 0);
    grow(host_result, key.downloaded);
    earlier_at = key.earlier_at;
    std::memcpy(host_block.data(), bytes.data(), bytes.size());
    last = key;

    if (graphs.size() >= kGraphsMax) graphs.clear();
    Graph& graph = graphs[key];
    if (graph.exec == nullptr) capture(graph, key);
    check(cudaGraphLaunch(graph.exec, stream), "start a batch");
    check(cudaStreamSynchronize(stream), "score a batch");
  }

  // Graphs have the addresses of before. They go first: memory may be out in between.
  template <typename T, bool kHost>
  void grow(Buffer<T, kHost>& buffer, std::size_t size) {
    if (size <= buffer.size()) return;
    graphs.clear();
    buffer.reserve(size, "hold a batch");
  }

  void capture(Graph& graph, const GraphKey& key) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture the scorer");
    cudaGraph_t captured = nullptr;
    try {
      check(cudaMemcpyAsync(block.data(), host_block.data(), key.uploaded, cudaMemcpyHostToDevice,
                            stream),
            "take a batch");
      queue_kernels(key);
      const void* result = key.with_best ? static_cast<const void*>(best.data()) : scores.data();
      if (key.downloaded > 0) {
        check(cudaMemcpyAsync(host_result.data(), result, key.downloaded, cudaMemcpyDeviceToHost,
                              stream),
              "give scores");
      }
    } catch (...) {
      cudaStreamEndCapture(stream, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      cudaGetLastError();  // of the capture that was broken off, not of the next call
      throw;
    }
    check(cudaStreamEndCapture(stream, &captured), "capture the scorer");
    const cudaError_t made = cudaGraphInstantiate(&graph.exec, captured, 0);
    cudaGraphDestroy(captured);
    check(made, "make a graph");
  }

  Device& device;
  cudaStream_t stream;
  RankerWeights weights;
  BankPacker packer;
  std::uint32_t items;
  int processors = 0;
  SharedPlan plan;
  RankerConstants constants;
  std::variant<Parameters<float>, Parameters<__nv_bfloat16>> parameters;
  Buffer<float> lengths, log_popularity, bias1, bias2, out;
  unsigned hidden1 = 0, hidden2 = 0;
  DevicePairs transitions, since, ease;

  // Of calls.
  Buffer<std::byte> block, cleared;
  Buffer<std::byte, true> host_block, host_result;
  Buffer<PairValues> pairs;
  Buffer<float> scores;
  Buffer<ScorerBest> best;
  std::size_t earlier_at = 0;  // in `cleared`
  GraphKey last{};
  std::map<GraphKey, Graph> graphs;
};

Scorer::Scorer(Device& device, const RankerWeights& weights, const ItemRelations& relations,
               const ScorerItems& items, std::size_t items_max, ScorerPrecision precision)
    : state_(std::make_unique<State>(device, weights, items_max, precision)) {
  state_->put(0, items);
  state_->transitions.assign(device, &relations.transitions, state_->items);
  state_->ease.assign(device, &relations.ease, state_->items);
  put_since(relations.since);
}

Scorer::~Scorer() = default;

void Scorer::put(std::size_t first, const ScorerItems& items) { state_->put(first, items); }

void Scorer::put_since(const Transitions* since) {
  state_->graphs.clear();  // they have the old arrays
  state_->since.assign(state_->device, since, state_->items);
}

void Scorer::score(std::span<const ScorerRequest> requests, std::span<float> scores,
                   const ScorerRetrieved* retrieved) {
  std::size_t candidates = retrieved != nullptr ? requests.size() * retrieved->count : 0;
  for (const ScorerRequest& request : requests) candidates += request.candidates.size();
  if (candidates != scores.size()) throw std::invalid_argument("scores of another size");
  if (candidates == 0) return;
  state_->run(requests, 0, retrieved);
  std::memcpy(scores.data(), state_->host_result.data(), scores.size_bytes());
}

std::vector<std::vector<ScorerBest>> Scorer::best(std::span<const ScorerRequest> requests,
                                                  std::size_t n, const ScorerRetrieved* retrieved) {
  if (n > kTopMax) throw std::invalid_argument("more than 1024 best asked of the scorer");
  std::vector<std::vector<ScorerBest>> result(requests.size());
  if (n == 0 || requests.empty()) return result;
  state_->run(requests, n, retrieved);
  const auto* best = reinterpret_cast<const ScorerBest*>(state_->host_result.data());
  for (std::size_t u = 0; u < requests.size(); ++u, best += n) {
    const auto* end = std::find_if(best, best + n, [](const auto& b) { return b.row == kNoRow; });
    result[u].assign(best, end);
  }
  return result;
}

ScorerTimes Scorer::repeat(int times) {
  State& state = *state_;
  const Event begin;
  const Event end;
  const auto mean_us = [&](const auto& queue) {
    check(cudaEventRecord(begin.event, state.stream), "be timed");
    for (int i = 0; i < times; ++i) queue();
    check(cudaEventRecord(end.event, state.stream), "be timed");
    check(cudaEventSynchronize(end.event), "be timed");
    check(cudaGetLastError(), "be timed");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin.event, end.event), "be timed");
    return 1000.0 * ms / times;
  };
  ScorerTimes result;
  result.all_us = mean_us([&] { state.queue_kernels(state.last); });
  if (state.last.with_retrieved) result.gather_us = mean_us([&] { state.queue_gather(); });
  result.tiles_us = mean_us([&] { state.queue_tiles(); });
  if (state.last.with_best) result.best_us = mean_us([&] { state.queue_best(); });
  // The pairs last: found twice without clearing, they are added twice.
  result.pairs_us = mean_us([&] { state.queue_pairs(); });
  return result;
}

std::size_t Scorer::device_bytes() const {
  const State& state = *state_;
  return std::visit([](const auto& own) { return own.bytes(); }, state.parameters) +
         state.lengths.bytes() + state.log_popularity.bytes() + state.bias1.bytes() +
         state.bias2.bytes() + state.out.bytes() + state.transitions.bytes() + state.since.bytes() +
         state.ease.bytes() + state.block.bytes() + state.cleared.bytes() + state.pairs.bytes() +
         state.scores.bytes() + state.best.bytes();
}

}  // namespace fovea::ranking
