// See ranker_trainer.h.
#include "ranking/ranker_trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unordered_set>

#include "ranking/encoder_trainer.h"
#include "ranking/random.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

constexpr std::size_t kHardNegatives = 48;     // from the retrieved candidates
constexpr std::size_t kUniformNegatives = 15;  // from the whole catalogue
constexpr std::size_t kStepExamples = 64;
constexpr std::size_t kPatience = 4;
constexpr float kLearningRate = 3e-3F;  // a tenth of it for the products of attention
constexpr float kDropout = 0.2F;
constexpr const char* kStage = "ranker";

// One question with its candidates as serving would retrieve them, seen items left out.
struct Example {
  const HeldOut* question = nullptr;
  std::vector<std::uint32_t> candidates;
  std::size_t state = 0;  // row in the array of user states
  float centre = 0;
  bool answered = false;  // the target is among the candidates
};

// Gathers what rank_candidates reads for some rows of one example.
class Gather {
 public:
  Gather(const TrainData& data, const RankerBase& base, std::span<const float> vectors)
      : data_(data), base_(base), vectors_(vectors) {}

  /// Makes candidate c what it would be had nobody acted on it: `vectors` [V, D] are those of texts
  /// alone.
  void make_fresh(std::size_t c, std::span<const float> vectors, const float* state, float centre) {
    const std::size_t d = base_.encoder.shape.width;
    const auto row = vectors.subspan(rows_[c] * d, d);
    std::copy(row.begin(), row.end(), candidate_vectors_.data() + c * d);
    popularity_[c] = 0;
    // One beyond the last, to which nothing leads; not far beyond, since tables reach up to it.
    rows_[c] = static_cast<std::uint32_t>(data_.items);
    retrieval[c] = ops::dot(d, state, row.data()) - centre;
  }

  void operator()(const Example& example, std::span<const std::uint32_t> rows, const float* state) {
    const std::size_t d = base_.encoder.shape.width;
    const std::span<const Behaviour> history = example.question->history;
    const auto kept = history.last(std::min(history.size(), base_.encoder.shape.behaviours_max));
    std::vector<std::uint32_t> kept_rows;
    for (const Behaviour& b : kept) kept_rows.push_back(b.row);
    take(vectors_, d, kept_rows, behaviour_vectors_);
    take(data_.texts, data_.text_width, kept_rows, behaviour_texts_);
    behaviours = {kept, behaviour_vectors_, behaviour_texts_,
                  history.first(history.size() - kept.size())};
    take(vectors_, d, rows, candidate_vectors_);
    take(data_.texts, data_.text_width, rows, candidate_texts_);
    take(base_.log_popularity, 1, rows, popularity_);
    rows_.assign(rows.begin(), rows.end());
    candidates = {rows_, candidate_vectors_, candidate_texts_, popularity_};
    retrieval.resize(rows.size());
    for (std::size_t c = 0; c < rows.size(); ++c) {
      retrieval[c] = ops::dot(d, state, candidate_vectors_.data() + c * d) - example.centre;
    }
  }

  BehaviourInput behaviours;
  CandidateInput candidates;
  std::vector<float> retrieval;

 private:
  static void take(std::span<const float> from, std::size_t width,
                   std::span<const std::uint32_t> rows, std::vector<float>& to) {
    to.resize(rows.size() * width);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto row = from.subspan(rows[i] * width, width);
      std::copy(row.begin(), row.end(), to.begin() + static_cast<std::ptrdiff_t>(i * width));
    }
  }

  const TrainData& data_;
  const RankerBase& base_;
  std::span<const float> vectors_;
  std::vector<std::uint32_t> rows_;
  std::vector<float> behaviour_vectors_, behaviour_texts_;
  std::vector<float> candidate_vectors_, candidate_texts_, popularity_;
};

