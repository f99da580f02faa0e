// Tests on counts: whether arms got the units they were to get, and whether one of two rankers that
// were interleaved won more often than chance lets it. Owns no sums of metrics; those are
// engine/statistics'.
#pragma once

#include <cstdint>
#include <span>

#include "engine/statistics.h"

namespace fovea::engine {

/// A split less likely than this was not made by the assignment that was declared, and no
/// difference between its arms is to be believed.
inline constexpr double kSampleRatioMismatch = 0.001;

/// The probability of a split at least as far from `weights` as `units`, by Pearson's chi-square.
/// Two or more arms; weights are positive and need not add up to 1. 1 where there are no units.
/// Throws InvalidRequest with field "weights" or "units".
double sample_ratio_p_value(std::span<const std::int64_t> units, std::span<const double> weights);

/// Two-sided binomial sign test of a fair coin: units (users or queries) whose credit went to the
/// treatment more than to the control, `wins`, and the other way, `losses`; draws say nothing and
/// are left out. `estimate` is the share of wins, its interval Clopper and Pearson's, its standard
/// error the binomial's. Without any, a share of 0.5 of which nothing is known: 0 to 1. Throws
/// InvalidRequest on a negative count, or with field "alpha".
Estimate sign_test(std::int64_t wins, std::int64_t losses, double alpha = 0.05);

}  // namespace fovea::engine
