// The whole encoder on a GPU: loss, every gradient, a step of Adam and a short training agree with
// the CPU, and two runs give the same bits.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "on_device.h"
#include "ranking/encoder_loss.h"
#include "ranking/encoder_trainer.h"

namespace fovea::ranking {
namespace {

using Gradients = std::vector<std::vector<float>>;

Gradients read(const EncoderWeights& weights) {
  Gradients values;
  for (const auto& [name, tensor] : weights.tensors()) values.push_back(tensor->read());
  return values;
}

// The length of the difference, in lengths of `expected`.
double distance(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0;
  double length = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    length += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference) / std::max(std::sqrt(length), 1e-12);
}

class EncoderCuda : public OnDevice {
 protected:
  struct Example {
    EncoderWeights weights;
    EncoderBatch batch;
    std::vector<std::uint32_t> targets, negatives;
    std::vector<float> mask, whitened;
  };

  Example draw_example(EncoderShape shape, std::size_t tokens) {
    Example example{.weights = EncoderWeights::random(shape, random_.next())};
    for (auto& [name, tensor] : example.weights.tensors()) {
      for (float& x : tensor->values()) x += 0.1F * random_.normal();
    }
    const auto offsets = draw_offsets(tokens, shape.behaviours_max);
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
      std::vector<Behaviour> behaviours(offsets[s + 1] - offsets[s]);
      std::int64_t time_ms = 0;
      for (Behaviour& b : behaviours) {
        time_ms += static_cast<std::int64_t>(random_.next() >> (24 + random_.below(24)));
        b.action = static_cast<std::uint16_t>(random_.below(shape.actions));
        b.time_ms = time_ms;
      }
      example.batch.add(behaviours, draw_rows(behaviours.size(), shape.items));
    }
    for (std::size_t t = 0; t < example.batch.tokens(); ++t) {
      example.targets.push_back(
          t % 7 == 3 ? kNoTarget : static_cast<std::uint32_t>(random_.below(shape.items)));
    }
    example.negatives = draw_rows(std::min<std::size_t>(shape.items, 64), shape.items);
    for (std::size_t i = 0; i < shape.items; ++i) {
      example.mask.push_back(random_.uniform() < 0.2 ? 0.0F : 1.0F);
    }
    example.whitened = draw(shape.items * shape.whitened_width, 0.3F);
    return example;
  }

  struct Outcome {
    double loss = 0;
    Gradients gradient;
    Gradients weights;  // after a step of Adam
  };
  Outcome run(const Context& context, const Example& example, bool sampled) {
    EncoderWeights weights = example.weights.to(context);
    EncoderWeights gradient = EncoderWeights(weights.shape).to(context);
    const Placed<float> mask(context, example.mask);
    const Placed<float> whitened(context, example.whitened);
    EncoderTape tape;
    std::vector<std::uint32_t> rows;
    Outcome outcome;
    outcome.loss = sampled ? sampled_encoder_loss(context, weights, mask.data(), whitened.data(),
                                                  example.batch, example.targets, example.negatives,
                                                  0.3F, 5, tape, gradient, rows)
                           : encoder_loss(context, weights, mask.data(), whitened.data(),
                                          example.batch, example.targets, 0.3F, 5, tape, gradient);
    outcome.gradient = read(gradient);
    const auto options_of = [](const std::string&) { return ops::AdamOptions{}; };
    Adam<EncoderWeights> adam(weights);
    if (sampled) {
      adam.step(context, gradient, weights, options_of, "items", rows);
    } else {
      adam.step(context, gradient, weights, options_of);
    }
    outcome.weights = read(weights);
    for (const auto& values : read(gradient)) {
      EXPECT_EQ(std::ranges::count(values, 0.0F), std::ssize(values));
    }
    return outcome;
  }

  // `tolerance` in lengths of each gradient.
  void expect_agreement_of(const Example& example, bool sampled, Products products,
                           double tolerance) {
    const Outcome expected = run(cpu_, example, sampled);
    const Outcome actual = run(gpu(products), example, sampled);
    const Outcome again = run(gpu(products), example, sampled);
    EXPECT_EQ(actual.loss, again.loss) << "two runs differ";
    EXPECT_EQ(actual.gradient, again.gradient) << "two runs differ";
    EXPECT_EQ(actual.weights, again.weights) << "two runs differ";
    EXPECT_NEAR(actual.loss, expected.loss, tolerance * (1 + std::abs(expected.loss)));
    const auto names = example.weights.tensors();
    for (std::size_t i = 0; i < names.size(); ++i) {
      EXPECT_LE(distance(actual.gradient[i], expected.gradient[i]), tolerance) << names[i].first;
      // The first step of Adam moves every weight by the rate, up or down as the gradient's sign
      // is: where that is noise, by two of them.
      for (std::size_t j = 0; j < expected.weights[i].size(); ++j) {
        ASSERT_NEAR(actual.weights[i][j], expected.weights[i][j], 2.01e-3) << names[i].first;
      }
    }
  }

  static EncoderShape shape(std::size_t width, std::size_t heads, std::size_t longest,
                            bool options) {
    return {.width = width,
            .heads = heads,
            .behaviours_max = longest,
            .items = 300,
            .whitened_width = 24,
            .actions = 3,
            .gates = options,
            .relative_bias = options};
  }
};

