#include "engine/multiple_testing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "engine/request.h"

namespace fovea::engine {
namespace {

/// Places of the p-values, smallest first.
std::vector<std::size_t> ascending(std::span<const double> p_values) {
  for (std::size_t i = 0; i < p_values.size(); ++i) {
    if (p_values[i] >= 0 && p_values[i] <= 1) continue;
    const auto field = fmt::format("p_values[{}]", i);
    throw InvalidRequest(
        field, fmt::format("{} is {}; a number from 0 to 1 is expected", field, p_values[i]));
  }
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  return order;
}

}  // namespace

std::vector<double> holm(std::span<const double> p_values) {
  const auto order = ascending(p_values);
  std::vector<double> adjusted(p_values.size());
  double most = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto still_open = static_cast<double>(order.size() - k);
    most = std::max(most, std::min(1.0, still_open * p_values[order[k]]));
    adjusted[order[k]] = most;
  }
  return adjusted;
}

std::vector<double> benjamini_hochberg(std::span<const double> p_values) {
  const auto order = ascending(p_values);
  std::vector<double> adjusted(p_values.size());
  double least = 1;
  for (std::size_t k = order.size(); k-- > 0;) {
    const double per_found = static_cast<double>(order.size()) / static_cast<double>(k + 1);
    least = std::min(least, per_found * p_values[order[k]]);
    adjusted[order[k]] = least;
  }
  return adjusted;
}

}  // namespace fovea::engine
