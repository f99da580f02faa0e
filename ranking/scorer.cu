// See scorer.h: what lies on the device, and how a batch goes there and back. A call is one graph:
// upload, clear, find pairs, score tiles, keep the best, download. A graph is captured once for
// each bucket of sizes; what is in the batch the kernels read from the uploaded block.
#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
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

  void assign(const ItemPairs* pairs, std::uint32_t items) {
    sources = 0;
    if (pairs == nullptr) return;
    const PackedPairs packed = pack_pairs(*pairs, items);
    offsets.assign(packed.offsets, "item pairs");
    rows.assign(packed.rows, "item pairs");
    weights.assign(packed.weights, "item pairs");
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

struct Stream {
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  Stream() {
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "opening a stream");
    check(cudaEventCreate(&begin), "making an event");
    check(cudaEventCreate(&end), "making an event");
  }
  ~Stream() {
    if (begin != nullptr) cudaEventDestroy(begin);
    if (end != nullptr) cudaEventDestroy(end);
    if (stream != nullptr) cudaStreamDestroy(stream);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
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

}  // namespace

std::optional<std::string> scorer_unavailable() {
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess) {
    cudaGetLastError();
    return std::string(cudaGetErrorString(result));
  }
  if (count == 0) return "no GPU in this machine";
  return std::nullopt;
}

struct Scorer::State {
  // Bytes of a call that its graph has as constants.
  using Sizes = std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>;

  State(const RankerWeights& ranker, std::size_t capacity, ScorerPrecision precision)
      : weights(ranker), packer(ranker), items(static_cast<std::uint32_t>(capacity)) {
    int device = 0;
    int shared_max = 0;
    check(cudaGetDevice(&device), "asking for the device");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "asking");
    check(cudaDeviceGetAttribute(&shared_max, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "asking");
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
    own.bank.reserve(rows * shape.row(), "the bank of items");
    lengths.reserve(rows, "the bank of items");
    log_popularity.reserve(rows, "the bank of items");
    check(cudaMemset(own.bank.data(), 0, own.bank.bytes()), "clearing the bank");
    check(cudaMemset(lengths.data(), 0, lengths.bytes()), "clearing the bank");
    check(cudaMemset(log_popularity.data(), 0, log_popularity.bytes()), "clearing the bank");
    const PackedMlp mlp = pack_mlp(weights);
    own.weights1.assign(as_numbers(mlp.weights1, Number{}), "the MLP");
    own.weights2.assign(
        as_numbers(std::is_same_v<Number, float> ? mlp.weights2 : in_order_of_units(mlp), Number{}),
        "the MLP");
    bias1.assign(mlp.bias1, "the MLP");
    bias2.assign(mlp.bias2, "the MLP");
    out.assign(mlp.out, "the MLP");
    hidden1 = mlp.hidden1;
    hidden2 = mlp.hidden2;
    plan = shared_plan(shape, sizeof(Number), static_cast<std::size_t>(shared_max));
    constants = constants_of(weights);
    check(prepare_tiles(tile_arguments(own)), "preparing the kernel");
  }

