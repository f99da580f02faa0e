// What the ranker is fitted on: each user's newest behaviours as questions, and what came before
// them as the sequences that encoder, transitions and popularity under it may learn from. Owns the
// choice of questions; who answers them is ranker_trainer's.
#pragma once

#include <span>
#include <vector>

#include "ranking/trainer.h"

namespace fovea::ranking {

struct Unseen {
  Interactions sequences;
  std::vector<HeldOut> questions;  ///< Targets of positive weight, each after all that came before.
};

/// Of a user's behaviours of positive weight the newest tenth become questions, at least one and at
/// most options.ranker_examples; at least one behaviour stays before the first. Of a large log some
/// users are drawn for it and the others' behaviours all stay.
/// Nothing is asked of behaviours up to `after_ms`: a model may have learned them.
Unseen hold_out_newest(const TrainData& data, std::int64_t after_ms, const TrainOptions& options);

/// log(1 + behaviours of positive weight) of every item, [V].
std::vector<float> log_popularity(const Interactions& interactions, std::size_t items,
                                  std::span<const float> action_weights);

}  // namespace fovea::ranking
