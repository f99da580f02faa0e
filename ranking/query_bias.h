// The query as one more thing that target attention attends with: how much more a behaviour counts
// because it has to do with what is searched for. Owns that formula; what attention makes of it is
// ranker's.
#pragma once

#include <span>
#include <vector>

namespace fovea::ranking {

/// What each behaviour's logit gets besides, whatever the candidate and the head [L]:
///   weight * cosine(query, text_j) - log mean_i exp(weight * cosine(query, text_i))
/// exp() of it is how many behaviours it then counts as; these numbers add up to L, so that the
/// query moves evidence between the behaviours. A query that is as near to all of them changes
/// nothing, and where they speak alike for a candidate its evidence against the null stays.
/// `query` [K] and `texts` [L, K] are unit vectors or zeros. Empty where that is no change: without
/// a query, behaviours or weight.
std::vector<float> query_bias(std::span<const float> query, std::span<const float> texts,
                              float weight);

}  // namespace fovea::ranking
