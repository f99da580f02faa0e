// What the ranker has learned: how it starts, and how it is kept. See ranker.h.
#include <algorithm>
#include <cmath>

#include "ranking/random.h"
#include "ranking/ranker.h"
#include "ranking/ranker_features.h"

namespace fovea::ranking {

RankerWeights::RankerWeights(const RankerShape& s) : shape(s) {
  const std::size_t d = s.width;
  query = key = Tensor({d, d});
  theta = Tensor({s.heads, kPairTerms});
  action = Tensor({s.heads, s.actions});
  null = Tensor({s.heads});
  linear = feature_mean = feature_scale = Tensor({features()});
  hidden1 = Tensor({s.hidden, features()});
  hidden2 = Tensor({s.hidden, s.hidden});
  bias1 = bias2 = out = Tensor({s.hidden});
  std::fill(feature_scale.values().begin(), feature_scale.values().end(), 1.0F);
  action_weights = Tensor({s.actions});
  std::fill(action_weights.values().begin(), action_weights.values().end(), 1.0F);
}

RankerWeights RankerWeights::initial(const RankerShape& shape, std::uint64_t seed) {
  RankerWeights weights(shape);
  Random random(seed);
  const auto fill = [&](Tensor& tensor, float deviation) {
    for (float& x : tensor.values()) x = deviation * random.normal();
  };
  fill(weights.query, 0.02F);
  fill(weights.key, 0.02F);
  for (std::size_t h = 0; h < shape.heads; ++h) {
    float* theta = weights.theta.row(h);
    if (h % 2 == 0) {  // the transition score
      theta[kPairTransition] = 1;
      theta[kPairAge] = std::log(Transitions::kAgeDecay);
      weights.null[h] = std::log(kTransitionUnit);
    } else {  // like texts, the recent ones more
      theta[kPairText] = 4;
      theta[kPairAge] = std::log(0.9F);
      weights.null[h] = 2;
    }
  }
  fill(weights.hidden1, 1 / std::sqrt(static_cast<float>(weights.features())));
  fill(weights.hidden2, 1 / std::sqrt(static_cast<float>(shape.hidden)));
  weights.linear[kRetrieval] = 1;
  return weights;
}

std::vector<std::pair<std::string, Tensor*>> RankerWeights::tensors() {
  return {{"query", &query},     {"key", &key},       {"theta", &theta},     {"action", &action},
          {"null", &null},       {"linear", &linear}, {"hidden1", &hidden1}, {"bias1", &bias1},
          {"hidden2", &hidden2}, {"bias2", &bias2},   {"out", &out}};
}

std::vector<std::pair<std::string, const Tensor*>> RankerWeights::tensors() const {
  std::vector<std::pair<std::string, const Tensor*>> all;
  for (auto& [name, tensor] : const_cast<RankerWeights*>(this)->tensors()) {
    all.emplace_back(std::move(name), tensor);
  }
  return all;
}

void RankerWeights::save(Weights& weights) const {
  const auto put = [&](const std::string& name, const Tensor& tensor) {
    weights.put("ranker." + name, tensor.shape(), {tensor.values().begin(), tensor.values().end()});
  };
  for (const auto& [name, tensor] : tensors()) put(name, *tensor);
  put("feature_mean", feature_mean);
  put("feature_scale", feature_scale);
  put("action_weights", action_weights);
  weights.put("ranker.value_scale", {1}, {value_scale});
  weights.put_ids(
      "ranker.shape",
      {static_cast<std::uint32_t>(shape.width), static_cast<std::uint32_t>(shape.heads),
       static_cast<std::uint32_t>(shape.actions), static_cast<std::uint32_t>(shape.hidden),
       static_cast<std::uint32_t>(shape.text_width), static_cast<std::uint32_t>(shape.centre_k)});
}

RankerWeights RankerWeights::load(const Weights& weights) {
  const auto sizes = weights.ids("ranker.shape");
  if (sizes.size() != 6) throw WeightsError("ranker.shape has not 6 numbers");
  const RankerShape shape{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
  if (shape.width == 0 || shape.heads == 0 || shape.width % shape.heads != 0 ||
      shape.actions == 0 || shape.hidden == 0 ||
      weights.shape("ranker.query") != Weights::Shape{shape.width, shape.width} ||
      weights.shape("ranker.action") != Weights::Shape{shape.heads, shape.actions} ||
      weights.shape("ranker.hidden2") != Weights::Shape{shape.hidden, shape.hidden}) {
    throw WeightsError("ranker.shape does not agree with the arrays");
  }
  RankerWeights result(shape);
  const auto get = [&](const std::string& name, Tensor& tensor) {
    const auto values = weights.floats("ranker." + name, tensor.shape());
    tensor = Tensor(tensor.shape(), {values.begin(), values.end()});
  };
  for (auto& [name, tensor] : result.tensors()) get(name, *tensor);
  get("feature_mean", result.feature_mean);
  get("feature_scale", result.feature_scale);
  get("action_weights", result.action_weights);
  result.value_scale = weights.floats("ranker.value_scale", {1})[0];
  return result;
}

}  // namespace fovea::ranking
