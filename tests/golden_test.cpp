// Outputs, gradients and the first ten losses agree with what PyTorch computed
// (golden/make_golden.py).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ranking/ease.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker.h"
#include "ranking/weights.h"

namespace fovea::ranking {
namespace {

constexpr Context kContext{1};

const Weights& golden() {
  static const Weights weights = Weights::load(FOVEA_SOURCE_DIR "/tests/golden/model.safetensors");
  return weights;
}

std::vector<float> floats(const std::string& name) {
  const auto values = golden().floats(name);
  return {values.begin(), values.end()};
}

std::vector<std::uint32_t> ids(const std::string& name) {
  const auto values = golden().ids(name);
  return {values.begin(), values.end()};
}

void expect_close(std::span<const float> ours, const std::string& name, float tolerance) {
  const auto theirs = golden().floats(name);
  ASSERT_EQ(ours.size(), theirs.size()) << name;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    EXPECT_NEAR(ours[i], theirs[i], tolerance * (1 + std::abs(theirs[i]))) << name << " at " << i;
  }
}

template <typename WeightSet>
void expect_gradients(WeightSet& gradient, const std::string& prefix) {
  for (const auto& [name, tensor] : gradient.tensors()) {
    expect_close(tensor->values(), "gradient." + prefix + "." + name, 1e-4F);
  }
}

// Adam with the script's settings over the same batch, again and again.
template <typename WeightSet, typename LossOf>
std::vector<float> first_losses(WeightSet& weights, float learning_rate, const LossOf& loss_of) {
  Adam<WeightSet> adam(weights);
  WeightSet gradient(weights.shape);
  std::vector<float> losses;
  for (int i = 0; i < 10; ++i) {
    losses.push_back(static_cast<float>(loss_of(gradient)));
    ops::AdamOptions options;
    options.learning_rate = learning_rate;
    adam.step(kContext, gradient, weights, [&](const std::string&) { return options; });
  }
  return losses;
}

TEST(Golden, TheEncoderComputesWhatPyTorchDoes) {
  EncoderWeights weights = EncoderWeights::load(golden());
  EncoderBatch batch;
  batch.items = ids("input.items");
  for (const auto action : ids("input.actions"))
    batch.actions.push_back(static_cast<std::uint16_t>(action));
  for (const auto gap : ids("input.gaps")) batch.gaps.push_back(static_cast<std::uint8_t>(gap));
  for (const auto length : ids("input.lengths"))
    batch.offsets.push_back(batch.offsets.back() + length);
  const auto targets = ids("input.targets");
  const auto whitened = floats("input.whitened");
  EncoderTape tape;
  const auto loss_of = [&](EncoderWeights& gradient) {
    return encoder_loss(kContext, weights, weights.learned, whitened, batch, targets, 0, 0, tape,
                        gradient);
  };
  EncoderWeights gradient(weights.shape);
  loss_of(gradient);
  expect_close(tape.states.values(), "output.states", 1e-5F);
  expect_gradients(gradient, "encoder");
  expect_close(first_losses(weights, 1e-2F, loss_of), "losses.encoder", 1e-4F);
}

TEST(Golden, TheRankerComputesWhatPyTorchDoes) {
  RankerWeights weights = RankerWeights::load(golden());
  const std::size_t d = weights.shape.width;
  const std::size_t k = weights.shape.text_width;
  const auto vectors = floats("input.vectors");
  const auto texts = floats("input.texts");
  const auto popularity = floats("input.popularity");
  const auto take = [](const std::vector<float>& from, std::size_t width,
                       const std::vector<std::uint32_t>& rows) {
    std::vector<float> to;
    for (const auto row : rows) {
      to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(row * width),
                from.begin() + static_cast<std::ptrdiff_t>((row + 1) * width));
    }
    return to;
  };
  Interactions log;
  const auto log_rows = ids("input.log_rows");
  std::size_t at = 0;
  for (const auto length : ids("input.log_lengths")) {
    std::vector<Behaviour> user;
    for (std::size_t i = 0; i < length; ++i) user.push_back({.row = log_rows[at++], .action = 1});
    log.add_user(user);
  }
  const std::vector<float> action_weights = {1, 1, 1};
  const Transitions transitions = Transitions::count(log, vectors.size() / d, action_weights, {});
  EaseOptions ease_options;
  ease_options.ridge = floats("input.ridge")[0];
  const ItemPairs ease = solve_ease(log, vectors.size() / d, action_weights, ease_options, 1);

  const auto rows = ids("input.rows");
  const auto seconds = ids("input.seconds");
  const auto actions = ids("input.behaviour_actions");
  const auto values = floats("input.values");
  std::vector<Behaviour> behaviours;
  for (std::size_t j = 0; j < rows.size(); ++j) {
    behaviours.push_back({rows[j], static_cast<std::uint16_t>(actions[j]), values[j],
                          static_cast<std::int64_t>(seconds[j]) * 1000});
  }
  const auto behaviour_vectors = take(vectors, d, rows);
  const auto behaviour_texts = take(texts, k, rows);
  const auto candidates = ids("input.candidates");
  const auto candidate_vectors = take(vectors, d, candidates);
  const auto candidate_texts = take(texts, k, candidates);
  const auto candidate_popularity = take(popularity, 1, candidates);
  std::vector<Behaviour> earlier;
  for (const auto row : ids("input.earlier")) earlier.push_back({.row = row, .action = 1});
  const BehaviourInput behaviour_input{behaviours, behaviour_vectors, behaviour_texts, earlier};
  const CandidateInput candidate_input{candidates, candidate_vectors, candidate_texts,
                                       candidate_popularity};
  const auto retrieval = floats("input.retrieval");
  RankerTape tape;
  const auto loss_of = [&](RankerWeights& gradient) {
    rank_candidates(kContext, weights, transitions, ease, behaviour_input, candidate_input,
                    retrieval, 0, 0, tape);
    std::vector<float> dscores(tape.scores.values().begin(), tape.scores.values().end());
    const std::uint32_t positive = 0;
    const double loss =
        ops::softmax_cross_entropy(kContext, 1, dscores.size(), dscores.data(), &positive, 1);
    rank_candidates_backward(kContext, weights, behaviour_input, candidate_input, tape, dscores,
                             gradient);
    return loss;
  };
  RankerWeights gradient(weights.shape);
  loss_of(gradient);
  expect_close(tape.scores.values(), "output.scores", 1e-5F);
  std::vector<float> attention(candidates.size() * rows.size());
  for (std::size_t h = 0; h < weights.shape.heads; ++h) {
    for (std::size_t i = 0; i < attention.size(); ++i) {
      attention[i] += tape.attention.row(h)[i] / static_cast<float>(weights.shape.heads);
    }
  }
  expect_close(attention, "output.attention", 1e-5F);
  expect_gradients(gradient, "ranker");
  expect_close(first_losses(weights, 3e-3F, loss_of), "losses.ranker", 1e-4F);
}

}  // namespace
}  // namespace fovea::ranking
