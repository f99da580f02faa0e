// A linear item-to-item model over whole histories, solved in closed form (EASE: arXiv 1905.03375).
// Where transitions count what follows soon after what, this weighs everything a user did, and what
// two items share with a third is counted once. Owns the solution; sums are the ranker's.
#pragma once

#include <cstddef>
#include <span>

#include "ranking/interactions.h"
#include "ranking/item_pairs.h"

namespace fovea::ranking {

struct EaseOptions {
  /// Above this many touched items nothing is solved: memory grows with the square (4 bytes a pair,
  /// 1 GB at 16,000), time with the cube.
  std::size_t items_max = 16'000;
  double ridge = 200;                 ///< Added to the diagonal: behaviours that doubt is worth.
  std::size_t row_entries_max = 200;  ///< The strongest kept per item, of either sign.
};

/// B = I - P / diag(P), P = (X'X + ridge I)^-1, X the users' items of positive weight; entries of
/// one source say what having it adds to each target's score. Empty where there are too many items.
ItemPairs solve_ease(const Interactions& interactions, std::size_t items,
                     std::span<const float> action_weights, const EaseOptions& options,
                     int threads);

}  // namespace fovea::ranking
