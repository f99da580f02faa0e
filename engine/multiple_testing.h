// What p-values are worth when there are several of them: adjusted so that each may be compared
// with the level that one alone would be. Knows no metric.
#pragma once

#include <span>
#include <vector>

namespace fovea::engine {

// Both give, for each p-value in the order given, its adjusted one, at most 1; none for none. Throw
// InvalidRequest for one that is not a number from 0 to 1, with field "p_values[i]".

/// The chance that any of those at most alpha is a mistake stays below alpha (Holm 1979), whatever
/// they have to do with each other: for guardrails.
std::vector<double> holm(std::span<const double> p_values);

/// Of those at most alpha, a share of at most alpha is expected to be mistakes (Benjamini and
/// Hochberg 1995), if they are independent or go together: for many metrics.
std::vector<double> benjamini_hochberg(std::span<const double> p_values);

}  // namespace fovea::engine
