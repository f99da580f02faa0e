// See encoder_trainer.h.
#include "ranking/encoder_trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "ranking/encoder_loss.h"
#include "ranking/random.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

// Behaviours per step: what 256 users of 8 behaviours have, whatever the lengths are.
constexpr std::size_t kStepTokens = 2048;
// Validation asks at most this many questions: the metric's noise is then below what patience can
// see.
constexpr std::size_t kValidationMax = 20'000;

// A stretch of one user's behaviours: inputs [begin, end), targets one later.
struct Window {
  std::size_t user;
  std::size_t begin;
  std::size_t end;
};

// Cuts every sequence from its end into windows of at most L inputs.
std::vector<Window> cut_windows(const Interactions& sequences, std::size_t behaviours_max) {
  std::vector<Window> windows;
  for (std::size_t u = 0; u < sequences.users(); ++u) {
    const std::size_t n = sequences.user(u).size();
    for (std::size_t end = n == 0 ? 0 : n - 1; end > 0;) {
      const std::size_t begin = end > behaviours_max ? end - behaviours_max : 0;
      windows.push_back({u, begin, end});
      end = begin;
    }
  }
  return windows;
}

// Items that some behaviour touches, and where each stands among them.
struct Touched {
  std::vector<std::uint32_t> rows;      // [V'] ascending
  std::vector<std::uint32_t> position;  // [V], kNoTarget where untouched
};

Touched find_touched(const Interactions& sequences, std::size_t items) {
  Touched touched;
  touched.position.assign(items, kNoTarget);
  for (const Behaviour& b : sequences.behaviours) touched.position[b.row] = 0;
  for (std::uint32_t row = 0; row < items; ++row) {
    if (touched.position[row] == kNoTarget) continue;
    touched.position[row] = static_cast<std::uint32_t>(touched.rows.size());
    touched.rows.push_back(row);
  }
  return touched;
}

// Weights over the touched items as weights over all items, the untouched with m_i = 0.
EncoderWeights spread(const EncoderWeights& compact, const Touched& touched, std::size_t items) {
  EncoderShape shape = compact.shape;
  shape.items = items;
  EncoderWeights full(shape);
  const auto to = full.tensors();
  const auto from = compact.tensors();
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i].first != "items") *to[i].second = *from[i].second;
  }
  full.learned.assign(items, 0);
  for (std::size_t i = 0; i < touched.rows.size(); ++i) {
    const float* row = compact.items.row(i);
    std::copy(row, row + shape.width, full.items.row(touched.rows[i]));
    full.learned[touched.rows[i]] = 1;
  }
  return full;
}

// Weights over all items as weights over the touched ones. What `full` has not learned is zero: its
// items are scored from their text and its actions say nothing, until a step touches them.
EncoderWeights gather(const EncoderWeights& full, const Touched& touched,
                      const EncoderShape& shape) {
  EncoderWeights compact(shape);
  const auto to = compact.tensors();
  const auto from = full.tensors();
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i].first == "items") continue;
    const auto values = from[i].second->values();  // of fewer actions, perhaps
    std::copy_n(values.begin(), std::min(values.size(), to[i].second->size()),
                to[i].second->data());
  }
  for (std::size_t i = 0; i < touched.rows.size(); ++i) {
    const std::uint32_t row = touched.rows[i];
    if (row >= full.shape.items || full.learned[row] == 0) continue;
    std::copy_n(full.items.row(row), shape.width, compact.items.row(i));
  }
  return compact;
}

