// See ranker.h. Forward and backward stand side by side, step for step.
#include "ranking/ranker.h"

#include <algorithm>
#include <cmath>

#include "ranking/encoder.h"
#include "ranking/ops.h"
#include "ranking/random.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

// A pair without a kept transition counts as if it had this one: little, but with a logarithm.
constexpr float kTransitionFloor = 1e-4F;
// The transition score at which evidence reaches log 2.
constexpr float kTransitionUnit = 0.05F;
// Behaviours that the text features and the fixed transition score look back on.
constexpr std::size_t kRecent = 20;
constexpr float kGapUnit = 1.0F / 16;  // keeps the gap term near 1: 16 buckets are 18 hours

void shape_as(Tensor& tensor, const std::vector<std::size_t>& shape) {
  if (tensor.shape() != shape) tensor = Tensor(shape);
}

// Fills log_transition [N, L] and the fixed transition score [N].
void look_up_transitions(const Transitions& transitions, const BehaviourInput& behaviours,
                         std::span<const std::uint32_t> rows, Tensor& log_transition,
                         std::vector<float>& fixed) {
  const std::size_t n = rows.size();
  const std::size_t l = behaviours.behaviours.size();
  const float floor = std::log(kTransitionFloor);
  std::fill(log_transition.values().begin(), log_transition.values().end(), floor);
  fixed.assign(n, 0);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> sorted(n);
  for (std::size_t c = 0; c < n; ++c) sorted[c] = {rows[c], static_cast<std::uint32_t>(c)};
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t j = 0; j < l; ++j) {
    const std::size_t age = l - 1 - j;
    const float decay = std::pow(Transitions::kAgeDecay, static_cast<float>(age));
    auto candidate = sorted.begin();
    for (const Transitions::Entry& entry : transitions.from(behaviours.behaviours[j].row)) {
      while (candidate != sorted.end() && candidate->first < entry.row) ++candidate;
      for (auto same = candidate; same != sorted.end() && same->first == entry.row; ++same) {
        log_transition[same->second * l + j] = std::log(entry.weight + kTransitionFloor);
        if (age < kRecent) fixed[same->second] += decay * entry.weight;
      }
    }
  }
}

void describe_behaviours(const RankerWeights& weights, std::span<const Behaviour> behaviours,
                         RankerTape& tape) {
  const std::size_t l = behaviours.size();
  tape.age.resize(l);
  tape.gap.resize(l);
  tape.rating.resize(l);
  float mean = 0;
  for (const Behaviour& b : behaviours) mean += b.value / static_cast<float>(l);
  for (std::size_t j = 0; j < l; ++j) {
    tape.age[j] = static_cast<float>(l - 1 - j);
    tape.gap[j] = kGapUnit * gap_bucket(behaviours[j].time_ms, behaviours.back().time_ms);
    tape.rating[j] = std::clamp((behaviours[j].value - mean) * weights.value_scale, -3.0F, 3.0F);
  }
}

// The part of a logit that depends on the behaviour alone. [L]
std::vector<float> behaviour_logits(const RankerWeights& weights, const RankerTape& tape,
                                    std::span<const Behaviour> behaviours, std::size_t head) {
  const float* theta = weights.theta.row(head);
  std::vector<float> logits(behaviours.size());
  for (std::size_t j = 0; j < logits.size(); ++j) {
    logits[j] = theta[kPairAge] * tape.age[j] + theta[kPairGap] * tape.gap[j] +
                theta[kPairValue] * tape.rating[j] + weights.action.row(head)[behaviours[j].action];
  }
  return logits;
}

void text_features(const RankerTape& tape, std::size_t features, float* out, std::size_t n) {
  const std::size_t l = tape.behaviours;
  const std::size_t recent = std::min(l, kRecent);
  for (std::size_t c = 0; c < n; ++c) {
    const float* cosine = tape.cosine.row(c) + (l - recent);
    float highest = cosine[0];
    float sum = 0;
    for (std::size_t j = 0; j < recent; ++j) {
      highest = std::max(highest, cosine[j]);
      sum += cosine[j];
    }
    out[c * features + kTextLast] = cosine[recent - 1];
    out[c * features + kTextHighest] = highest;
    out[c * features + kTextMean] = sum / static_cast<float>(recent);
  }
}

