// Fits target attention and ranker on behaviours that encoder and transitions have not seen. Owns
// the examples: which candidates a user's positive is compared with, and what they look like.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "ranking/encoder.h"
#include "ranking/ranker.h"
#include "ranking/trainer.h"
#include "ranking/transitions.h"

namespace fovea::ranking {

struct RankerFit {
  RankerWeights weights;
  std::size_t epochs =
      0;  ///< 0: no question had its answer among the candidates, nothing was fitted.
  double validation_ndcg_10 = 0;  ///< Over held-out examples whose answer is among the candidates.
  double popular_ndcg_10 = 0;     ///< Of the same examples' candidates by popularity alone.
  std::size_t validation_questions = 0;  ///< How many examples these are.
};

/// What the ranker is fitted over: an encoder and transitions trained without the questions'
/// targets.
struct RankerBase {
  const EncoderWeights& encoder;
  const Transitions& transitions;
  const ItemPairs& ease;
  std::span<const float> log_popularity;  ///< [V], of the same behaviours.
};

/// Listwise softmax over the positive, negatives among the retrieved candidates and a few uniform
/// ones; Adam, early stop on a tenth of the examples. Features are centred as in serving. Begins at
/// `from` where it is not null, whose scales stay: it is kept unless validation rises above it.
RankerFit train_ranker(const TrainData& data, const RankerBase& base,
                       std::span<const HeldOut> questions, const RankerWeights* from,
                       const TrainOptions& options, const TrainWatch& watch);

/// `old` with room for actions that were declared since; those weigh nothing yet.
RankerWeights with_actions(const RankerWeights& old, std::size_t actions);

/// Places, from 0, of the answers to `questions` when `retrieved` candidates of each source are
/// ranked as in serving; absent: the answer was not among them.
std::vector<std::optional<std::size_t>> ranked_places(const TrainData& data, const RankerBase& base,
                                                      const RankerWeights& ranker,
                                                      std::span<const HeldOut> questions,
                                                      std::size_t retrieved,
                                                      const TrainOptions& options);

}  // namespace fovea::ranking
