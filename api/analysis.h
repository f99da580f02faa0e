// The arithmetic of an experiment over JSON: sums and counts in, estimates out. Owns the fields;
// what they mean is engine/statistics' and its neighbours'.
#pragma once

#include <boost/json.hpp>

namespace fovea::api {

/// Objects inside lists inside a summary.
inline constexpr std::size_t kSummaryDepthMax = 4;

/// What a summary may hold, and what each adds to the result:
///
///   control, treatment       an arm each: n, sum, sum_squares; for CUPED also pre_sum,
///                            pre_sum_squares, post_pre_sum_of_products; for a ratio also
///                            denominator_sum, denominator_sum_squares,
///                            numerator_denominator_sum_of_products
///   difference               "relative", which is the default, or "absolute"
///   sequential               {"tuning": 5000}: looked at more than once
///   alpha                    0.05 by default
///     -> estimate, standard_error, ci: [low, high], p_value
///   sample_ratio             {"units": [...], "weights": [...]}; equal weights by default
///     -> sample_ratio: {"p_value", "mismatch"}
///   p_values                 [...]
///     -> holm: [...], benjamini_hochberg: [...]
///   sign_test                {"wins", "losses"}
///     -> sign_test: {"estimate", "standard_error", "ci", "p_value"}
///   off_policy               [{"reward", "propensity", "target_probability"}, ...], of each also
///                            expected_of_choice and expected_of_target for doubly robust
///     -> off_policy: {"effective_sample", "ips", "snips", "doubly_robust"}, each of the three
///        {"estimate", "standard_error", "ci"}
///
/// Throws engine::InvalidRequest: an unknown or missing field, a value that cannot be, or none of
/// these.
boost::json::object analyze(const boost::json::object& summary);

}  // namespace fovea::api
