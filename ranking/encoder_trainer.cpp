// See encoder_trainer.h.
#include "ranking/encoder_trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

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

// Weights over the touched items as weights over all items, the untouched with m_i = 0. Both in the
// context's memory.
EncoderWeights spread(const Context& context, const EncoderWeights& compact, const Touched& touched,
                      std::size_t items) {
  EncoderWeights full = compact;
  full.shape.items = items;
  full.items = Tensor(context, {items, full.shape.width});
  IndexLists lists;
  const auto rows = lists.add(touched.rows);
  lists.place(context);
  ops::copy_rows(context, touched.rows.size(), full.shape.width, nullptr, compact.items.data(),
                 lists.at(rows), full.items.data());
  full.learned.assign(items, 0);
  for (const std::uint32_t row : touched.rows) full.learned[row] = 1;
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

// The items of each question's history, none twice.
struct Histories {
  std::vector<std::uint32_t> offsets = {0};  // [n + 1]
  std::vector<std::uint32_t> rows;

  explicit Histories(std::span<const HeldOut> questions) {
    for (const HeldOut& question : questions) {
      const auto first = static_cast<std::ptrdiff_t>(rows.size());
      for (const Behaviour& b : question.history) rows.push_back(b.row);
      std::sort(rows.begin() + first, rows.end());
      rows.erase(std::unique(rows.begin() + first, rows.end()), rows.end());
      offsets.push_back(static_cast<std::uint32_t>(rows.size()));
    }
  }
};

// NDCG@10 of each question's target among all items, those of its history left out.
double validate(const Context& context, const EncoderWeights& weights, const float* whitened,
                std::span<const HeldOut> questions) {
  const std::size_t d = weights.shape.width;
  const std::size_t items = weights.shape.items;
  const Tensor vectors = all_item_vectors(context, weights, whitened);
  const Tensor states = last_states(context, weights, vectors, questions);
  const std::size_t tile = logit_rows(context, items);
  Tensor scores(context, {tile, items});
  double sum = 0;
  for (std::size_t begin = 0; begin < questions.size(); begin += tile) {
    const std::size_t n = std::min(tile, questions.size() - begin);
    const auto asked = questions.subspan(begin, n);
    const Histories histories(asked);
    std::vector<std::uint32_t> targets;
    for (const HeldOut& question : asked) targets.push_back(question.target.row);
    IndexLists lists;
    const auto target_rows = lists.add(targets);
    const auto offsets = lists.add(histories.offsets);
    const auto excluded = lists.add(histories.rows);
    lists.place(context);
    Array<std::uint32_t> better(context, n);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, items, d, 1, states.row(begin), d,
              vectors.data(), d, 0, scores.data(), items);
    ops::count_better(context, n, items, scores.data(), lists.at(target_rows), lists.at(offsets),
                      lists.at(excluded), better.data());
    for (const std::uint32_t count : better.read()) {
      if (count < 10) sum += 1 / std::log2(static_cast<double>(count) + 2);
    }
  }
  return questions.empty() ? 0 : sum / static_cast<double>(questions.size());
}

}  // namespace

Tensor all_item_vectors(const Context& context, const EncoderWeights& weights,
                        const float* whitened) {
  const std::size_t items = weights.shape.items;
  const Placed<float> mask(context, weights.learned);
  Tensor vectors(context, {items, weights.shape.width});
  item_tower(context, weights, items, nullptr, mask.data(), whitened, vectors.data());
  return vectors;
}

Tensor last_states(const Context& context, const EncoderWeights& weights, const Tensor& vectors,
                   std::span<const HeldOut> questions) {
  const std::size_t d = weights.shape.width;
  Tensor states(context, {questions.size(), d});
  EncoderTape tape;
  for (std::size_t begin = 0; begin < questions.size();) {
    EncoderBatch batch;
    std::vector<std::uint32_t> newest;  // token of each question that has a history, and
    std::vector<std::uint32_t> asked;   // which question that is
    std::size_t end = begin;
    for (; end < questions.size() && batch.tokens() < kStepTokens; ++end) {
      const std::span<const Behaviour> history = questions[end].history;
      const auto kept = history.last(std::min(history.size(), weights.shape.behaviours_max));
      std::vector<std::uint32_t> rows(kept.size());
      std::transform(kept.begin(), kept.end(), rows.begin(),
                     [](const Behaviour& b) { return b.row; });
      batch.add(kept, rows);
      if (kept.empty()) continue;
      newest.push_back(batch.offsets.back() - 1);
      asked.push_back(static_cast<std::uint32_t>(end));
    }
    encode(context, weights, vectors.data(), batch, 0, 0, tape);
    IndexLists lists;
    const auto from = lists.add(newest);
    const auto to = lists.add(asked);
    lists.place(context);
    ops::copy_rows(context, newest.size(), d, lists.at(from), tape.states.data(), lists.at(to),
                   states.data());
    begin = end;
  }
  return states;
}

EncoderFit train_encoder(const TrainData& data, const Interactions& sequences,
                         std::span<const HeldOut> validation, std::size_t epochs,
                         const EncoderWeights* from, const TrainOptions& options,
                         const std::string& stage, const TrainWatch& watch) {
  const Context context{options.threads, options.device};
  const Touched touched = find_touched(sequences, data.items);
  const std::size_t items = touched.rows.size();
  const Placed<float> all_whitened(context, data.whitened);
  Array<float> whitened(context, items * data.whitened_width);
  IndexLists touched_lists;
  const auto touched_items = touched_lists.add(touched.rows);
  touched_lists.place(context);
  ops::copy_rows(context, items, data.whitened_width, touched_lists.at(touched_items),
                 all_whitened.data(), nullptr, whitened.data());
  const EncoderShape shape{options.width, options.heads,        options.behaviours_max,
                           items,         data.whitened_width,  data.action_weights.size(),
                           options.gates, options.relative_bias};
  const std::vector<Window> windows = cut_windows(sequences, options.behaviours_max);
  TrainingState<EncoderWeights> state(
      (from != nullptr ? gather(*from, touched, shape)
                       : EncoderWeights::random(shape, options.seed))
          .to(context),
      Random(options.seed + 1), windows.size());
  EncoderWeights gradient = EncoderWeights(shape).to(context);
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
    return validate(context, spread(context, state.weights, touched, data.items),
                    all_whitened.data(), questions);
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
      const Placed<float> placed_mask(context, mask);
      const auto dropout = static_cast<float>(options.dropout);
      const std::uint64_t seed = state.random.next() >> 16;
      const auto options_of = [&](const std::string&) { return adam_options; };
      if (items > options.sampled_softmax_above) {
        for (std::uint32_t& row : negatives) {
          row = static_cast<std::uint32_t>(state.random.below(items));
        }
        loss +=
            sampled_encoder_loss(context, state.weights, placed_mask.data(), whitened.data(), batch,
                                 targets, negatives, dropout, seed, tape, gradient, touched_rows);
        state.adam.step(context, gradient, state.weights, options_of, "items", touched_rows);
      } else {
        loss += encoder_loss(context, state.weights, placed_mask.data(), whitened.data(), batch,
                             targets, dropout, seed, tape, gradient);
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
  const Context host{options.threads};
  const EncoderWeights& kept = questions.empty() ? state.weights : state.best;
  EncoderWeights weights = spread(host, kept.to(host), touched, data.items);
  if (questions.empty()) return {std::move(weights), last_epoch, 0};
  return {std::move(weights), state.best_epoch, state.best_ndcg_10};
}

}  // namespace fovea::ranking
