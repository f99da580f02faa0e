#include "ranking/query_bias.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "ranking/ops.h"

namespace fovea::ranking {

std::vector<float> query_bias(std::span<const float> query, std::span<const float> texts,
                              float weight) {
  if (query.empty() || texts.empty() || weight == 0) return {};
  std::vector<float> bias(texts.size() / query.size());
  for (std::size_t j = 0; j < bias.size(); ++j) {
    bias[j] = weight * ops::dot(query.size(), query.data(), texts.data() + j * query.size());
  }
  const float highest = *std::ranges::max_element(bias);
  double sum = 0;
  for (const float of_behaviour : bias) sum += std::exp(of_behaviour - highest);
  const float centre =
      highest + static_cast<float>(std::log(sum / static_cast<double>(bias.size())));
  for (float& of_behaviour : bias) of_behaviour -= centre;
  return bias;
}

}  // namespace fovea::ranking
