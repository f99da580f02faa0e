// Takes a ranker from the encoder it was fitted over to the one that serves. The two were trained
// from different behaviours, so that the same item lies elsewhere; cosines hardly notice, but the
// products of target attention are learned in the channels of the first.
#pragma once

#include <span>

#include "ranking/ranker.h"

namespace fovea::ranking {

/// Rewrites query and key of `ranker` by the linear map that takes the vectors `to` nearest to
/// `from`, least squares over the items with `log_popularity` above 0. Both are [V, D], by row.
/// Where the two have little in common the map, and with it the products, are near zero.
void carry_over(std::span<const float> from, std::span<const float> to,
                std::span<const float> log_popularity, RankerWeights& ranker);

}  // namespace fovea::ranking