// Candidates from both sources for each question; the states are those of the questions.
std::vector<Example> retrieve(const TrainData& data, const RankerBase& base,
                              std::span<const HeldOut> questions, std::span<const float> vectors,
                              std::span<const float> states, std::size_t retrieved,
                              const TrainOptions& options) {
  const std::size_t d = base.encoder.shape.width;
  const Context alone{1};
  std::vector<Example> examples(questions.size());
#pragma omp parallel for num_threads(options.threads) schedule(static)
  for (std::size_t q = 0; q < questions.size(); ++q) {
    Example& example = examples[q];
    example.question = &questions[q];
    example.state = q;
    std::vector<float> scores(data.items);
    ops::gemm(alone, Transpose::kNo, Transpose::kYes, 1, data.items, d, 1, states.data() + q * d, d,
              vectors.data(), d, 0, scores.data(), data.items);
    std::vector<std::uint32_t> order(data.items);
    for (std::uint32_t v = 0; v < data.items; ++v) order[v] = v;
    const std::size_t k = std::min(std::max(retrieved, options.ranker_candidates), data.items);
    const auto better = [&](std::uint32_t a, std::uint32_t b) {
      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    };
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k) - 1, order.end(),
                     better);
    order.resize(k);
    const std::size_t centred = std::min(options.ranker_candidates, k);
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(centred) - 1,
                     order.end(), better);
    for (std::size_t i = 0; i < centred; ++i) {
      example.centre += scores[order[i]] / static_cast<float>(centred);
    }
    std::vector<std::uint32_t> newest;
    std::unordered_set<std::uint32_t> taken;  // seen items first, so that they are left out
    for (auto b = questions[q].history.rbegin(); b != questions[q].history.rend(); ++b) {
      newest.push_back(b->row);
      taken.insert(b->row);
    }
    const auto take = [&](std::uint32_t row) {
      if (taken.insert(row).second) example.candidates.push_back(row);
    };
    for (const std::uint32_t v : order) take(v);
    for (const auto& entry : base.transitions.best(newest, k)) take(entry.row);
    std::sort(example.candidates.begin(), example.candidates.end());
    example.answered = std::binary_search(example.candidates.begin(), example.candidates.end(),
                                          questions[q].target.row);
  }
  return examples;
}

// The positive first, then negatives that are not it.
std::vector<std::uint32_t> sample_rows(const Example& example, std::size_t items, Random random) {
  std::vector<std::uint32_t> rows = {example.question->target.row};
  std::vector<std::uint32_t> pool = example.candidates;
  for (std::size_t i = 0; i < pool.size() && rows.size() <= kHardNegatives; ++i) {
    std::swap(pool[i], pool[i + random.below(pool.size() - i)]);
    if (pool[i] != rows[0]) rows.push_back(pool[i]);
  }
  for (std::size_t i = 0; i < kUniformNegatives; ++i) {
    const auto row = static_cast<std::uint32_t>(random.below(items));
    if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
  }
  return rows;
}

// Means and deviations of the features at the start of training, so that all enter at one scale.
void standardise(const TrainData& data, const RankerBase& base, std::span<const float> vectors,
                 std::span<const float> states, std::span<const Example* const> examples,
                 RankerWeights& weights) {
  constexpr std::size_t kExamples = 2000;
  const std::size_t f = weights.features();
  std::vector<double> sum(f), squares(f);
  double count = 0;
  Gather gather(data, base, vectors);
  RankerTape tape;
  for (std::size_t e = 0; e < std::min(examples.size(), kExamples); ++e) {
    const auto rows = sample_rows(*examples[e], data.items, Random(e));
    gather(*examples[e], rows, states.data() + examples[e]->state * base.encoder.shape.width);
    rank_candidates({1}, weights, {base.transitions, base.ease}, gather.behaviours,
                    gather.candidates, gather.retrieval, 0, 0, tape);
    for (std::size_t c = 0; c < rows.size(); ++c) {
      for (std::size_t i = 0; i < f; ++i) {
        const double x = tape.features.row(c)[i];
        sum[i] += x;
        squares[i] += x * x;
      }
    }
    count += static_cast<double>(rows.size());
  }
  for (std::size_t i = 0; i < f; ++i) {
    const double mean = sum[i] / count;
    const double deviation = std::sqrt(std::max(squares[i] / count - mean * mean, 0.0));
    weights.feature_mean[i] = static_cast<float>(mean);
    weights.feature_scale[i] = deviation < 1e-6 ? 0 : static_cast<float>(1 / deviation);
    if (i == kRetrieval) {
      weights.feature_mean[i] = 0;                        // centred per user already
      weights.linear[i] = static_cast<float>(deviation);  // the score starts as retrieval's
    }
  }
}