// NDCG@10 of each question's target among all items, those of its history left out.
double validate(const Context& context, const EncoderWeights& weights,
                std::span<const float> whitened, std::span<const HeldOut> questions) {
  const std::size_t d = weights.shape.width;
  const std::size_t items = weights.shape.items;
  const std::vector<float> vectors = all_item_vectors(context, weights, whitened);
  const std::vector<float> states = last_states(context, weights, vectors, questions);
  const std::size_t tile = logit_rows(items);
  std::vector<float> scores(tile * items);
  double sum = 0;
  for (std::size_t begin = 0; begin < questions.size(); begin += tile) {
    const std::size_t n = std::min(tile, questions.size() - begin);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, items, d, 1, states.data() + begin * d,
              d, vectors.data(), d, 0, scores.data(), items);
    for (std::size_t i = 0; i < n; ++i) {
      const HeldOut& question = questions[begin + i];
      const float* row = scores.data() + i * items;
      const float target = row[question.target.row];
      std::size_t better = 0;
      for (std::size_t v = 0; v < items; ++v) better += row[v] > target;
      std::unordered_set<std::uint32_t> seen;
      for (const Behaviour& b : question.history) {
        if (seen.insert(b.row).second && row[b.row] > target) --better;
      }
      if (better < 10) sum += 1 / std::log2(static_cast<double>(better) + 2);
    }
  }
  return questions.empty() ? 0 : sum / static_cast<double>(questions.size());
}

}  // namespace

std::vector<float> all_item_vectors(const Context& context, const EncoderWeights& weights,
                                    std::span<const float> whitened) {
  std::vector<std::uint32_t> rows(weights.shape.items);
  std::iota(rows.begin(), rows.end(), 0U);
  std::vector<float> vectors(rows.size() * weights.shape.width);
  item_tower(context, weights, rows, weights.learned.data(), whitened.data(), vectors.data());
  return vectors;
}

std::vector<float> last_states(const Context& context, const EncoderWeights& weights,
                               std::span<const float> vectors, std::span<const HeldOut> questions) {
  const std::size_t d = weights.shape.width;
  std::vector<float> states(questions.size() * d);
  EncoderTape tape;
  for (std::size_t begin = 0; begin < questions.size();) {
    EncoderBatch batch;
    std::size_t end = begin;
    while (end < questions.size() && batch.tokens() < kStepTokens) {
      const std::span<const Behaviour> history = questions[end].history;
      const auto kept = history.last(std::min(history.size(), weights.shape.behaviours_max));
      std::vector<std::uint32_t> rows(kept.size());
      std::transform(kept.begin(), kept.end(), rows.begin(),
                     [](const Behaviour& b) { return b.row; });
      batch.add(kept, rows);
      ++end;
    }
    encode(context, weights, vectors.data(), batch, 0, 0, tape);
    for (std::size_t i = begin; i < end; ++i) {
      if (batch.offsets[i - begin + 1] == batch.offsets[i - begin]) continue;  // no history: zeros
      const float* last = tape.states.row(batch.offsets[i - begin + 1] - 1);
      std::copy(last, last + d, states.data() + i * d);
    }
    begin = end;
  }
  return states;
}