// Softmax over the behaviours and the null, and what the score sees of it: evidence and attended
// value.
void attend(const Context& context, const RankerWeights& weights, std::size_t head,
            std::span<const float> per_behaviour, RankerTape& tape) {
  const std::size_t n = tape.candidates;
  const std::size_t l = tape.behaviours;
  const float* theta = weights.theta.row(head);
  const float null = weights.null[head];
  float* attention = tape.attention.row(head);
  std::vector<float> highest(n);
  for (std::size_t c = 0; c < n; ++c) {
    float* row = attention + c * l;
    const float* transition = tape.log_transition.row(c);
    const float* cosine = tape.cosine.row(c);
    highest[c] = null;
    for (std::size_t j = 0; j < l; ++j) {
      row[j] +=
          theta[kPairTransition] * transition[j] + theta[kPairText] * cosine[j] + per_behaviour[j];
      highest[c] = std::max(highest[c], row[j]);
    }
    for (std::size_t j = 0; j < l; ++j) row[j] -= highest[c];
  }
  ops::exponential(context, n * l, attention);
  for (std::size_t c = 0; c < n; ++c) {
    float* row = attention + c * l;
    const float nothing = std::exp(null - highest[c]);
    float sum = nothing;
    for (std::size_t j = 0; j < l; ++j) sum += row[j];
    for (std::size_t j = 0; j < l; ++j) row[j] /= sum;
    tape.null_share[head * n + c] = nothing / sum;
    float* features = tape.features.row(c);
    features[kScalarFeatures + head] = std::log(sum) + highest[c] - null;
    features[kScalarFeatures + weights.shape.heads + head] =
        ops::dot(l, row, tape.values.row(head) + c * l);
  }
}

}  // namespace

RankerWeights::RankerWeights(const RankerShape& s) : shape(s) {
  const std::size_t d = s.width;
  query = key = value = target = Tensor({d, d});
  theta = Tensor({s.heads, kPairTerms});
  action = Tensor({s.heads, s.actions});
  null = Tensor({s.heads});
  linear = feature_mean = feature_scale = Tensor({features()});
  hidden1 = Tensor({s.hidden, features()});
  hidden2 = Tensor({s.hidden, s.hidden});
  bias1 = bias2 = out = Tensor({s.hidden});
  std::fill(feature_scale.values().begin(), feature_scale.values().end(), 1.0F);
}

RankerWeights RankerWeights::initial(const RankerShape& shape, std::uint64_t seed) {
  RankerWeights weights(shape);
  Random random(seed);
  const auto fill = [&](Tensor& tensor, float deviation) {
    for (float& x : tensor.values()) x = deviation * random.normal();
  };
  fill(weights.query, 0.02F);
  fill(weights.key, 0.02F);
  // value . target starts as the inner product of the two items' vectors.
  for (std::size_t d = 0; d < shape.width; ++d)
    weights.value.row(d)[d] = weights.target.row(d)[d] = 1;
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
  return {{"query", &query},     {"key", &key},       {"value", &value},     {"target", &target},
          {"theta", &theta},     {"action", &action}, {"null", &null},       {"linear", &linear},
          {"hidden1", &hidden1}, {"bias1", &bias1},   {"hidden2", &hidden2}, {"bias2", &bias2},
          {"out", &out}};
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
  result.value_scale = weights.floats("ranker.value_scale", {1})[0];
  return result;
}