// Leaves out the features that the options switch off.
void switch_off(const TrainOptions& options, RankerWeights& weights) {
  const auto off = [&](std::size_t first, std::size_t n) {
    for (std::size_t f = first; f < first + n; ++f) weights.feature_scale[f] = 0;
  };
  if (!options.transition_features) off(kTransition, 1);
  if (!options.ease_features) off(kEase, 1);
  if (!options.text_features) off(kTextLast, 3);
  if (!options.vector_features) off(kVectors5, 4);
  if (!options.popularity_features) off(kPopularity, 2);
  if (!options.target_attention) off(kScalarFeatures, weights.shape.heads);
}

float value_scale(const Interactions& interactions) {
  double squares = 0;
  double count = 0;
  for (std::size_t u = 0; u < interactions.users(); ++u) {
    const auto user = interactions.user(u);
    double mean = 0;
    for (const Behaviour& b : user) mean += b.value / static_cast<double>(user.size());
    for (const Behaviour& b : user) squares += (b.value - mean) * (b.value - mean);
    count += static_cast<double>(user.size());
  }
  const double deviation = count == 0 ? 0 : std::sqrt(squares / count);
  return deviation < 1e-6 ? 0 : static_cast<float>(1 / deviation);
}

// Where an answer stands among its candidates, and how surprised the ranker is: -log of its
// softmax.
struct Outcome {
  std::optional<std::size_t> place;  // absent: not among the candidates
  double loss = 0;
};

std::vector<Outcome> outcomes(const TrainData& data, const RankerBase& base,
                              std::span<const float> vectors, std::span<const float> states,
                              std::span<const Example* const> examples,
                              const RankerWeights& weights, [[maybe_unused]] int threads) {
  std::vector<Outcome> result(examples.size());
#pragma omp parallel num_threads(threads)
  {
    Gather gather(data, base, vectors);
    RankerTape tape;
#pragma omp for schedule(static)
    for (std::size_t e = 0; e < examples.size(); ++e) {
      const Example& example = *examples[e];
      if (!example.answered) continue;
      gather(example, example.candidates, states.data() + example.state * base.encoder.shape.width);
      rank_candidates({1}, weights, {base.transitions, base.ease}, gather.behaviours,
                      gather.candidates, gather.retrieval, 0, 0, tape);
      const auto at = std::lower_bound(example.candidates.begin(), example.candidates.end(),
                                       example.question->target.row);
      const float target = tape.scores[static_cast<std::size_t>(at - example.candidates.begin())];
      std::size_t better = 0;
      double sum = 0;
      for (const float score : tape.scores.values()) {
        if (score > target) ++better;
        sum += std::exp(static_cast<double>(score) - target);
      }
      result[e] = {better, std::log(sum)};
    }
  }
  return result;
}

struct Fitness {
  double ndcg_10 = 0, loss = 0;
};

Fitness mean(std::span<const Outcome> outcomes) {
  Fitness sum;
  for (const Outcome& outcome : outcomes) {
    sum.loss += outcome.loss;
    if (outcome.place && *outcome.place < 10) {
      sum.ndcg_10 += 1 / std::log2(static_cast<double>(*outcome.place) + 2);
    }
  }
  const double n = std::max<double>(static_cast<double>(outcomes.size()), 1);
  return {sum.ndcg_10 / n, sum.loss / n};
}

// The same candidates with the most popular first, ties by row: what the ranker must be better
// than.
double popular_ndcg_10(std::span<const Example* const> examples,
                       std::span<const float> log_popularity) {
  std::vector<Outcome> result;
  for (const Example* example : examples) {
    const std::uint32_t target = example->question->target.row;
    const auto better = std::ranges::count_if(example->candidates, [&](std::uint32_t row) {
      return log_popularity[row] != log_popularity[target]
                 ? log_popularity[row] > log_popularity[target]
                 : row < target;
    });
    result.push_back({static_cast<std::size_t>(better), 0});
  }
  return mean(result).ndcg_10;
}