TEST_F(EncoderCuda, LossGradientsAndStepAgree) {
  struct Case {
    std::size_t width, heads, longest, tokens;
    bool options;
  };
  for (const Case& c :
       {Case{32, 1, 1, 1, false}, Case{64, 2, 50, 2000, false}, Case{64, 2, 50, 511, true},
        Case{33, 3, 511, 600, true}, Case{128, 2, 512, 700, false}, Case{384, 6, 20, 200, true}}) {
    SCOPED_TRACE("D " + std::to_string(c.width) + ", L " + std::to_string(c.longest) + ", T " +
                 std::to_string(c.tokens));
    const Example example = draw_example(shape(c.width, c.heads, c.longest, c.options), c.tokens);
    for (const bool sampled : {false, true}) {
      expect_agreement_of(example, sampled, Products::kFloat32, 4e-3);
      // Rounding of one behaviour's factors is not averaged out by others.
      expect_agreement_of(example, sampled, Products::kBfloat16, c.tokens == 1 ? 1.0 : 0.3);
    }
  }
}

TEST_F(EncoderCuda, NothingToAskIsALossOfZero) {
  Example example = draw_example(shape(32, 2, 10, true), 20);
  std::ranges::fill(example.targets, kNoTarget);
  EXPECT_EQ(run(gpu(), example, false).loss, 0);
  EXPECT_EQ(run(gpu(), example, true).loss, 0);
  example = draw_example(shape(32, 2, 10, true), 0);
  EXPECT_EQ(run(gpu(), example, false).loss, 0);
}

TEST_F(EncoderCuda, AShortTrainingAgreesAndRepeats) {
  // Users who walk along a ring of items, a step at a time or two.
  TrainData data;
  data.items = 70;  // some of them untouched
  data.whitened_width = 16;
  const auto whitened = draw(data.items * data.whitened_width, 0.25F);
  data.whitened = whitened;
  data.action_weights = {1, 1};
  std::vector<HeldOut> validation;
  for (std::uint32_t u = 0; u < 150; ++u) {
    std::vector<Behaviour> behaviours;
    auto row = static_cast<std::uint32_t>(random_.below(60));
    for (std::size_t i = random_.below(25) + 4; i > 0; --i) {
      row = (row + (random_.below(5) == 0 ? 2 : 1)) % 60;
      behaviours.push_back({row, static_cast<std::uint16_t>(random_.below(2)), 0,
                            static_cast<std::int64_t>(behaviours.size()) * 90'000});
    }
    validation.push_back({u, {behaviours.begin(), behaviours.end() - 1}, behaviours.back()});
    behaviours.pop_back();
    data.interactions.add_user(behaviours);
  }
  constexpr std::size_t kEpochs = 10;
  for (const bool sampled : {false, true}) {
    std::vector<std::vector<TrainProgress>> epochs;
    std::vector<EncoderFit> fits;
    for (Device* device : std::initializer_list<Device*>{nullptr, device_.get(), device_.get()}) {
      TrainOptions options;
      options.width = 32;
      options.behaviours_max = 20;
      options.learning_rate = 5e-3;
      options.epochs_max = kEpochs;
      options.epochs_min = kEpochs;
      options.gates = options.relative_bias = sampled;
      options.sampled_softmax_above = sampled ? 0 : 1000;
      options.negatives = 32;
      options.device = device;
      TrainWatch watch;
      watch.progress = [&, &log = epochs.emplace_back()](const TrainProgress& epoch) {
        log.push_back(epoch);
      };
      fits.push_back(train_encoder(data, data.interactions, validation, 0, nullptr, options,
                                   "encoder", watch));
    }
    ASSERT_EQ(epochs[0].size(), kEpochs);
    ASSERT_EQ(epochs[1].size(), kEpochs);
    EXPECT_EQ(read(fits[1].weights), read(fits[2].weights)) << "two trainings differ";
    EXPECT_EQ(fits[1].weights.learned, fits[0].weights.learned);
    EXPECT_LT(epochs[1].back().loss, 0.8 * epochs[1].front().loss) << "nothing was learned";
    for (std::size_t e = 0; e < kEpochs; ++e) {
      EXPECT_NEAR(epochs[1][e].loss, epochs[0][e].loss, 0.02 * epochs[0][e].loss) << "epoch " << e;
      EXPECT_NEAR(*epochs[1][e].validation_ndcg_10, *epochs[0][e].validation_ndcg_10, 0.03)
          << "epoch " << e;
    }
  }
}

TEST_F(EncoderCuda, AStateThatWasKeptGoesOnAsItWas) {
  const Example example = draw_example(shape(32, 2, 10, true), 50);
  TrainingState<EncoderWeights> state(example.weights.to(gpu()), Random(1), 5);
  state.compare(0.5, 0.5);
  const Weights kept = state.save();
  TrainingState<EncoderWeights> other(EncoderWeights(example.weights.shape).to(gpu()), Random(2),
                                      5);
  other.load(kept);
  EXPECT_EQ(read(other.weights), read(example.weights));
  EXPECT_EQ(read(other.best), read(example.weights));
  EXPECT_EQ(other.random.state(), state.random.state());
}

}  // namespace
}  // namespace fovea::ranking
