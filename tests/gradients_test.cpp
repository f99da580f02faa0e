// The hand-written gradients agree with finite differences, for every array of encoder and ranker.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ranking/ease.h"
#include "ranking/encoder_loss.h"
#include "ranking/encoder_trainer.h"
#include "ranking/random.h"
#include "ranking/ranker.h"

namespace fovea::ranking {
namespace {

constexpr Context kContext{1};

std::vector<float> draw(std::size_t n, Random& random, float deviation) {
  std::vector<float> values(n);
  for (float& x : values) x = deviation * random.normal();
  return values;
}

// Moves each array along a random direction and compares the loss's change with what the gradient
// says. One direction through all of an array sees every entry; single floats would drown in
// rounding.
template <typename WeightSet, typename LossOf>
void expect_gradients_agree(WeightSet& weights, WeightSet& gradient, const LossOf& loss_of,
                            double tolerance) {
  const auto arrays = weights.tensors();
  const auto gradients = gradient.tensors();
  Random random(99);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    Tensor& array = *arrays[i].second;
    const Tensor before = array;
    // Along the gradient itself with some noise: the expected change is large and the check sharp.
    double norm = 0;
    for (const float g : gradients[i].second->values()) norm += static_cast<double>(g) * g;
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 0) << arrays[i].first << " has no gradient at all";
    std::vector<double> direction(array.size());
    double expected = 0;
    for (std::size_t j = 0; j < array.size(); ++j) {
      direction[j] =
          (*gradients[i].second)[j] / norm + 0.1 * random.normal() / std::sqrt(array.size());
      expected += direction[j] * (*gradients[i].second)[j];
    }
    constexpr double kStep = 4e-3;
    const auto loss_at = [&](double step) {
      for (std::size_t j = 0; j < array.size(); ++j) {
        array[j] = static_cast<float>(before[j] + step * direction[j]);
      }
      return loss_of();
    };
    const double measured = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
    array = before;
    EXPECT_NEAR(measured, expected, tolerance * std::abs(expected) + 1e-4) << arrays[i].first;
  }
}

// Three short sequences over nine items, two of which are scored from their text alone.
struct EncoderExample {
  explicit EncoderExample(const EncoderShape& shape) : weights(EncoderWeights::random(shape, 3)) {
    // Finite differences fail where a hidden unit crosses zero within a step; with this seed none
    // does.
    Random random(2);
    for (auto& [name, tensor] : weights.tensors()) {
      for (float& x : tensor->values()) x += 0.3F * random.normal();
    }
    for (const std::size_t length : {6, 1, 3}) {
      std::vector<Behaviour> behaviours(length);
      std::vector<std::uint32_t> read(length);
      for (std::size_t i = 0; i < length; ++i) {
        behaviours[i] = {0, static_cast<std::uint16_t>(random.below(3)), 0,
                         static_cast<std::int64_t>(i * i * 5000)};
        read[i] = static_cast<std::uint32_t>(random.below(9));
        targets.push_back(i == 1 ? kNoTarget : static_cast<std::uint32_t>(random.below(9)));
      }
      batch.add(behaviours, read);
    }
    whitened = draw(9 * 5, random, 0.5F);
  }

  double loss(float dropout, EncoderWeights& gradient) {
    return encoder_loss(kContext, weights, mask.data(), whitened.data(), batch, targets, dropout, 5,
                        tape, gradient);
  }
  double sampled_loss(std::span<const std::uint32_t> negatives, float dropout,
                      EncoderWeights& gradient) {
    return sampled_encoder_loss(kContext, weights, mask.data(), whitened.data(), batch, targets,
                                negatives, dropout, 5, tape, gradient, rows);
  }

  EncoderWeights weights;
  EncoderBatch batch;
  std::vector<std::uint32_t> targets;
  std::vector<float> mask = {1, 0, 1, 1, 1, 1, 0, 1, 1};
  std::vector<float> whitened;
  EncoderTape tape;
  std::vector<std::uint32_t> rows;
};

