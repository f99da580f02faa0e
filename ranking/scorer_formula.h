// What one candidate gathers from its pairs with the behaviours, and what becomes of it: the
// formula of ranker.h in pieces that lanes can hold and merge. The same functions on the host and
// on the device. Legend: L behaviours, H heads, F features.
#pragma once

#include <cmath>
#include <cstdint>

#include "ranking/scorer_layout.h"

namespace fovea::ranking::scorer {

/// One behaviour, as every candidate sees it.
struct BehaviourTerms {
  std::uint32_t row = 0;         // in the bank
  float rating = 0;              // how much more it was valued than the user's mean
  float decay = 0;               // in the fixed transition score; 0 beyond its window
  float logits[kHeadsMax] = {};  // theta . (age, gap, value) + action + bias
  std::uint32_t padding = 0;
};

/// What was counted of a pair; 0 each where nothing was.
struct PairValues {
  float transition = 0;
  float ease = 0;
};

/// The learned numbers that are not products; padded heads and features have zeros.
struct RankerConstants {
  float transition[kHeadsMax] = {}, text[kHeadsMax] = {};  // theta
  float vectors[kHeadsMax] = {}, ease[kHeadsMax] = {};
  float null[kHeadsMax] = {};
  float linear[kFeaturesMax] = {}, mean[kFeaturesMax] = {}, scale[kFeaturesMax] = {};
  float floor = 0;  // of a transition, under the logarithm
  float log_floor = 0;
  float transition_unit = 0, ease_unit = 0;
  std::uint32_t recent = 0;  // behaviours that the text features look back on
};

/// Where each feature stands; the order of ranker.h (held to it by a static_assert there where both
/// are seen).
enum Place : unsigned {
  kPlaceRetrieval,
  kPlacePopularity,
  kPlaceFresh,
  kPlaceTextLast,
  kPlaceTextHighest,
  kPlaceTextMean,
  kPlaceTransition,
  kPlaceEase,
  kPlaceVectors5,
  kPlaceVectors20,
  kPlaceVectors,
  kPlaceVectorsLiked,
  kPlaceHeads
};

inline constexpr float kNothing = -1e30F;  // below every logit; exp() of it is 0 and never NaN

/// Sums over some of the behaviours; any two sets without a common behaviour merge.
template <unsigned H>
struct Sums {
  float highest[H], sum[H];  // of exp(logit - highest)
  float text_last, text_highest, text_sum;
  float transition, ease;
  float vectors5, vectors20, vectors, liked;

  FOVEA_BOTH void clear() {
    FOVEA_UNROLL
    for (unsigned h = 0; h < H; ++h) {
      highest[h] = kNothing;
      sum[h] = 0;
    }
    text_last = text_sum = transition = ease = vectors5 = vectors20 = vectors = liked = 0;
    text_highest = kNothing;
  }

  FOVEA_BOTH void merge(const Sums& other) {
    FOVEA_UNROLL
    for (unsigned h = 0; h < H; ++h) {
      const float top = fmaxf(highest[h], other.highest[h]);
      sum[h] = sum[h] * expf(highest[h] - top) + other.sum[h] * expf(other.highest[h] - top);
      highest[h] = top;
    }
    text_last += other.text_last;
    text_highest = fmaxf(text_highest, other.text_highest);
    text_sum += other.text_sum;
    transition += other.transition;
    ease += other.ease;
    vectors5 += other.vectors5;
    vectors20 += other.vectors20;
    vectors += other.vectors;
    liked += other.liked;
  }

