#include "engine/gpu_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/request.h"
#include "index/device_search.h"
#include "index/gpu_index.h"
#include "ranking/device.h"
#include "ranking/encoder.h"
#include "ranking/ops.h"
#include "ranking/ranker.h"
#include "ranking/scorer.h"

namespace fovea::engine {
namespace {

/// Items that go to the device at once.
constexpr std::size_t kItemsPerPut = 65'536;
/// For what Faiss computes in between, and for everything a batch needs.
constexpr std::size_t kScratchMib = 256;
constexpr std::size_t kBatchBytes = std::size_t{512} << 20;
/// Users that are ranked on both sides before a version is trusted to the device, and how far the
/// sides may lie apart: states and products by this share of 1 + their size, scores by this share
/// of their spread. Roundings stay far below, mistakes do not.
constexpr std::size_t kChecked = 4;
constexpr double kStateError = 1e-2;
/// Of an inner product with a code in place of the vector, by the share of the greatest.
constexpr double kCodeError = 0.2;
constexpr double kScoreError = 0.1;

/// Room for items that come while the version serves.
std::size_t rows_max(std::size_t items) { return 2 * items + 100'000; }

std::vector<std::uint32_t> all_rows(std::size_t begin, std::size_t end) {
  std::vector<std::uint32_t> rows(end - begin);
  std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(begin));
  return rows;
}

std::size_t mib(std::size_t bytes) { return bytes >> 20; }

struct Plan {
  index::GpuKind kind;
  std::size_t bytes;
};

/// Throws Unavailable where nothing fits.
Plan plan_for(const GpuSource& source, std::size_t bytes_max) {
  const std::size_t items = source.index->main() == nullptr ? 0 : source.index->main()->size();
  if (items == 0) throw Unavailable("there are no items to rank");
  const std::size_t width = source.model.width();
  const std::size_t fixed = ranking::scorer_bytes(source.model.ranker(), source.model.relations(),
                                                  rows_max(source.vectors.rows_end()),
                                                  ranking::ScorerPrecision::kBfloat16) +
                            (kScratchMib << 20) + kBatchBytes;
  // Of one item in the index, with its row and, in lists, its number.
  const std::pair<index::GpuKind, std::size_t> kinds[] = {
      {index::GpuKind::kExact, 4 * width + 4},
      {index::GpuKind::kIvfFp16, 2 * width + 12},
      {index::GpuKind::kIvfPq, width / 2 + 12},
  };
  for (const auto& [kind, bytes_per_item] : kinds) {
    const std::size_t bytes = items * bytes_per_item;
    if (kind == index::GpuKind::kExact && bytes > bytes_max / 2) continue;
    if (fixed + bytes <= bytes_max) return {kind, fixed + bytes};
  }
  throw Unavailable(fmt::format("{} items need at least {} MiB of its memory, and {} are allowed",
                                items, mib(fixed + items * kinds[2].second), mib(bytes_max)));
}

/// An action that was declared after training is none to the model.
void known_actions(std::vector<ranking::Behaviour>& behaviours, std::size_t actions) {
  for (auto& behaviour : behaviours) {
    if (behaviour.action >= actions) behaviour.action = 0;
  }
}

}  // namespace

struct GpuModel::State {
  State(const GpuSource& given, const Plan& plan, int threads)
      : source(given),
        bytes(plan.bytes),
        room(rows_max(given.vectors.rows_end())),
        gpu(ranking::Device::open()),
        faiss(index::open_gpu({.stream = gpu->stream(), .scratch_mib = kScratchMib})),
        context{1, gpu.get()},
        encoder(source.model.encoder().for_states().to(context)),
        nearest(build_nearest(plan.kind, threads)),
        search(*source.index, *nearest),
        kind(nearest->kind()),
        scorer(*gpu, source.model.ranker(), source.model.relations(), {}, room,
               ranking::ScorerPrecision::kBfloat16) {
    const std::size_t rows = source.vectors.rows_end();
    for (std::size_t begin = 0; begin < rows; begin += kItemsPerPut) {
      const std::size_t end = std::min(rows, begin + kItemsPerPut);
      const GatheredVectors gathered = source.vectors.gather(all_rows(begin, end));
      std::vector<float> popularity;
      for (std::size_t row = begin; row < end; ++row) popularity.push_back(log_popularity(row));
      scorer.put(begin, {gathered.items, gathered.texts, popularity});
    }
  }

  float log_popularity(std::size_t row) const {
    return row < source.log_popularity.size() ? source.log_popularity[row] : 0.0F;
  }

  std::unique_ptr<index::VectorIndex> build_nearest(index::GpuKind wanted, int threads) const {
    const auto rows = source.index->main()->rows();
    return index::build_gpu_index(faiss, rows, source.vectors.gather(rows).items,
                                  source.model.width(), {.kind = wanted}, threads);
  }

  struct Put {
    std::vector<std::uint32_t> rows;
    std::vector<float> texts, vectors;
  };

