// What the ranker sees of candidates and behaviours before anything is learned: the terms of each
// pair, and scalar features of each candidate. Owns the fixed ways of weighing behaviours.
#pragma once

#include <span>

#include "ranking/ranker.h"

namespace fovea::ranking {

/// The transition score at which evidence, and the logarithm of the fixed score, reach log 2.
inline constexpr float kTransitionUnit = 0.05F;

/// Fills the pair terms of `tape` and the first kScalarFeatures of its features. `retrieval` [N].
void describe(const Context& context, const RankerWeights& weights, const ItemRelations& relations,
              const BehaviourInput& behaviours, const CandidateInput& candidates,
              std::span<const float> retrieval, RankerTape& tape);

}  // namespace fovea::ranking