  Scratch scratch() const {
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
    check(cudaStreamSynchronize(stream.stream), "waiting");
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
            check(
                cudaMemcpy(own.bank.data() + (first + done) * packer.shape().row(), numbers.data(),
                           numbers.size() * sizeof(Number), cudaMemcpyHostToDevice),
                "uploading items");
          },
          parameters);
      check(cudaMemcpy(lengths.data() + first + done, norms.data(), n * sizeof(float),
                       cudaMemcpyHostToDevice),
            "uploading items");
      check(cudaMemcpy(log_popularity.data() + first + done, added.log_popularity.data() + done,
                       n * sizeof(float), cudaMemcpyHostToDevice),
            "uploading items");
    }
    settle();
  }

  // Uploads go by the default stream, which ours does not wait for.
  static void settle() { check(cudaStreamSynchronize(nullptr), "uploading"); }

  unsigned blocks() const { return static_cast<unsigned>(processors); }
  void queue_pairs() {
    find_pairs(stream.stream, 4 * blocks(),
               {block.data(), items, transitions.view(), since.view(), ease.view(), scratch()});
  }
  void queue_tiles() {
    std::visit([&](const auto& own) { score_tiles(stream.stream, blocks(), tile_arguments(own)); },
               parameters);
  }
  void queue_best() { take_best(stream.stream, blocks(), block.data(), scratch()); }

  // What a call does between its transfers.
  void queue_kernels(bool with_best) {
    if (cleared_bytes > 0) {
      check(cudaMemsetAsync(cleared.data(), 0, cleared_bytes, stream.stream), "clearing");
    }
    queue_pairs();
    queue_tiles();
    if (with_best) queue_best();
    check(cudaGetLastError(), "starting the kernels");
  }

  void run(std::span<const ScorerRequest> requests, std::size_t top,
           const std::uint32_t* device_rows) {
    const std::vector<std::byte> bytes =
        pack_requests(weights, items, requests, static_cast<std::uint32_t>(top), device_rows);
    const BlockHeader header = *BlockView(bytes.data()).header;
    const bool with_best = top > 0;
    const std::size_t uploaded = bucket(bytes.size());
    earlier_at = bucket(header.words * sizeof(std::uint32_t));
    cleared_bytes = earlier_at + bucket(header.candidates * sizeof(long long));
    const std::size_t downloaded = bucket(with_best ? header.users * top * sizeof(ScorerBest)
                                                    : header.candidates * sizeof(float));
    check(cudaStreamSynchronize(stream.stream), "waiting");
    const bool grown =
        static_cast<int>(block.reserve(uploaded, "a batch")) |
        static_cast<int>(host_block.reserve(uploaded, "a batch")) |
        static_cast<int>(cleared.reserve(cleared_bytes, "a batch")) |
        static_cast<int>(pairs.reserve(header.pairs, "pairs of a batch")) |
        static_cast<int>(scores.reserve(bucket(header.candidates * sizeof(float)) / sizeof(float),
                                        "scores of a batch")) |
        static_cast<int>(best.reserve(with_best ? downloaded / sizeof(ScorerBest) + 1 : 0,
                                      "the best of a batch")) |
        static_cast<int>(host_result.reserve(downloaded, "results of a batch"));
    if (grown || graphs.size() >= kGraphsMax) graphs.clear();  // they have the old addresses
    std::memcpy(host_block.data(), bytes.data(), bytes.size());
    last_with_best = with_best;

    Graph& graph =
        graphs[{uploaded, earlier_at, cleared_bytes, with_best ? downloaded : downloaded + 1}];
    if (graph.exec == nullptr) capture(graph, uploaded, downloaded, with_best);
    check(cudaGraphLaunch(graph.exec, stream.stream), "starting a batch");
    check(cudaStreamSynchronize(stream.stream), "scoring a batch");
  }

  void capture(Graph& graph, std::size_t uploaded, std::size_t downloaded, bool with_best) {
    check(cudaStreamBeginCapture(stream.stream, cudaStreamCaptureModeThreadLocal), "capturing");
    cudaGraph_t captured = nullptr;
    try {
      check(cudaMemcpyAsync(block.data(), host_block.data(), uploaded, cudaMemcpyHostToDevice,
                            stream.stream),
            "capturing");
      queue_kernels(with_best);
      const void* result = with_best ? static_cast<const void*>(best.data()) : scores.data();
      if (downloaded > 0) {
        check(cudaMemcpyAsync(host_result.data(), result, downloaded, cudaMemcpyDeviceToHost,
                              stream.stream),
              "capturing");
      }
    } catch (...) {
      cudaStreamEndCapture(stream.stream, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    check(cudaStreamEndCapture(stream.stream, &captured), "capturing");
    const cudaError_t made = cudaGraphInstantiate(&graph.exec, captured, 0);
    cudaGraphDestroy(captured);
    check(made, "making a graph");
  }

  RankerWeights weights;
  BankPacker packer;
  std::uint32_t items;
  int processors = 0;
  Stream stream;
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
  std::size_t earlier_at = 0, cleared_bytes = 0;
  bool last_with_best = false;
  std::map<Sizes, Graph> graphs;
};

Scorer::Scorer(const RankerWeights& weights, const ItemRelations& relations,
               const ScorerItems& items, std::size_t items_max, ScorerPrecision precision) {
  if (const auto reason = scorer_unavailable()) throw ScorerError(*reason, false);
  state_ = std::make_unique<State>(weights, items_max, precision);
  state_->put(0, items);
  state_->transitions.assign(&relations.transitions, state_->items);
  state_->ease.assign(&relations.ease, state_->items);
  put_since(relations.since);
}

Scorer::~Scorer() = default;

void Scorer::put(std::size_t first, const ScorerItems& items) { state_->put(first, items); }

void Scorer::put_since(const Transitions* since) {
  check(cudaStreamSynchronize(state_->stream.stream), "waiting");
  state_->since.assign(since, state_->items);
  State::settle();
  state_->graphs.clear();  // they have the old arrays
}

void Scorer::score(std::span<const ScorerRequest> requests, std::span<float> scores,
                   const std::uint32_t* device_rows) {
  std::size_t candidates = 0;
  for (const ScorerRequest& request : requests) {
    candidates += device_rows != nullptr ? request.device_candidates : request.candidates.size();
  }
  if (candidates != scores.size()) throw std::invalid_argument("scores of another size");
  if (candidates == 0) return;
  state_->run(requests, 0, device_rows);
  std::memcpy(scores.data(), state_->host_result.data(), scores.size_bytes());
}

std::vector<std::vector<ScorerBest>> Scorer::best(std::span<const ScorerRequest> requests,
                                                  std::size_t n, const std::uint32_t* device_rows) {
  if (n > kTopMax) throw std::invalid_argument("more than 1024 best asked of the scorer");
  std::vector<std::vector<ScorerBest>> result(requests.size());
  if (n == 0 || requests.empty()) return result;
  state_->run(requests, n, device_rows);
  const auto* best = reinterpret_cast<const ScorerBest*>(state_->host_result.data());
  for (std::size_t u = 0; u < requests.size(); ++u, best += n) {
    const auto* end = std::find_if(best, best + n, [](const auto& b) { return b.row == kNoRow; });
    result[u].assign(best, end);
  }
  return result;
}

ScorerTimes Scorer::repeat(int times) {
  State& state = *state_;
  const auto mean_us = [&](const auto& queue) {
    check(cudaEventRecord(state.stream.begin, state.stream.stream), "timing");
    for (int i = 0; i < times; ++i) queue();
    check(cudaEventRecord(state.stream.end, state.stream.stream), "timing");
    check(cudaEventSynchronize(state.stream.end), "timing");
    check(cudaGetLastError(), "timing");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, state.stream.begin, state.stream.end), "timing");
    return 1000.0 * ms / times;
  };
  ScorerTimes result;
  result.all_us = mean_us([&] { state.queue_kernels(state.last_with_best); });
  result.tiles_us = mean_us([&] { state.queue_tiles(); });
  if (state.last_with_best) result.best_us = mean_us([&] { state.queue_best(); });
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