void expect_encoder_gradients_agree(const EncoderShape& shape) {
  EncoderExample example(shape);
  for (const float dropout : {0.0F, 0.4F}) {
    EncoderWeights gradient(shape);
    example.loss(dropout, gradient);
    EncoderWeights unused(shape);
    expect_gradients_agree(
        example.weights, gradient, [&] { return example.loss(dropout, unused); }, 0.02);
  }
}

constexpr EncoderShape kEncoderShape{
    .width = 12, .heads = 3, .behaviours_max = 6, .items = 9, .whitened_width = 5, .actions = 3};

TEST(Gradients, OfTheEncoderAgreeWithFiniteDifferences) {
  expect_encoder_gradients_agree(kEncoderShape);
}

TEST(Gradients, OfTheGatedEncoderAgreeWithFiniteDifferences) {
  EncoderShape shape = kEncoderShape;
  shape.gates = true;
  expect_encoder_gradients_agree(shape);
}

TEST(Gradients, OfTheEncoderWithRelativeBiasAgreeWithFiniteDifferences) {
  EncoderShape shape = kEncoderShape;
  shape.relative_bias = true;
  expect_encoder_gradients_agree(shape);
}

// What serving asks for.
TEST(Encoder, TheLastStatesAloneAreThoseOfAll) {
  EncoderShape shape = kEncoderShape;
  shape.gates = true;
  shape.relative_bias = true;
  EncoderExample example(shape);
  Random random(4);
  const auto vectors = draw(9 * shape.width, random, 1);
  encode(kContext, example.weights, vectors.data(), example.batch, 0, 0, example.tape);
  const Tensor all = example.tape.states;
  for (std::size_t from = 1; from < example.batch.tokens(); ++from) {
    EncoderTape tape;
    encode(kContext, example.weights, vectors.data(), example.batch, 0, 0, tape, from);
    for (std::size_t i = from; i < example.batch.tokens(); ++i) {
      for (std::size_t k = 0; k < shape.width; ++k) {
        ASSERT_NEAR(tape.states.row(i)[k], all.row(i)[k], 1e-5) << from << " " << i << " " << k;
      }
    }
  }
}

TEST(Gradients, OfTheSampledSoftmaxAgreeWithFiniteDifferences) {
  EncoderExample example(kEncoderShape);
  const std::vector<std::uint32_t> negatives = {4, 0, 7, 4};  // one twice, some of them targets
  EncoderWeights gradient(kEncoderShape);
  example.sampled_loss(negatives, 0.4F, gradient);
  EncoderWeights unused(kEncoderShape);
  expect_gradients_agree(
      example.weights, gradient, [&] { return example.sampled_loss(negatives, 0.4F, unused); },
      0.02);
}

TEST(Gradients, OfTheSampledSoftmaxAreThoseOfTheFullOneWhenEveryItemIsDrawnOnce) {
  EncoderExample example(kEncoderShape);
  const std::vector<std::uint32_t> everything = {8, 7, 6, 5, 4, 3, 2, 1, 0};
  EncoderWeights full(kEncoderShape);
  EncoderWeights sampled(kEncoderShape);
  EXPECT_NEAR(example.loss(0, full), example.sampled_loss(everything, 0, sampled), 1e-5);
  const auto expected = full.tensors();
  const auto actual = sampled.tensors();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, tensor] = expected[i];
    for (std::size_t j = 0; j < tensor->size(); ++j) {
      EXPECT_NEAR((*actual[i].second)[j], (*tensor)[j], 1e-5) << name << " at " << j;
    }
  }
}