  /// Every item that a search may have found by now is in the ranker's bank afterwards.
  void take_puts() {
    std::vector<Put> taken;
    {
      const std::lock_guard lock(mutex);
      taken.swap(puts);
    }
    const std::size_t text_width = source.vectors.text_width();
    const std::size_t width = source.vectors.item_width();
    for (const Put& put : taken) {
      for (std::size_t i = 0; i < put.rows.size(); ++i) {
        const float popularity = log_popularity(put.rows[i]);
        scorer.put(put.rows[i], {std::span(put.vectors).subspan(i * width, width),
                                 std::span(put.texts).subspan(i * text_width, text_width),
                                 {&popularity, 1}});
      }
    }
  }

  /// User states [B, D], on the device.
  ranking::Tensor states(std::span<const GpuQuestion* const> questions) {
    ranking::EncoderBatch batch;
    std::vector<float> vectors;
    std::vector<std::uint32_t> last;
    for (const GpuQuestion* question : questions) {
      auto behaviours = question->behaviours;
      known_actions(behaviours, encoder.shape.actions);
      const std::size_t begin = batch.tokens();
      batch.add(behaviours, all_rows(begin, begin + behaviours.size()));
      last.push_back(static_cast<std::uint32_t>(batch.tokens() - 1));
      vectors.insert(vectors.end(), question->vectors.begin(), question->vectors.end());
    }
    const ranking::Placed<float> item_vectors(context, vectors);
    encode(context, encoder, item_vectors.data(), batch, 0, 0, tape);
    const std::size_t width = source.model.width();
    ranking::Tensor result(context, {questions.size(), width});
    const ranking::Placed<std::uint32_t> rows(context, last);
    ranking::ops::copy_rows(context, last.size(), width, rows.data(), tape.states.data(), nullptr,
                            result.data());
    return result;
  }

  std::vector<GpuAnswer> rank(std::span<const GpuQuestion* const> questions,
                              const std::shared_ptr<const ranking::Transitions>& now_since);

  const GpuSource source;
  const std::size_t bytes;
  const std::size_t room;  // rows of the ranker's bank
  const std::unique_ptr<ranking::Device> gpu;
  const std::shared_ptr<index::GpuDevice> faiss;
  const ranking::Context context;
  const ranking::EncoderWeights encoder;
  ranking::EncoderTape tape;
  const std::unique_ptr<const index::VectorIndex> nearest;
  index::DeviceSearch search;
  const std::string kind;
  ranking::Scorer scorer;
  std::shared_ptr<const ranking::Transitions> since;  // what the scorer has