EncoderFit train_encoder(const TrainData& data, const Interactions& sequences,
                         std::span<const HeldOut> validation, std::size_t epochs,
                         const EncoderWeights* from, const TrainOptions& options,
                         const std::string& stage, const TrainWatch& watch) {
  const Context context{options.threads};
  const Touched touched = find_touched(sequences, data.items);
  const std::size_t items = touched.rows.size();
  std::vector<float> whitened(items * data.whitened_width);
  for (std::size_t i = 0; i < items; ++i) {
    const auto row =
        data.whitened.subspan(touched.rows[i] * data.whitened_width, data.whitened_width);
    std::copy(row.begin(), row.end(),
              whitened.begin() + static_cast<std::ptrdiff_t>(i * row.size()));
  }
  const EncoderShape shape{options.width, options.heads,        options.behaviours_max,
                           items,         data.whitened_width,  data.action_weights.size(),
                           options.gates, options.relative_bias};
  const std::vector<Window> windows = cut_windows(sequences, options.behaviours_max);
  TrainingState<EncoderWeights> state(
      from != nullptr ? gather(*from, touched, shape) : EncoderWeights::random(shape, options.seed),
      Random(options.seed + 1), windows.size());
  EncoderWeights gradient(shape);
  ops::AdamOptions adam_options;
  adam_options.learning_rate = static_cast<float>(options.learning_rate);

  std::vector<HeldOut> questions(validation.begin(), validation.end());
  if (questions.size() > kValidationMax) {
    Random pick(options.seed + 17);
    for (std::size_t i = 0; i < kValidationMax; ++i) {
      std::swap(questions[i], questions[i + pick.below(questions.size() - i)]);
    }
    questions.resize(kValidationMax);
  }
  const auto validated = [&] {
    return validate(context, spread(state.weights, touched, data.items), data.whitened, questions);
  };
  std::vector<std::uint32_t> negatives(options.negatives);
  std::vector<std::uint32_t> touched_rows;  // of the item table, by a step of the sampled softmax
  const std::size_t last_epoch = questions.empty() ? epochs : options.epochs_max;
  const auto done = [&] {
    return state.epoch >= last_epoch ||
           (!questions.empty() &&
            state.epoch >= std::max(state.best_epoch + options.patience, options.epochs_min));
  };

  const std::optional<Weights> resumed =
      watch.resume ? watch.resume(stage) : std::optional<Weights>();
  if (resumed) {
    state.load(*resumed);
  } else if (from != nullptr && !questions.empty()) {
    const double ndcg_10 = validated();
    state.compare(ndcg_10, ndcg_10);
  }
  EncoderTape tape;
  std::vector<float> mask(items);
  while (!done()) {
    const auto started = std::chrono::steady_clock::now();
    ++state.epoch;
    state.shuffle();
    double loss = 0;
    std::size_t steps = 0;
    for (std::size_t w = 0; w < windows.size(); ++steps) {
      EncoderBatch batch;
      std::vector<std::uint32_t> targets;
      for (; w < windows.size() && batch.tokens() < kStepTokens; ++w) {
        const Window& window = windows[state.order[w]];
        const auto user = sequences.user(window.user);
        const auto inputs = user.subspan(window.begin, window.end - window.begin);
        std::vector<std::uint32_t> rows;
        for (const Behaviour& b : inputs) rows.push_back(touched.position[b.row]);
        batch.add(inputs, rows);
        for (std::size_t i = window.begin + 1; i <= window.end; ++i) {
          targets.push_back(data.action_weights[user[i].action] > 0 ? touched.position[user[i].row]
                                                                    : kNoTarget);
        }
      }
      for (float& m : mask) m = state.random.uniform() < options.item_dropout ? 0.0F : 1.0F;
      const auto dropout = static_cast<float>(options.dropout);
      const std::uint64_t seed = state.random.next() >> 16;
      const auto options_of = [&](const std::string&) { return adam_options; };
      if (items > options.sampled_softmax_above) {
        for (std::uint32_t& row : negatives) {
          row = static_cast<std::uint32_t>(state.random.below(items));
        }
        loss += sampled_encoder_loss(context, state.weights, mask, whitened, batch, targets,
                                     negatives, dropout, seed, tape, gradient, touched_rows);
        state.adam.step(context, gradient, state.weights, options_of, "items", touched_rows);
      } else {
        loss += encoder_loss(context, state.weights, mask, whitened, batch, targets, dropout, seed,
                             tape, gradient);
        state.adam.step(context, gradient, state.weights, options_of);
      }
    }
    TrainProgress report{
        stage,        state.epoch, loss / static_cast<double>(std::max<std::size_t>(steps, 1)),
        std::nullopt, 0,           state.epoch};
    if (!questions.empty()) {
      report.validation_ndcg_10 = validated();
      state.compare(*report.validation_ndcg_10, *report.validation_ndcg_10);
      report.best_epoch = state.best_epoch;
    }
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    if (watch.progress) watch.progress(report);
    if (watch.checkpoint) watch.checkpoint(stage, done(), [&] { return state.save(); });
  }
  if (questions.empty()) return {spread(state.weights, touched, data.items), last_epoch, 0};
  return {spread(state.best, touched, data.items), state.best_epoch, state.best_ndcg_10};
}

}  // namespace fovea::ranking