void rank_candidates(const Context& context, const RankerWeights& weights,
                     const Transitions& transitions, const BehaviourInput& behaviours,
                     const CandidateInput& candidates, std::span<const float> retrieval,
                     float dropout, std::uint64_t seed, RankerTape& tape) {
  const std::size_t text_width = weights.shape.text_width;
  const std::size_t n = tape.candidates = candidates.rows.size();
  const std::size_t l = tape.behaviours = behaviours.behaviours.size();
  const std::size_t d = weights.shape.width;
  const std::size_t heads = weights.shape.heads;
  const std::size_t head_width = d / heads;
  const std::size_t f = weights.features();
  tape.dropout = dropout;
  tape.seed = seed;

  // Keys and values of the behaviours, folded into the candidates' space: one product per head
  // scores all pairs.
  for (Tensor* x : {&tape.key, &tape.value}) shape_as(*x, {l, d});
  for (Tensor* x : {&tape.key_seen, &tape.value_seen}) shape_as(*x, {heads, l, d});
  for (Tensor* x : {&tape.log_transition, &tape.cosine}) shape_as(*x, {n, l});
  for (Tensor* x : {&tape.attention, &tape.values}) shape_as(*x, {heads, n, l});
  shape_as(tape.null_share, {heads, n});
  shape_as(tape.features, {n, f});
  ops::gemm(context, Transpose::kNo, Transpose::kYes, l, d, d, 1, behaviours.vectors.data(), d,
            weights.key.data(), d, 0, tape.key.data(), d);
  ops::gemm(context, Transpose::kNo, Transpose::kYes, l, d, d, 1, behaviours.vectors.data(), d,
            weights.value.data(), d, 0, tape.value.data(), d);
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t part = h * head_width;
    ops::gemm(context, Transpose::kNo, Transpose::kNo, l, d, head_width, scale,
              tape.key.data() + part, d, weights.query.row(part), d, 0, tape.key_seen.row(h), d);
    ops::gemm(context, Transpose::kNo, Transpose::kNo, l, d, head_width, 1,
              tape.value.data() + part, d, weights.target.row(part), d, 0, tape.value_seen.row(h),
              d);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, l, d, 1, candidates.vectors.data(), d,
              tape.key_seen.row(h), d, 0, tape.attention.row(h), l);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, l, d, 1, candidates.vectors.data(), d,
              tape.value_seen.row(h), d, 0, tape.values.row(h), l);
  }

  // The named terms of each pair, and the scalar features made from them.
  ops::gemm(context, Transpose::kNo, Transpose::kYes, n, l, text_width, 1, candidates.texts.data(),
            text_width, behaviours.texts.data(), text_width, 0, tape.cosine.data(), l);
  std::vector<float> fixed;
  look_up_transitions(transitions, behaviours, candidates.rows, tape.log_transition, fixed);
  describe_behaviours(weights, behaviours.behaviours, tape);
  for (std::size_t c = 0; c < n; ++c) {
    float* features = tape.features.row(c);
    features[kRetrieval] = retrieval[c];
    features[kPopularity] = candidates.log_popularity[c];
    features[kTransition] = std::log1p(fixed[c] / kTransitionUnit);
  }
  text_features(tape, f, tape.features.data(), n);

  for (std::size_t h = 0; h < heads; ++h) {
    attend(context, weights, h, behaviour_logits(weights, tape, behaviours.behaviours, h), tape);
  }

  for (std::size_t c = 0; c < n; ++c) {
    float* features = tape.features.row(c);
    for (std::size_t i = 0; i < f; ++i) {
      features[i] = (features[i] - weights.feature_mean[i]) * weights.feature_scale[i];
    }
  }
  const std::size_t hidden = weights.shape.hidden;
  for (Tensor* x : {&tape.hidden1, &tape.hidden2}) shape_as(*x, {n, hidden});
  shape_as(tape.interaction, {n});
  shape_as(tape.scores, {n});
  ops::gemm(context, Transpose::kNo, Transpose::kYes, n, hidden, f, 1, tape.features.data(), f,
            weights.hidden1.data(), f, 0, tape.hidden1.data(), hidden);
  ops::bias_relu(context, n, hidden, weights.bias1.data(), tape.hidden1.data());
  ops::dropout(context, n * hidden, dropout, seed * 2, tape.hidden1.data());
  ops::gemm(context, Transpose::kNo, Transpose::kYes, n, hidden, hidden, 1, tape.hidden1.data(),
            hidden, weights.hidden2.data(), hidden, 0, tape.hidden2.data(), hidden);
  ops::bias_relu(context, n, hidden, weights.bias2.data(), tape.hidden2.data());
  ops::dropout(context, n * hidden, dropout, seed * 2 + 1, tape.hidden2.data());
  for (std::size_t c = 0; c < n; ++c) {
    tape.interaction[c] = ops::dot(hidden, tape.hidden2.row(c), weights.out.data());
    tape.scores[c] = ops::dot(f, tape.features.row(c), weights.linear.data()) + tape.interaction[c];
  }
}