// Loss and gradient of one example: the positive is rows[0].
double listwise_loss(std::span<const float> scores, std::vector<float>& dscores) {
  dscores.assign(scores.begin(), scores.end());
  const std::uint32_t positive = 0;
  double loss = 0;
  ops::softmax_cross_entropy({1}, 1, scores.size(), dscores.data(), &positive, 1, &loss);
  return loss;
}

void add_gradient(RankerWeights& to, RankerWeights& from) {
  const auto sum = to.tensors();
  const auto part = from.tensors();
  for (std::size_t i = 0; i < sum.size(); ++i) {
    for (std::size_t j = 0; j < sum[i].second->size(); ++j) {
      (*sum[i].second)[j] += (*part[i].second)[j];
    }
    part[i].second->zero();
  }
}

}  // namespace

RankerFit train_ranker(const TrainData& data, const RankerBase& base,
                       std::span<const HeldOut> questions, const RankerWeights* from,
                       const TrainOptions& options, const TrainWatch& watch) {
  const std::size_t d = base.encoder.shape.width;
  const Context context{options.threads};
  std::vector<HeldOut> sampled(questions.begin(), questions.end());
  Random random(options.seed + 29);
  for (std::size_t i = sampled.size(); i > 1; --i)
    std::swap(sampled[i - 1], sampled[random.below(i)]);

  const Tensor vector_table = all_item_vectors(context, base.encoder, data.whitened.data());
  const Tensor state_table = last_states(context, base.encoder, vector_table, sampled);
  const std::span<const float> vectors = vector_table.values();
  const std::span<const float> states = state_table.values();
  const std::vector<Example> examples =
      retrieve(data, base, sampled, vectors, states, options.ranker_candidates, options);
  std::vector<const Example*> training;
  std::vector<const Example*> held_out;
  for (std::size_t e = 0; e < examples.size(); ++e) {
    if (examples[e].answered) (e % 10 == 0 ? held_out : training).push_back(&examples[e]);
  }

  RankerFit best;
  best.weights = RankerWeights::initial({.width = d,
                                         .heads = options.heads,
                                         .actions = data.action_weights.size(),
                                         .text_width = data.text_width,
                                         .centre_k = options.ranker_candidates},
                                        options.seed + 2);
  if (from != nullptr) best.weights = with_actions(*from, data.action_weights.size());
  if (training.empty()) return best;
  if (from == nullptr) {
    std::copy(data.action_weights.begin(), data.action_weights.end(),
              best.weights.action_weights.data());
    best.weights.value_scale = value_scale(data.interactions);
    standardise(data, base, vectors, states, training, best.weights);
    switch_off(options, best.weights);
  }
  EncoderWeights textual = base.encoder;
  textual.learned.assign(textual.learned.size(), 0);
  const Tensor text_vector_table = all_item_vectors(context, textual, data.whitened.data());
  const std::span<const float> text_vectors = text_vector_table.values();
  TrainingState<RankerWeights> state(best.weights, random, training.size());
  const auto fitness = [&] {
    return mean(outcomes(data, base, vectors, states, held_out, state.weights, options.threads));
  };
  const std::optional<Weights> resumed =
      watch.resume ? watch.resume(kStage) : std::optional<Weights>();
  if (resumed) {
    state.load(*resumed);
  } else {
    const Fitness initial = fitness();
    state.compare(-initial.loss, initial.ndcg_10);
  }
  const std::size_t threads = static_cast<std::size_t>(options.threads);
  std::vector<RankerWeights> gradients(threads, RankerWeights(state.weights.shape));
  const auto options_of = [&](const std::string& name) {
    ops::AdamOptions adam_options;
    adam_options.learning_rate = kLearningRate;
    if (name == "query" || name == "key") {
      adam_options.learning_rate = options.attention_products ? 0.1F * kLearningRate : 0;
    }
    return adam_options;
  };
  const auto done = [&] {
    return state.epoch >= options.ranker_epochs_max || state.epoch >= state.best_epoch + kPatience;
  };
  while (!done()) {
    const auto started = std::chrono::steady_clock::now();
    ++state.epoch;
    state.shuffle();
    double loss = 0;
    for (std::size_t begin = 0; begin < training.size(); begin += kStepExamples) {
      const std::size_t end = std::min(training.size(), begin + kStepExamples);
      double step_loss = 0;
      // Each thread sums its own examples' gradients, and the sums are added in order: the same
      // every time.
#pragma omp parallel for num_threads(options.threads) schedule(static, 1) reduction(+ : step_loss)
      for (std::size_t thread = 0; thread < threads; ++thread) {
        Gather gather(data, base, vectors);
        RankerTape tape;
        std::vector<float> dscores;
        for (std::size_t e = begin + thread; e < end; e += threads) {
          const Example& example = *training[state.order[e]];
          const std::uint64_t draw =
              mix(options.seed ^ mix(state.epoch * examples.size() + example.state));
          const auto rows = sample_rows(example, data.items, Random(draw));
          const float* user = states.data() + example.state * d;
          gather(example, rows, user);
          Random coin(draw + 1);
          for (std::size_t c = 0; c < rows.size(); ++c) {
            if (coin.uniform() < options.ranker_fresh) {
              gather.make_fresh(c, text_vectors, user, example.centre);
            }
          }
          rank_candidates({1}, state.weights, {base.transitions, base.ease}, gather.behaviours,
                          gather.candidates, gather.retrieval, kDropout, draw >> 16, tape);
          step_loss += listwise_loss(tape.scores.values(), dscores);
          for (float& g : dscores) g /= static_cast<float>(end - begin);
          rank_candidates_backward({1}, state.weights, gather.behaviours, gather.candidates, tape,
                                   dscores, gradients[thread]);
        }
      }
      loss += step_loss;
      for (std::size_t thread = 1; thread < threads; ++thread)
        add_gradient(gradients[0], gradients[thread]);
      state.adam.step(context, gradients[0], state.weights, options_of);
    }
    // By the loss: on a few hundred examples ndcg@10 says little of which epoch is better.
    const Fitness now = fitness();
    state.compare(-now.loss, now.ndcg_10);
    if (watch.progress) {
      watch.progress(
          {kStage, state.epoch, loss / static_cast<double>(training.size()), now.ndcg_10,
           std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(),
           state.best_epoch});
    }
    if (watch.checkpoint) watch.checkpoint(kStage, done(), [&] { return state.save(); });
  }
  return {state.best, state.best_epoch, state.best_ndcg_10,
          popular_ndcg_10(held_out, base.log_popularity), held_out.size()};
}

