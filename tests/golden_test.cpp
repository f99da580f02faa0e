// Outputs, gradients and the first ten losses agree with what PyTorch computed
// (golden/make_golden.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ranking/ease.h"
#include "ranking/encoder_loss.h"
#include "ranking/encoder_trainer.h"
#include "ranking/ranker.h"
#include "ranking/weights.h"

namespace fovea::ranking {
namespace {

constexpr Context kContext{1};

Weights load(const std::string& file) {
  return Weights::load(FOVEA_SOURCE_DIR "/tests/golden/" + file);
}

std::vector<float> floats(const Weights& golden, const std::string& name) {
  const auto values = golden.floats(name);
  return {values.begin(), values.end()};
}

std::vector<std::uint32_t> ids(const Weights& golden, const std::string& name) {
  const auto values = golden.ids(name);
  return {values.begin(), values.end()};
}

void expect_close(std::span<const float> ours, const Weights& golden, const std::string& name,
                  float tolerance) {
  const auto theirs = golden.floats(name);
  ASSERT_EQ(ours.size(), theirs.size()) << name;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    EXPECT_NEAR(ours[i], theirs[i], tolerance * (1 + std::abs(theirs[i]))) << name << " at " << i;
  }
}

template <typename WeightSet>
void expect_gradients(WeightSet& gradient, const Weights& golden, const std::string& prefix) {
  for (const auto& [name, tensor] : gradient.tensors()) {
    expect_close(tensor->values(), golden, "gradient." + prefix + "." + name, 1e-4F);
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

void expect_encoder_agrees(const Weights& golden, const EncoderWeights& initial) {
  EncoderWeights weights = initial;
  EncoderBatch batch;
  batch.items = ids(golden, "input.items");
  for (const auto action : ids(golden, "input.actions"))
    batch.actions.push_back(static_cast<std::uint16_t>(action));
  for (const auto gap : ids(golden, "input.gaps"))
    batch.gaps.push_back(static_cast<std::uint8_t>(gap));
  for (const auto length : ids(golden, "input.lengths"))
    batch.offsets.push_back(batch.offsets.back() + length);
  if (golden.has("input.encoder_seconds")) {
    for (const auto seconds : ids(golden, "input.encoder_seconds"))
      batch.times_ms.push_back(static_cast<std::int64_t>(seconds) * 1000);
  }
  const auto targets = ids(golden, "input.targets");
  const auto whitened = floats(golden, "input.whitened");
  EncoderTape tape;
  const auto loss_of = [&](EncoderWeights& gradient) {
    return encoder_loss(kContext, weights, weights.learned.data(), whitened.data(), batch, targets,
                        0, 0, tape, gradient);
  };
  EncoderWeights gradient(weights.shape);
  loss_of(gradient);
  expect_close(tape.states.values(), golden, "output.states", 1e-5F);
  expect_gradients(gradient, golden, "encoder");
  expect_close(first_losses(weights, 1e-2F, loss_of), golden, "losses.encoder", 1e-4F);
}

TEST(Golden, TheEncoderComputesWhatPyTorchDoes) {
  const Weights golden = load("model.safetensors");
  const EncoderWeights weights = EncoderWeights::load(golden);
  EXPECT_FALSE(weights.shape.gates || weights.shape.relative_bias);
  expect_encoder_agrees(golden, weights);
}

TEST(Golden, TheEncoderWithGatesAndRelativeBiasComputesWhatPyTorchDoes) {
  const Weights golden = load("gated.safetensors");
  const EncoderWeights weights = EncoderWeights::load(golden);
  EXPECT_TRUE(weights.shape.gates && weights.shape.relative_bias);
  expect_encoder_agrees(golden, weights);
}

TEST(Golden, TheEncoderWithGatesAndRelativeBiasIsSavedAndLoaded) {
  const EncoderWeights weights = EncoderWeights::load(load("gated.safetensors"));
  Weights saved;
  weights.save(saved);
  const EncoderWeights loaded = EncoderWeights::load(saved);
  const auto before = weights.tensors();
  const auto after = loaded.tensors();
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_TRUE(std::ranges::equal(before[i].second->values(), after[i].second->values()))
        << before[i].first;
  }
}

TEST(Golden, TheRankerComputesWhatPyTorchDoes) {
  const Weights golden = load("model.safetensors");
  RankerWeights weights = RankerWeights::load(golden);
  const std::size_t d = weights.shape.width;
  const std::size_t k = weights.shape.text_width;
  const auto vectors = floats(golden, "input.vectors");
  const auto texts = floats(golden, "input.texts");
  const auto popularity = floats(golden, "input.popularity");
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
  const auto log_rows = ids(golden, "input.log_rows");
  std::size_t at = 0;
  for (const auto length : ids(golden, "input.log_lengths")) {
    std::vector<Behaviour> user;
    for (std::size_t i = 0; i < length; ++i) user.push_back({.row = log_rows[at++], .action = 1});
    log.add_user(user);
  }
  const std::vector<float> action_weights = {1, 1, 1};
  const Transitions transitions = Transitions::count(log, vectors.size() / d, action_weights, {});
  EaseOptions ease_options;
  ease_options.ridge = floats(golden, "input.ridge")[0];
  const ItemPairs ease = solve_ease(log, vectors.size() / d, action_weights, ease_options, 1);

  const auto rows = ids(golden, "input.rows");
  const auto seconds = ids(golden, "input.seconds");
  const auto actions = ids(golden, "input.behaviour_actions");
  const auto values = floats(golden, "input.values");
  std::vector<Behaviour> behaviours;
  for (std::size_t j = 0; j < rows.size(); ++j) {
    behaviours.push_back({rows[j], static_cast<std::uint16_t>(actions[j]), values[j],
                          static_cast<std::int64_t>(seconds[j]) * 1000});
  }
  const auto behaviour_vectors = take(vectors, d, rows);
  const auto behaviour_texts = take(texts, k, rows);
  const auto candidates = ids(golden, "input.candidates");
  const auto candidate_vectors = take(vectors, d, candidates);
  const auto candidate_texts = take(texts, k, candidates);
  const auto candidate_popularity = take(popularity, 1, candidates);
  std::vector<Behaviour> earlier;
  for (const auto row : ids(golden, "input.earlier")) earlier.push_back({.row = row, .action = 1});
  const BehaviourInput behaviour_input{behaviours, behaviour_vectors, behaviour_texts, earlier};
  const CandidateInput candidate_input{candidates, candidate_vectors, candidate_texts,
                                       candidate_popularity};
  const auto retrieval = floats(golden, "input.retrieval");
  RankerTape tape;
  const auto loss_of = [&](RankerWeights& gradient) {
    rank_candidates(kContext, weights, {transitions, ease}, behaviour_input, candidate_input,
                    retrieval, 0, 0, tape);
    std::vector<float> dscores(tape.scores.values().begin(), tape.scores.values().end());
    const std::uint32_t positive = 0;
    double loss = 0;
    ops::softmax_cross_entropy(kContext, 1, dscores.size(), dscores.data(), &positive, 1, &loss);
    rank_candidates_backward(kContext, weights, behaviour_input, candidate_input, tape, dscores,
                             gradient);
    return loss;
  };
  RankerWeights gradient(weights.shape);
  loss_of(gradient);
  expect_close(tape.scores.values(), golden, "output.scores", 1e-5F);
  std::vector<float> attention(candidates.size() * rows.size());
  for (std::size_t h = 0; h < weights.shape.heads; ++h) {
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      for (std::size_t j = 0; j < rows.size(); ++j) {
        attention[c * rows.size() + j] += tape.attention.row(h)[j * candidates.size() + c] /
                                          static_cast<float>(weights.shape.heads);
      }
    }
  }
  expect_close(attention, golden, "output.attention", 1e-5F);
  expect_gradients(gradient, golden, "ranker");
  expect_close(first_losses(weights, 3e-3F, loss_of), golden, "losses.ranker", 1e-4F);
}

}  // namespace
}  // namespace fovea::ranking