TEST(Gradients, OfTheSampledSoftmaxTouchOnlyTheRowsItNames) {
  EncoderExample example(kEncoderShape);
  example.batch = {};
  const std::vector<Behaviour> behaviours(2);
  example.batch.add(behaviours, std::vector<std::uint32_t>{3, 5});
  example.targets = {5, kNoTarget};
  EncoderWeights gradient(kEncoderShape);
  example.sampled_loss(std::vector<std::uint32_t>{8, 5}, 0, gradient);
  EXPECT_EQ(example.rows, (std::vector<std::uint32_t>{3, 5, 8}));
  for (const std::size_t row : {0, 1, 2, 4, 6, 7}) {
    for (std::size_t c = 0; c < 12; ++c) EXPECT_EQ(gradient.items.row(row)[c], 0);
  }

  // A sparse step of Adam moves those rows as a dense one does, and no others.
  EncoderWeights dense_gradient = gradient;
  EncoderWeights dense = example.weights;
  EncoderWeights sparse = example.weights;
  const auto options_of = [](const std::string&) { return ops::AdamOptions{}; };
  Adam<EncoderWeights>(dense).step(kContext, dense_gradient, dense, options_of);
  Adam<EncoderWeights>(sparse).step(kContext, gradient, sparse, options_of, "items", example.rows);
  for (std::size_t i = 0; i < dense.items.size(); ++i) {
    EXPECT_EQ(sparse.items[i], dense.items[i]);
    EXPECT_EQ(gradient.items[i], 0);
  }
}

TEST(Gradients, OfTheRankerAgreeWithFiniteDifferences) {
  Random random(2);
  const std::size_t l = 5;
  const std::size_t n = 7;
  const std::size_t d = 12;
  const std::size_t k = 4;
  RankerWeights weights = RankerWeights::initial(
      {.width = d, .heads = 3, .actions = 3, .hidden = 8, .text_width = k}, 4);
  for (auto& [name, tensor] : weights.tensors()) {
    for (float& x : tensor->values()) x += 0.3F * random.normal();
  }
  for (float& x : weights.feature_scale.values()) x = 0.7F;
  weights.value_scale = 0.5F;
  std::vector<Behaviour> behaviours(l);
  for (std::size_t j = 0; j < l; ++j) {
    behaviours[j] = {static_cast<std::uint32_t>(j), static_cast<std::uint16_t>(j % 3),
                     static_cast<float>(j % 4), static_cast<std::int64_t>(j * j * 90'000)};
  }
  Interactions log;
  log.add_user(behaviours);
  const std::vector<float> weights_of_actions(3, 1.0F);
  const Transitions transitions = Transitions::count(log, 20, weights_of_actions, {});
  EaseOptions ease_options;
  ease_options.ridge = 1;
  const ItemPairs ease = solve_ease(log, 20, weights_of_actions, ease_options, 1);
  const std::vector<std::uint32_t> rows = {1, 3, 4, 11, 12, 2, 0};
  const auto behaviour_vectors = draw(l * d, random, 0.5F);
  const auto behaviour_texts = draw(l * k, random, 0.5F);
  const auto candidate_vectors = draw(n * d, random, 0.5F);
  const auto candidate_texts = draw(n * k, random, 0.5F);
  const auto popularity = draw(n, random, 1);
  const auto retrieval = draw(n, random, 1);
  const auto weighting =
      draw(n, random, 1);  // the loss: a weighted sum of scores and of their squares
  const auto bias = draw(l, random, 1);
  for (const float dropout : {0.0F, 0.3F}) {
    RankerTape tape;
    RankerWeights gradient(weights.shape);
    const BehaviourInput behaviour_input{behaviours, behaviour_vectors, behaviour_texts, {}, bias};
    const CandidateInput candidate_input{rows, candidate_vectors, candidate_texts, popularity};
    const auto loss_of = [&] {
      rank_candidates(kContext, weights, {transitions, ease}, behaviour_input, candidate_input,
                      retrieval, dropout, 6, tape);
      double loss = 0;
      for (std::size_t c = 0; c < n; ++c) {
        loss += weighting[c] * tape.scores[c] + 0.05 * tape.scores[c] * tape.scores[c];
      }
      return loss;
    };
    loss_of();
    std::vector<float> dscores(n);
    for (std::size_t c = 0; c < n; ++c) dscores[c] = weighting[c] + 0.1F * tape.scores[c];
    rank_candidates_backward(kContext, weights, behaviour_input, candidate_input, tape, dscores,
                             gradient);
    expect_gradients_agree(weights, gradient, loss_of, 0.02);
  }
}

}  // namespace
}  // namespace fovea::ranking
