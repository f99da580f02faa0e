// See ranker.h. Forward and backward stand side by side, step for step.
#include "ranking/ranker.h"

#include <algorithm>
#include <cmath>

#include "ranking/clones.h"
#include "ranking/ops.h"
#include "ranking/ranker_features.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

// The part of a logit that depends on the behaviour alone. [L]
std::vector<float> behaviour_logits(const RankerWeights& weights, const RankerTape& tape,
                                    const BehaviourInput& behaviours, std::size_t head) {
  const float* theta = weights.theta.row(head);
  std::vector<float> logits(behaviours.behaviours.size());
  for (std::size_t j = 0; j < logits.size(); ++j) {
    logits[j] = theta[kPairAge] * tape.age[j] + theta[kPairGap] * tape.gap[j] +
                theta[kPairValue] * tape.rating[j] +
                weights.action.row(head)[behaviours.behaviours[j].action];
    if (!behaviours.bias.empty()) logits[j] += behaviours.bias[j];
  }
  return logits;
}

// What all candidates' pairs with one behaviour have. [N] each
struct PairRows {
  const float *transition, *cosine, *similarity, *ease;
};
// Adds to logits what the terms of the pairs say; keeps the highest of each candidate.
FOVEA_CLONES void add_terms(std::size_t n, const float* theta, const PairRows& terms,
                            float of_behaviour, float* logits, float* highest) {
  const auto [transition, cosine, similarity, ease] = terms;
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) {
    logits[c] += theta[kPairTransition] * transition[c] + theta[kPairText] * cosine[c] +
                 theta[kPairVectors] * similarity[c] + theta[kPairEase] * ease[c] + of_behaviour;
    highest[c] = std::max(highest[c], logits[c]);
  }
}
FOVEA_CLONES void subtract(std::size_t n, const float* values, float* row) {
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) row[c] -= values[c];
}
FOVEA_CLONES void add(std::size_t n, const float* values, float* row) {
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) row[c] += values[c];
}
FOVEA_CLONES void multiply(std::size_t n, const float* values, float* row) {
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) row[c] *= values[c];
}

// Softmax over the behaviours and the null, and what the score sees of it: the evidence.
void attend(const Context& context, const RankerWeights& weights, std::size_t head,
            std::span<const float> per_behaviour, RankerTape& tape) {
  const std::size_t n = tape.candidates;
  const std::size_t l = tape.behaviours;
  const float null = weights.null[head];
  float* attention = tape.attention.row(head);
  std::vector<float> highest(n, null);
  for (std::size_t j = 0; j < l; ++j) {
    add_terms(
        n, weights.theta.row(head),
        {tape.log_transition.row(j), tape.cosine.row(j), tape.similarity.row(j), tape.ease.row(j)},
        per_behaviour[j], attention + j * n, highest.data());
  }
  for (std::size_t j = 0; j < l; ++j) subtract(n, highest.data(), attention + j * n);
  ops::exponential(context, l * n, attention);
  std::vector<float> sum(n);
  for (std::size_t c = 0; c < n; ++c) sum[c] = null - highest[c];
  ops::exponential(context, n, sum.data());
  for (std::size_t j = 0; j < l; ++j) add(n, attention + j * n, sum.data());
  for (std::size_t c = 0; c < n; ++c) {
    tape.features.row(c)[kScalarFeatures + head] = std::log(sum[c]) + highest[c] - null;
    sum[c] = 1 / sum[c];
  }
  for (std::size_t j = 0; j < l; ++j) multiply(n, sum.data(), attention + j * n);
}

}  // namespace