void rank_candidates_backward(const Context& context, const RankerWeights& weights,
                              const BehaviourInput& behaviours, const CandidateInput& candidates,
                              const RankerTape& tape, std::span<const float> dscores,
                              RankerWeights& gradient) {
  const std::size_t n = tape.candidates;
  const std::size_t l = tape.behaviours;
  const std::size_t d = weights.shape.width;
  const std::size_t heads = weights.shape.heads;
  const std::size_t head_width = d / heads;
  const std::size_t f = weights.features();
  const std::size_t hidden = weights.shape.hidden;

  Tensor dhidden2({n, hidden});
  Tensor dfeatures({n, f});
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t i = 0; i < hidden; ++i) {
      gradient.out[i] += dscores[c] * tape.hidden2.row(c)[i];
      dhidden2.row(c)[i] = dscores[c] * weights.out[i];
    }
    for (std::size_t i = 0; i < f; ++i) {
      gradient.linear[i] += dscores[c] * tape.features.row(c)[i];
      dfeatures.row(c)[i] = dscores[c] * weights.linear[i];
    }
  }
  Tensor dhidden1({n, hidden});
  ops::dropout(context, n * hidden, tape.dropout, tape.seed * 2 + 1, dhidden2.data());
  ops::relu_backward(context, n * hidden, tape.hidden2.data(), dhidden2.data());
  ops::add_bias_backward(context, n, hidden, dhidden2.data(), gradient.bias2.data());
  ops::gemm(context, Transpose::kYes, Transpose::kNo, hidden, hidden, n, 1, dhidden2.data(), hidden,
            tape.hidden1.data(), hidden, 1, gradient.hidden2.data(), hidden);
  ops::gemm(context, Transpose::kNo, Transpose::kNo, n, hidden, hidden, 1, dhidden2.data(), hidden,
            weights.hidden2.data(), hidden, 0, dhidden1.data(), hidden);
  ops::dropout(context, n * hidden, tape.dropout, tape.seed * 2, dhidden1.data());
  ops::relu_backward(context, n * hidden, tape.hidden1.data(), dhidden1.data());
  ops::add_bias_backward(context, n, hidden, dhidden1.data(), gradient.bias1.data());
  ops::gemm(context, Transpose::kYes, Transpose::kNo, hidden, f, n, 1, dhidden1.data(), hidden,
            tape.features.data(), f, 1, gradient.hidden1.data(), f);
  ops::gemm(context, Transpose::kNo, Transpose::kNo, n, f, hidden, 1, dhidden1.data(), hidden,
            weights.hidden1.data(), f, 1, dfeatures.data(), f);

  Tensor dlogits({n, l});
  Tensor dvalues({n, l});
  Tensor dseen({l, d});
  Tensor dkey({l, d});
  Tensor dvalue({l, d});
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t evidence = kScalarFeatures + h;
    const std::size_t attended = kScalarFeatures + heads + h;
    float* dtheta = gradient.theta.row(h);
    for (std::size_t c = 0; c < n; ++c) {
      const float devidence = dfeatures.row(c)[evidence] * weights.feature_scale[evidence];
      const float dattended = dfeatures.row(c)[attended] * weights.feature_scale[attended];
      const float* p = tape.attention.row(h) + c * l;
      const float* value = tape.values.row(h) + c * l;
      const float mean = ops::dot(l, p, value);
      float seen = 0;  // share of the attention that is not the null's
      for (std::size_t j = 0; j < l; ++j) {
        const float dlogit = p[j] * (devidence + dattended * (value[j] - mean));
        dlogits.row(c)[j] = dlogit;
        dvalues.row(c)[j] = dattended * p[j];
        seen += p[j];
        dtheta[kPairTransition] += dlogit * tape.log_transition.row(c)[j];
        dtheta[kPairText] += dlogit * tape.cosine.row(c)[j];
        dtheta[kPairAge] += dlogit * tape.age[j];
        dtheta[kPairGap] += dlogit * tape.gap[j];
        dtheta[kPairValue] += dlogit * tape.rating[j];
        gradient.action.row(h)[behaviours.behaviours[j].action] += dlogit;
      }
      gradient.null[h] -= devidence * seen + dattended * tape.null_share[h * n + c] * mean;
    }
    const std::size_t part = h * head_width;
    // logits = candidates . key_seen, key_seen = scale key query
    ops::gemm(context, Transpose::kYes, Transpose::kNo, l, d, n, 1, dlogits.data(), l,
              candidates.vectors.data(), d, 0, dseen.data(), d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, head_width, d, l, scale,
              tape.key.data() + part, d, dseen.data(), d, 1, gradient.query.row(part), d);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, l, head_width, d, scale, dseen.data(), d,
              weights.query.row(part), d, 0, dkey.data() + part, d);
    // values = candidates . value_seen, value_seen = value target
    ops::gemm(context, Transpose::kYes, Transpose::kNo, l, d, n, 1, dvalues.data(), l,
              candidates.vectors.data(), d, 0, dseen.data(), d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, head_width, d, l, 1,
              tape.value.data() + part, d, dseen.data(), d, 1, gradient.target.row(part), d);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, l, head_width, d, 1, dseen.data(), d,
              weights.target.row(part), d, 0, dvalue.data() + part, d);
  }
  ops::gemm(context, Transpose::kYes, Transpose::kNo, d, d, l, 1, dkey.data(), d,
            behaviours.vectors.data(), d, 1, gradient.key.data(), d);
  ops::gemm(context, Transpose::kYes, Transpose::kNo, d, d, l, 1, dvalue.data(), d,
            behaviours.vectors.data(), d, 1, gradient.value.data(), d);
}

std::array<float, kScoreParts.size()> score_parts(const RankerWeights& weights,
                                                  const RankerTape& tape, std::size_t n) {
  const float* features = tape.features.row(n);
  const auto term = [&](std::size_t i) { return weights.linear[i] * features[i]; };
  float attention = 0;
  for (std::size_t i = kScalarFeatures; i < weights.features(); ++i) attention += term(i);
  return {term(kRetrieval),  attention,
          term(kTransition), term(kTextLast) + term(kTextHighest) + term(kTextMean),
          term(kPopularity), tape.interaction[n]};
}

}  // namespace fovea::ranking