  /// Becomes `other` where `chosen`; number by number, so that all stay in registers.
  FOVEA_BOTH void choose(bool chosen, const Sums& other) {
    FOVEA_UNROLL
    for (unsigned h = 0; h < H; ++h) {
      highest[h] = chosen ? other.highest[h] : highest[h];
      sum[h] = chosen ? other.sum[h] : sum[h];
    }
    text_last = chosen ? other.text_last : text_last;
    text_highest = chosen ? other.text_highest : text_highest;
    text_sum = chosen ? other.text_sum : text_sum;
    transition = chosen ? other.transition : transition;
    ease = chosen ? other.ease : ease;
    vectors5 = chosen ? other.vectors5 : vectors5;
    vectors20 = chosen ? other.vectors20 : vectors20;
    vectors = chosen ? other.vectors : vectors;
    liked = chosen ? other.liked : liked;
  }
};

/// Adds C behaviours' logits of one head at once: one rescaling for all.
template <unsigned H, unsigned C>
FOVEA_BOTH void add_logits(Sums<H>& sums, unsigned h, const float (&logits)[C]) {
  float top = sums.highest[h];
  FOVEA_UNROLL
  for (unsigned c = 0; c < C; ++c) top = fmaxf(top, logits[c]);
  float sum = sums.sum[h] * expf(sums.highest[h] - top);
  FOVEA_UNROLL
  for (unsigned c = 0; c < C; ++c) sum += expf(logits[c] - top);
  sums.sum[h] = sum;
  sums.highest[h] = top;
}

/// Adds one pair but for its logits: `text` and `vectors` are cosines, `age` counts from the
/// newest.
template <unsigned H>
FOVEA_BOTH void add_features(Sums<H>& sums, const RankerConstants& constants, unsigned age,
                             float text, float vectors, const PairValues& pair,
                             const BehaviourTerms& behaviour) {
  if (age == 0) sums.text_last += text;
  if (age < constants.recent) {
    sums.text_highest = fmaxf(sums.text_highest, text);
    sums.text_sum += text;
  }
  if (age < 5) sums.vectors5 += vectors;
  if (age < 20) sums.vectors20 += vectors;
  sums.vectors += vectors;
  sums.liked += behaviour.rating * vectors;
  sums.transition += behaviour.decay * pair.transition;
  sums.ease += pair.ease;
}

/// What every candidate's logit of a pair has beside the product. `log_transition` with the floor.
FOVEA_BOTH inline float pair_logit(const RankerConstants& constants, unsigned h, float text,
                                   float vectors, float log_transition, const PairValues& pair,
                                   const BehaviourTerms& behaviour) {
  return constants.transition[h] * log_transition + constants.text[h] * text +
         constants.vectors[h] * vectors + constants.ease[h] * (pair.ease * constants.ease_unit) +
         behaviour.logits[h];
}

/// What a candidate has apart from pairs.
struct CandidateTerms {
  float retrieval = 0;  // centred
  float log_popularity = 0;
  float earlier_ease = 0;  // of behaviours before the L
};

/// Standardised features of one candidate, [F] and zeros up to kFeaturesMax. Without behaviours
/// what they would add is 0.
template <unsigned H>
FOVEA_BOTH void features_of(const RankerConstants& constants, const Sums<H>& sums,
                            const CandidateTerms& terms, unsigned behaviours,
                            float (&features)[kFeaturesMax]) {
  const auto among = [&](unsigned window) {
    const unsigned n = behaviours < window ? behaviours : window;
    return n == 0 ? 1.0F : static_cast<float>(n);
  };
  features[kPlaceRetrieval] = terms.retrieval;
  features[kPlacePopularity] = terms.log_popularity;
  features[kPlaceFresh] = terms.log_popularity > 0 ? 0.0F : 1.0F;
  features[kPlaceTextLast] = sums.text_last;
  features[kPlaceTextHighest] = behaviours == 0 ? 0.0F : sums.text_highest;
  features[kPlaceTextMean] = sums.text_sum / among(constants.recent);
  features[kPlaceTransition] = log1pf(sums.transition / constants.transition_unit);
  features[kPlaceEase] = sums.ease + terms.earlier_ease;
  features[kPlaceVectors5] = sums.vectors5 / among(5);
  features[kPlaceVectors20] = sums.vectors20 / among(20);
  features[kPlaceVectors] = sums.vectors / among(behaviours);
  features[kPlaceVectorsLiked] = sums.liked / among(behaviours);
  FOVEA_UNROLL
  for (unsigned h = 0; h < H; ++h) {
    const float top = fmaxf(sums.highest[h], constants.null[h]);
    const float sum = sums.sum[h] * expf(sums.highest[h] - top) + expf(constants.null[h] - top);
    features[kPlaceHeads + h] = logf(sum) + top - constants.null[h];
  }
  for (unsigned i = 0; i < kFeaturesMax; ++i) {
    features[i] = i < kPlaceHeads + H ? (features[i] - constants.mean[i]) * constants.scale[i] : 0;
  }
}

FOVEA_BOTH inline float linear_part(const RankerConstants& constants,
                                    const float (&features)[kFeaturesMax]) {
  float sum = 0;
  for (unsigned i = 0; i < kFeaturesMax; ++i) sum += constants.linear[i] * features[i];
  return sum;
}

/// The MLP's weights. Numbers are float or bfloat16; the second layer's columns are in the order of
/// hidden_unit() where they are bfloat16. hidden1 is a multiple of 32, hidden2 of kOutputs.
template <typename Number>
struct Mlp {
  unsigned hidden1 = 0, hidden2 = 0;
  const Number* weights1 = nullptr;  // [hidden1, kFeaturesMax]
  const float* bias1 = nullptr;
  const Number* weights2 = nullptr;  // [hidden2, hidden1]
  const float* bias2 = nullptr;
  const float* out = nullptr;  // [hidden2]
};

/// The MLP of one candidate in float, kOutputs and 32 hidden units at a time, as registers hold
/// them.
FOVEA_BOTH inline float mlp_score(const Mlp<float>& mlp, const float* features) {
  float score = 0;
  for (unsigned output = 0; output < mlp.hidden2; output += kOutputs) {
    float sums[kOutputs];
    for (unsigned o = 0; o < kOutputs; ++o) sums[o] = mlp.bias2[output + o];
    for (unsigned first = 0; first < mlp.hidden1; first += kChannels) {
      for (unsigned i = first; i < first + kChannels; ++i) {
        float unit = mlp.bias1[i];
        for (unsigned f = 0; f < kFeaturesMax; ++f) {
          unit += mlp.weights1[i * kFeaturesMax + f] * features[f];
        }
        unit = fmaxf(unit, 0.0F);
        for (unsigned o = 0; o < kOutputs; ++o) {
          sums[o] += unit * mlp.weights2[std::size_t{output + o} * mlp.hidden1 + i];
        }
      }
    }
    for (unsigned o = 0; o < kOutputs; ++o) score += fmaxf(sums[o], 0.0F) * mlp.out[output + o];
  }
  return score;
}

}  // namespace fovea::ranking::scorer
