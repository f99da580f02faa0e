// What the ranker sees of candidates and behaviours before anything is learned: the terms of each
// pair, and scalar features of each candidate. Owns the fixed ways of weighing behaviours.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "ranking/interactions.h"
#include "ranking/ranker.h"

namespace fovea::ranking {

/// The transition score at which evidence, and the logarithm of the fixed score, reach log 2.
inline constexpr float kTransitionUnit = 0.05F;
/// A pair without a kept transition counts as if it had this one: little, but with a logarithm.
inline constexpr float kTransitionFloor = 1e-4F;
/// Behaviours that the text features and the fixed transition score look back on.
inline constexpr std::size_t kRecent = 20;
inline constexpr float kEaseUnit = 10;  ///< The strongest entries are a few tenths.

/// What a behaviour is described by, whatever the candidate. [L] each
struct BehaviourDescription {
  std::vector<float> age, gap, rating;
};
BehaviourDescription describe_behaviours(const RankerWeights& weights,
                                         std::span<const Behaviour> behaviours);
/// Of an action that counts for the fixed scores. One that was declared after training is none.
inline bool positive(const RankerWeights& weights, const Behaviour& behaviour) {
  const std::size_t action = behaviour.action < weights.shape.actions ? behaviour.action : 0;
  return weights.action_weights[action] > 0;
}

/// Fills the pair terms of `tape` and the first kScalarFeatures of its features. `retrieval` [N].
void describe(const Context& context, const RankerWeights& weights, const ItemRelations& relations,
              const BehaviourInput& behaviours, const CandidateInput& candidates,
              std::span<const float> retrieval, RankerTape& tape);

}  // namespace fovea::ranking