RankerWeights with_actions(const RankerWeights& old, std::size_t actions) {
  RankerWeights weights = old;
  weights.shape.actions = actions;
  weights.action = Tensor({old.shape.heads, actions});
  for (std::size_t h = 0; h < old.shape.heads; ++h) {
    std::copy_n(old.action.row(h), std::min(old.shape.actions, actions), weights.action.row(h));
  }
  return weights;
}

std::vector<std::optional<std::size_t>> ranked_places(const TrainData& data, const RankerBase& base,
                                                      const RankerWeights& ranker,
                                                      std::span<const HeldOut> questions,
                                                      std::size_t retrieved,
                                                      const TrainOptions& options) {
  const Context context{options.threads};
  const Tensor vector_table = all_item_vectors(context, base.encoder, data.whitened.data());
  const Tensor state_table = last_states(context, base.encoder, vector_table, questions);
  const std::span<const float> vectors = vector_table.values();
  const std::span<const float> states = state_table.values();
  const std::vector<Example> examples =
      retrieve(data, base, questions, vectors, states, retrieved, options);
  std::vector<const Example*> all;
  for (const Example& example : examples) all.push_back(&example);
  std::vector<std::optional<std::size_t>> places;
  for (const Outcome& outcome :
       outcomes(data, base, vectors, states, all, ranker, options.threads)) {
    places.push_back(outcome.place);
  }
  return places;
}

}  // namespace fovea::ranking
