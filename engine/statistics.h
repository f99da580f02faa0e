// Did the metric move? Two arms of an experiment, each as the sums over its units that any store
// can add up, and the difference between them with interval and p-value. Owns the arithmetic of one
// comparison; engine/count_tests asks whether the split was kept, engine/multiple_testing what many
// comparisons at once are worth. Units are what was randomised: users, or sessions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fovea::engine {

/// Sums over the units of one arm of a second quantity of each, beside its metric.
struct SecondSums {
  double sum = 0;
  double sum_squares = 0;
  double sum_of_products = 0;  ///< Of metric and second quantity, unit by unit.
};

/// Sufficient statistics of an arm. With neither option the metric is a mean per unit.
struct Arm {
  std::int64_t n = 0;  ///< Units.
  double sum = 0;      ///< Of the metric.
  double sum_squares = 0;
  /// The metric of the same units before the experiment: takes out what was different before
  /// (CUPED; Deng, Xu, Kohavi and Walker 2013).
  std::optional<SecondSums> before;
  /// What the metric is counted per, as clicks per impression: the arm's value is sum / its sum.
  std::optional<SecondSums> denominator;
};

struct Interval {
  double low = 0;
  double high = 0;
};

/// Finite in every field.
struct Estimate {
  double estimate = 0;
  double standard_error = 0;
  Interval ci;
  double p_value = 1;  ///< Two-sided, of no difference.
};

/// Below this the tails of the distributions are no longer what the data's would be.
inline constexpr double kAlphaMin = 1e-6;

/// Throws InvalidRequest with field "alpha".
void check_alpha(double alpha);

/// kRelative: share of the control's mean, .1 for ten percent more.
enum class Scale : std::uint8_t { kAbsolute, kRelative };

struct CompareOptions {
  Scale scale = Scale::kRelative;
  double alpha = 0.05;  ///< The interval covers with 1 - alpha; kAlphaMin to below 1.
  /// Absent: one look, at the end that was planned. Else the interval and the p-value hold at every
  /// look, however many and whenever; they are tightest at this many units of both arms together.
  std::optional<double> tuning;
};

/// Treatment against control.
///
/// One look: Welch's t with the degrees of freedom of Welch and Satterthwaite; a relative
/// difference and a ratio by the delta method, with the unit that was randomised as the
/// observation. Every look: the asymptotic confidence sequence of Waudby-Smith et al. (arXiv
/// 2103.06476), equation 9 with rho by equation 161, over a variance per unit such that both arms
/// together give the standard error; its p-value is the alpha at which the sequence begins to
/// exclude 0, for that rho. With `before`, theta is covariance over variance of the two arms' units
/// together, a relative difference is a share of the control's mean as it was measured, and its
/// variance is that of arms that were alike before, as randomisation makes them.
///
/// Arms without variance give the limit at one look: an interval without width, p-value 0, or 1
/// where they are equal; a sequence of looks has not begun. Throws InvalidRequest naming the field,
/// such as "control.n": fewer than two units, a number that is not finite, sums that no units have,
/// a control mean of 0 for a relative difference, no variance for a sequence of looks, `before` or
/// `denominator` in one arm only or both at once.
Estimate compare(const Arm& control, const Arm& treatment, const CompareOptions& options = {});

/// An arm's own mean, or its ratio, with Student's interval. `p_value` is that of a mean of 0;
/// `before` is not looked at. `field` leads the field's name in what is thrown, as "control".
Estimate mean(const Arm& arm, std::string_view field, double alpha = 0.05);

}  // namespace fovea::engine