void rank_candidates(const Context& context, const RankerWeights& weights,
                     const ItemRelations& relations, const BehaviourInput& behaviours,
                     const CandidateInput& candidates, std::span<const float> retrieval,
                     float dropout, std::uint64_t seed, RankerTape& tape) {
  const std::size_t n = tape.candidates = candidates.rows.size();
  const std::size_t l = tape.behaviours = behaviours.behaviours.size();
  const std::size_t d = weights.shape.width;
  const std::size_t heads = weights.shape.heads;
  const std::size_t head_width = d / heads;
  const std::size_t f = weights.features();
  tape.dropout = dropout;
  tape.seed = seed;

  // Keys of the behaviours, folded into the candidates' space: one product scores all
  // pairs of all heads.
  tape.key.reshape(context, {l, d});
  tape.key_seen.reshape(context, {heads, l, d});
  for (Tensor* x : {&tape.log_transition, &tape.cosine, &tape.similarity, &tape.ease}) {
    x->reshape(context, {l, n});
  }
  tape.attention.reshape(context, {heads, l, n});
  tape.features.reshape(context, {n, f});
  ops::gemm(context, Transpose::kNo, Transpose::kYes, l, d, d, 1, behaviours.vectors.data(), d,
            weights.key.data(), d, 0, tape.key.data(), d);
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t part = h * head_width;
    ops::gemm(context, Transpose::kNo, Transpose::kNo, l, d, head_width, scale,
              tape.key.data() + part, d, weights.query.row(part), d, 0, tape.key_seen.row(h), d);
  }
  ops::gemm(context, Transpose::kNo, Transpose::kYes, heads * l, n, d, 1, tape.key_seen.data(), d,
            candidates.vectors.data(), d, 0, tape.attention.data(), n);

  context.check_stop();
  describe(context, weights, relations, behaviours, candidates, retrieval, tape);
  for (std::size_t h = 0; h < heads; ++h) {
    context.check_stop();
    attend(context, weights, h, behaviour_logits(weights, tape, behaviours, h), tape);
  }

  context.check_stop();
  for (std::size_t c = 0; c < n; ++c) {
    float* features = tape.features.row(c);
    for (std::size_t i = 0; i < f; ++i) {
      features[i] = (features[i] - weights.feature_mean[i]) * weights.feature_scale[i];
    }
  }
  const std::size_t hidden = weights.shape.hidden;
  for (Tensor* x : {&tape.hidden1, &tape.hidden2}) x->reshape(context, {n, hidden});
  tape.interaction.reshape(context, {n});
  tape.scores.reshape(context, {n});
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

  Tensor dlogits({l, n});
  std::vector<float> devidence(n);
  Tensor dseen({l, d});
  Tensor dkey({l, d});
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t evidence = kScalarFeatures + h;
    for (std::size_t c = 0; c < n; ++c) {
      devidence[c] = dfeatures.row(c)[evidence] * weights.feature_scale[evidence];
    }
    float* dtheta = gradient.theta.row(h);
    for (std::size_t j = 0; j < l; ++j) {
      float* dlogit = dlogits.row(j);
      std::copy_n(tape.attention.row(h) + j * n, n, dlogit);
      multiply(n, devidence.data(), dlogit);
      const auto dot = [&](const Tensor& terms) { return ops::dot(n, dlogit, terms.row(j)); };
      dtheta[kPairTransition] += dot(tape.log_transition);
      dtheta[kPairText] += dot(tape.cosine);
      dtheta[kPairVectors] += dot(tape.similarity);
      dtheta[kPairEase] += dot(tape.ease);
      const float sum = ops::dot(n, tape.attention.row(h) + j * n, devidence.data());
      dtheta[kPairAge] += sum * tape.age[j];
      dtheta[kPairGap] += sum * tape.gap[j];
      dtheta[kPairValue] += sum * tape.rating[j];
      gradient.action.row(h)[behaviours.behaviours[j].action] += sum;
      gradient.null[h] -= sum;
    }
    // logits = key_seen . candidates, key_seen = scale key query
    const std::size_t part = h * head_width;
    ops::gemm(context, Transpose::kNo, Transpose::kNo, l, d, n, 1, dlogits.data(), n,
              candidates.vectors.data(), d, 0, dseen.data(), d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, head_width, d, l, scale,
              tape.key.data() + part, d, dseen.data(), d, 1, gradient.query.row(part), d);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, l, head_width, d, scale, dseen.data(), d,
              weights.query.row(part), d, 0, dkey.data() + part, d);
  }
  ops::gemm(context, Transpose::kYes, Transpose::kNo, d, d, l, 1, dkey.data(), d,
            behaviours.vectors.data(), d, 1, gradient.key.data(), d);
}

std::array<float, kScoreParts.size()> score_parts(const RankerWeights& weights,
                                                  const RankerTape& tape, std::size_t n) {
  const float* features = tape.features.row(n);
  const auto term = [&](std::size_t i) { return weights.linear[i] * features[i]; };
  float attention = 0;
  for (std::size_t i = kScalarFeatures; i < weights.features(); ++i) attention += term(i);
  return {term(kRetrieval),
          attention,
          term(kTransition) + term(kEase),
          term(kTextLast) + term(kTextHighest) + term(kTextMean),
          term(kVectors5) + term(kVectors20) + term(kVectors) + term(kVectorsLiked),
          term(kPopularity) + term(kFresh),
          tape.interaction[n]};
}

}  // namespace fovea::ranking
