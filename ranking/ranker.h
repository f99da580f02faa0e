// Target attention and the ranker over it, forward and backward for one user and their candidates.
// Every candidate attends to the user's behaviours (DIN: arXiv 1706.06978). The weight of behaviour
// j for candidate c is
//   logit[c,j] = query_c . key_j / sqrt(D/H) + theta . (log transition, cosine of texts, cosine of
//   learned vectors, EASE, age, gap, value)[c,j] + action_j + bias_j
// where bias_j is what a query adds (query_bias.h), not learned, and 0 without one; so that
// attention contains the fixed ways of weighing behaviours and starts as them: head 0 as the
// transition score, head 1 by text. A head gives the score its evidence, log(1 + sum_j exp(logit -
// null)), and explains itself by the softmax over the behaviours and the null. With scalar features
// it enters a linear term and an MLP whose last layer starts at zero. Legend: L behaviours, N
// candidates, D channels, H heads, K text channels, A actions, F features.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ranking/context.h"
#include "ranking/model.h"
#include "ranking/tensor.h"
#include "ranking/transitions.h"
#include "ranking/weights.h"

namespace fovea::ranking {

struct RankerShape {
  std::size_t width = 64;      // D
  std::size_t heads = 2;       // H
  std::size_t actions = 1;     // A, with 0, "none"
  std::size_t hidden = 64;     // of both layers of the MLP
  std::size_t text_width = 0;  // K
  std::size_t centre_k = 200;  // the retrieval score is centred on the mean of this many nearest
};

/// Scalar features before those of the heads; their order in the arrays [F].
enum Feature : std::size_t {
  kRetrieval,
  kPopularity,
  kFresh,           // 1 for an item without a training behaviour
  kTextLast,        // cosine of texts: the newest behaviour,
  kTextHighest,     // the highest and
  kTextMean,        // the mean of the last 20
  kTransition,      // fixed transition score
  kEase,            // over the whole history
  kVectors5,        // mean cosine of learned vectors over the last 5,
  kVectors20,       // 20 and
  kVectors,         // all behaviours
  kVectorsLiked,    // the last weighed by how much more a behaviour was valued than the user's mean
  kScalarFeatures,  // then evidence of each head
};

/// What a pair of candidate and behaviour is described by, in theta.
enum PairTerm : std::size_t {
  kPairTransition,
  kPairText,
  kPairVectors,
  kPairEase,
  kPairAge,
  kPairGap,
  kPairValue,
  kPairTerms
};

/// Also the shape of its gradient and of Adam's moments.
struct RankerWeights {
  RankerWeights() = default;
  explicit RankerWeights(const RankerShape& shape);  ///< All zero; scales 1.
  /// The start of training: attention as the fixed scores, MLP's last layer zero, linear zero but
  /// for retrieval.
  static RankerWeights initial(const RankerShape& shape, std::uint64_t seed);

  std::size_t features() const { return kScalarFeatures + shape.heads; }  // F

  RankerShape shape;
  Tensor query, key;      // [D, D], heads side by side in rows
  Tensor theta;           // [H, kPairTerms]
  Tensor action;          // [H, A]
  Tensor null;            // [H], logit of attending to nothing
  Tensor linear;          // [F]
  Tensor hidden1, bias1;  // [hidden, F], [hidden]
  Tensor hidden2, bias2;  // [hidden, hidden], [hidden]
  Tensor out;             // [hidden]

  // Not learned: feature f enters as (f - mean) * scale; a behaviour's value as (value - the user's
  // mean) * value_scale.
  Tensor feature_mean, feature_scale;  // [F]
  float value_scale = 0;
  Tensor action_weights;  // [A], as configured; behaviours not above 0 leave the fixed scores alone

  std::vector<std::pair<std::string, Tensor*>> tensors();  ///< The learned ones.
  std::vector<std::pair<std::string, const Tensor*>> tensors() const;

  void save(Weights& weights) const;  ///< Arrays "ranker.*".
  static RankerWeights load(const Weights& weights);
};

/// How items speak for each other, as it was counted; target attention reads it pair by pair.
struct ItemRelations {
  const Transitions& transitions;
  const ItemPairs& ease;
  const Transitions* since = nullptr;  ///< What later behaviours add to `transitions`; or null.
};

/// Intermediate results of one forward pass; reused from call to call, by one thread at a time.
/// Pairs stand by behaviour, so that every loop over them runs along the candidates, which are
/// many.
struct RankerTape {
  std::size_t behaviours = 0, candidates = 0;
  Tensor key;                                   // [L, D] per behaviour
  Tensor key_seen;                              // [H, L, D] folded into the candidate's space
  Tensor log_transition, cosine;                // [L, N], of texts
  Tensor similarity, ease;                      // [L, N], of learned vectors; EASE entries
  std::vector<float> age, gap, rating;          // [L]
  Tensor attention;                             // [H, L, N]
  Tensor features;                              // [N, F], as they enter linear and MLP
  Tensor hidden1, hidden2;                      // [N, hidden]
  Tensor interaction;                           // [N], the MLP's output
  Tensor scores;                                // [N], the result
  std::vector<std::uint32_t> candidate_of_row;  // scratch
  float dropout = 0;
  std::uint64_t seed = 0;
};

/// `retrieval` [N]: inner product of user state and candidate, minus its centre. L >= 1. Throws
/// Stopped where the context says so; the tape can be used again.
void rank_candidates(const Context& context, const RankerWeights& weights,
                     const ItemRelations& relations, const BehaviourInput& behaviours,
                     const CandidateInput& candidates, std::span<const float> retrieval,
                     float dropout, std::uint64_t seed, RankerTape& tape);

/// Adds to `gradient` what `dscores` [N] implies.
void rank_candidates_backward(const Context& context, const RankerWeights& weights,
                              const BehaviourInput& behaviours, const CandidateInput& candidates,
                              const RankerTape& tape, std::span<const float> dscores,
                              RankerWeights& gradient);

/// The named terms of candidate n's score (kScoreParts).
std::array<float, kScoreParts.size()> score_parts(const RankerWeights& weights,
                                                  const RankerTape& tape, std::size_t n);

}  // namespace fovea::ranking