  std::mutex mutex;  // guards what follows
  std::vector<Put> puts;
};

std::vector<GpuAnswer> GpuModel::State::rank(
    std::span<const GpuQuestion* const> questions,
    const std::shared_ptr<const ranking::Transitions>& now_since) {
  const std::size_t users = questions.size();
  const std::size_t width = source.model.width();
  std::size_t count = std::max(source.model.centre_k(), std::size_t{1});
  for (const GpuQuestion* question : questions) count = std::max(count, question->nearest);

  const ranking::Tensor user_states = states(questions);
  ranking::Array<std::uint32_t> rows(context, users * count);
  ranking::Array<float> products(context, users * count);
  search.search(user_states.data(), users, count, rows.data(), products.data());

  take_puts();
  if (since != now_since) {
    scorer.put_since(now_since.get());
    since = now_since;
  }
  std::vector<std::vector<ranking::Behaviour>> known;
  std::vector<ranking::ScorerRequest> requests;
  std::size_t candidates = 0;
  known.reserve(2 * users);
  for (const GpuQuestion* question : questions) {
    for (const auto* behaviours : {&question->behaviours, &question->earlier}) {
      known.push_back(*behaviours);
      known_actions(known.back(), encoder.shape.actions);
    }
    ranking::ScorerRequest& request = requests.emplace_back();
    request.behaviours = known[known.size() - 2];
    request.earlier = known.back();
    request.candidates = question->others;
    request.bias = question->bias;
    candidates += count + question->others.size();
  }
  std::vector<float> scores(candidates);
  const ranking::ScorerRetrieved retrieved{rows.data(), products.data(), user_states.data(), count,
                                           source.model.centre_k()};
  scorer.score(requests, scores, &retrieved);

  const std::vector<float> states_read = user_states.read();
  const std::vector<std::uint32_t> rows_read = rows.read();
  const std::vector<float> products_read = products.read();
  std::vector<GpuAnswer> answers(users);
  auto next = scores.begin();
  for (std::size_t u = 0; u < users; ++u) {
    GpuAnswer& answer = answers[u];
    const auto state = states_read.begin() + static_cast<std::ptrdiff_t>(u * width);
    answer.state.assign(state, state + static_cast<std::ptrdiff_t>(width));
    for (std::size_t i = u * count; i < u * count + questions[u]->nearest; ++i) {
      if (rows_read[i] == index::kNoRow) break;
      answer.nearest.push_back({rows_read[i], products_read[i]});
    }
    answer.nearest_scores.assign(next, next + static_cast<std::ptrdiff_t>(answer.nearest.size()));
    next += static_cast<std::ptrdiff_t>(count);
    const auto others = static_cast<std::ptrdiff_t>(questions[u]->others.size());
    answer.other_scores.assign(next, next + others);
    next += others;
  }
  return answers;
}

namespace {

[[noreturn]] void disagrees(const char* what, double device, double cpu) {
  throw Unavailable(
      fmt::format("it computes {} of {:.6g} where the CPU computes {:.6g}", what, device, cpu));
}

void compare(const GpuSource& source, bool codes, const GpuQuestion& question,
             const GpuAnswer& answer) {
  const ranking::Model& model = source.model;
  std::vector<std::uint32_t> rows;
  for (const auto& behaviour : question.behaviours) rows.push_back(behaviour.row);
  const GatheredVectors read = source.vectors.gather(rows);
  const auto state =
      model.user_state(ranking::Context{}, {question.behaviours, read.items, read.texts});
  for (std::size_t d = 0; d < state.size(); ++d) {
    if (!(std::abs(answer.state[d] - state[d]) <= kStateError * (1 + std::abs(state[d])))) {
      disagrees("a user state", answer.state[d], state[d]);
    }
  }
  rows.clear();
  for (const auto& neighbour : answer.nearest) rows.push_back(neighbour.row);
  const GatheredVectors found = source.vectors.gather(rows);
  double centre = 0;
  const std::size_t reference = std::min(rows.size(), model.centre_k());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float product =
        ranking::ops::dot(model.width(), state.data(), found.items.data() + i * model.width());
    const double given = answer.nearest[i].score;
    const double error_max = kStateError * (1 + std::abs(product)) +
                             (codes ? kCodeError * std::abs(answer.nearest[0].score) : 0);
    if (!(std::abs(given - product) <= error_max)) disagrees("an inner product", given, product);
    if (i < reference) centre += given / static_cast<double>(reference);
  }
  std::vector<float> popularity;
  for (const auto row : rows) {
    popularity.push_back(row < source.log_popularity.size() ? source.log_popularity[row] : 0);
  }
  const auto scores =
      model
          .score(ranking::Context{}, state, {question.behaviours, read.items, read.texts},
                 {rows, found.items, found.texts, popularity}, static_cast<float>(centre), false)
          .total;
  double mean = 0;
  double square = 0;
  for (const float score : scores) mean += score / static_cast<double>(scores.size());
  for (const float score : scores) {
    square += (score - mean) * (score - mean) / static_cast<double>(scores.size());
  }
  const double error_max = kScoreError * std::max(1.0, std::sqrt(square));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!(std::abs(answer.nearest_scores[i] - scores[i]) <= error_max)) {
      disagrees("a score", answer.nearest_scores[i], scores[i]);
    }
  }
}

}  // namespace

GpuModel::GpuModel(const GpuSource& source, std::size_t bytes_max, int threads) {
  state_ = std::make_unique<State>(source, plan_for(source, bytes_max), threads);
  const auto rows = source.index->main()->rows();
  std::vector<GpuQuestion> questions(std::min(kChecked, rows.size()));
  std::vector<const GpuQuestion*> batch;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    GpuQuestion& question = questions[q];
    const std::size_t length = std::min(source.model.behaviours_max(), 1 + 5 * q);
    std::vector<std::uint32_t> read;
    for (std::size_t i = 0; i < length; ++i) {
      read.push_back(rows[(q * 7919 + i * 104'729) % rows.size()]);
      question.behaviours.push_back({read.back(), 0, 0, static_cast<std::int64_t>(i) * 3'600'000});
    }
    question.vectors = source.vectors.gather(read).items;
    question.nearest = std::min(rows.size(), std::size_t{300});
    batch.push_back(&question);
  }
  const auto answers = state_->rank(batch, nullptr);
  for (std::size_t q = 0; q < questions.size(); ++q) {
    compare(source, kind() == "gpu-ivf-pq", questions[q], answers[q]);
  }
}

GpuModel::~GpuModel() = default;

bool GpuModel::put(std::span<const std::uint32_t> rows, std::span<const float> texts,
                   std::span<const float> vectors) {
  if (std::ranges::any_of(rows, [&](std::uint32_t row) { return row >= state_->room; })) {
    return false;
  }
  const std::lock_guard lock(state_->mutex);
  state_->puts.push_back(
      {{rows.begin(), rows.end()}, {texts.begin(), texts.end()}, {vectors.begin(), vectors.end()}});
  return true;
}

std::vector<GpuAnswer> GpuModel::rank(std::span<const GpuQuestion* const> questions,
                                      const std::shared_ptr<const ranking::Transitions>& since) {
  return state_->rank(questions, since);
}

std::size_t GpuModel::bytes() const { return state_->bytes; }
const std::string& GpuModel::kind() const { return state_->kind; }
const std::string& GpuModel::device() const { return state_->gpu->name(); }

}  // namespace fovea::engine
