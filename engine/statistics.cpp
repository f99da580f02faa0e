#include "engine/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <string>

#include "engine/request.h"

namespace fovea::engine {
namespace {

/// Sums of doubles are off by rounding, and those of a file by the digits it kept; further off is a
/// mistake.
constexpr double kRounding = 1e-9;

/// A double counts whole units exactly up to here.
constexpr std::int64_t kUnitsMax = std::int64_t{1} << 53;

/// Mean and variance of what one unit adds to the metric, and how that goes with what it did
/// before.
struct Moments {
  double n = 0;
  double mean = 0;
  double variance = 0;
  double before_mean = 0;
  double before_variance = 0;
  double covariance = 0;
};

double finite(std::string_view field, std::string_view name, double value) {
  if (std::isfinite(value)) return value;
  const auto path = fmt::format("{}.{}", field, name);
  throw InvalidRequest(path, fmt::format("{} is {}; a finite number is expected", path, value));
}

/// Sum of products of deviations from the means. In long double: where the mean is large beside the
/// deviations, most digits cancel.
long double centred(double products, double sum, double other_sum, double n) {
  return static_cast<long double>(products) -
         static_cast<long double>(sum) * static_cast<long double>(other_sum) / n;
}

double variance_of(std::string_view field, std::string_view name, double sum, double sum_squares,
                   double n) {
  const long double deviations = centred(sum_squares, sum, sum, n);
  if (deviations < -kRounding * std::abs(static_cast<long double>(sum_squares)) ||
      sum_squares < 0) {
    const auto path = fmt::format("{}.{}", field, name);
    throw InvalidRequest(
        path, fmt::format("{} is {}, which is less than the square of the sum, {}, over n; no "
                          "numbers have such sums",
                          path, sum_squares, sum));
  }
  return static_cast<double>(std::max(deviations, 0.0L) / (n - 1));
}

double covariance_of(std::string_view field, const SecondSums& second, const Arm& arm,
                     double variance, double second_variance) {
  const auto n = static_cast<double>(arm.n);
  const long double deviations = centred(second.sum_of_products, arm.sum, second.sum, n);
  const long double most =
      std::sqrt(static_cast<long double>(variance) * static_cast<long double>(second_variance)) *
      (n - 1);
  // What was cancelled is what may be off.
  const long double off =
      kRounding *
      (std::abs(static_cast<long double>(second.sum_of_products)) +
       std::abs(static_cast<long double>(arm.sum) * static_cast<long double>(second.sum) / n));
  if (std::abs(deviations) > most + off) {
    throw InvalidRequest(
        std::string(field),
        fmt::format("{} is {}, which correlates more than wholly with the other sums; no numbers "
                    "have such sums",
                    field, second.sum_of_products));
  }
  return static_cast<double>(std::clamp(deviations, -most, most) / (n - 1));
}

void check(std::string_view field, const Arm& arm) {
  if (arm.n < 2 || arm.n > kUnitsMax) {
    const auto path = fmt::format("{}.n", field);
    throw InvalidRequest(path, fmt::format("{} is {}; a variance needs 2 units or more, at most {}",
                                           path, arm.n, kUnitsMax));
  }
  finite(field, "sum", arm.sum);
  finite(field, "sum_squares", arm.sum_squares);
  if (arm.before && arm.denominator) {
    throw InvalidRequest(std::string(field),
                         fmt::format("{} has sums from before and of a denominator; a ratio is not "
                                     "adjusted, so leave one of them out",
                                     field));
  }
}

Moments moments_of(std::string_view field, const Arm& arm) {
  check(field, arm);
  Moments moments{static_cast<double>(arm.n)};
  const double n = moments.n;
  moments.mean = arm.sum / n;
  moments.variance = variance_of(field, "sum_squares", arm.sum, arm.sum_squares, n);
  if (arm.before) {
    const SecondSums& before = *arm.before;
    moments.before_mean = finite(field, "pre_sum", before.sum) / n;
    finite(field, "pre_sum_squares", before.sum_squares);
    moments.before_variance =
        variance_of(field, "pre_sum_squares", before.sum, before.sum_squares, n);
    finite(field, "post_pre_sum_of_products", before.sum_of_products);
    moments.covariance = covariance_of(fmt::format("{}.post_pre_sum_of_products", field), before,
                                       arm, moments.variance, moments.before_variance);
  }
  if (arm.denominator) {
    const SecondSums& below = *arm.denominator;
    const double below_mean = finite(field, "denominator_sum", below.sum) / n;
    finite(field, "denominator_sum_squares", below.sum_squares);
    if (below_mean == 0) {
      const auto path = fmt::format("{}.denominator_sum", field);
      throw InvalidRequest(path, fmt::format("{} is 0; a ratio to it has no value", path));
    }
    const double below_variance =
        variance_of(field, "denominator_sum_squares", below.sum, below.sum_squares, n);
    finite(field, "numerator_denominator_sum_of_products", below.sum_of_products);
    const double covariance =
        covariance_of(fmt::format("{}.numerator_denominator_sum_of_products", field), below, arm,
                      moments.variance, below_variance);
    const double ratio = moments.mean / below_mean;
    moments.mean = ratio;
    moments.variance =
        std::max(0.0, moments.variance - 2 * ratio * covariance + ratio * ratio * below_variance) /
        (below_mean * below_mean);
  }
  return moments;
}

/// Of the units of both arms together, so that it takes nothing from the difference between them
/// but what was there before. 0 where there is nothing to take out.
double theta_of(const Arm& control, const Arm& treatment) {
  if (!control.before) return 0;
  const auto n = static_cast<double>(control.n + treatment.n);
  const double sum = control.sum + treatment.sum;
  const double before_sum = control.before->sum + treatment.before->sum;
  const long double variance = centred(control.before->sum_squares + treatment.before->sum_squares,
                                       before_sum, before_sum, n);
  const long double covariance = centred(
      control.before->sum_of_products + treatment.before->sum_of_products, sum, before_sum, n);
  // Where all units were alike before, rounding alone makes the deviations, and theta of them.
  const long double least =
      kRounding * (control.before->sum_squares + treatment.before->sum_squares);
  return variance > least ? static_cast<double>(covariance / variance) : 0;
}

double adjusted_variance(const Moments& arm, double theta) {
  return std::max(0.0,
                  arm.variance - 2 * theta * arm.covariance + theta * theta * arm.before_variance);
}

void check_pair(const Arm& control, const Arm& treatment) {
  const auto differ = [](std::string_view what) {
    return InvalidRequest("treatment",
                          fmt::format("only one of control and treatment has {}; they are compared "
                                      "when both have or neither has",
                                      what));
  };
  if (control.before.has_value() != treatment.before.has_value()) {
    throw differ("sums from before, pre_sum and its like");
  }
  if (control.denominator.has_value() != treatment.denominator.has_value()) {
    throw differ("a denominator");
  }
}

/// Of numbers near the end of what a double holds, something may have become infinite on the way.
Estimate checked(const Estimate& result) {
  for (const double value :
       {result.estimate, result.standard_error, result.ci.low, result.ci.high, result.p_value}) {
    if (!std::isfinite(value)) {
      throw InvalidRequest("control",
                           "the sums of control and treatment are too far apart, or too large, to "
                           "be compared in double precision; scale the metric");
    }
  }
  return result;
}

Estimate without_variance(double estimate) {
  return {estimate, 0, {estimate, estimate}, estimate == 0 ? 1.0 : 0.0};
}

Estimate student(double estimate, double standard_error, double degrees, double alpha) {
  if (standard_error == 0) return without_variance(estimate);
  if (!std::isfinite(estimate) || !std::isfinite(standard_error) || !(degrees > 0)) {
    return {estimate, standard_error, {}, std::nan("")};  // refused by checked()
  }
  const boost::math::students_t distribution(degrees);
  const double width =
      boost::math::quantile(boost::math::complement(distribution, alpha / 2)) * standard_error;
  const double t = std::abs(estimate / standard_error);
  const double p =
      std::isfinite(t) ? 2 * boost::math::cdf(boost::math::complement(distribution, t)) : 0;
  return {estimate, standard_error, {estimate - width, estimate + width}, std::min(p, 1.0)};
}

Estimate at_every_look(double estimate, double standard_error, double units, double alpha,
                       double tuning) {
  if (standard_error == 0) {
    // The first few users of a rare action are all alike, and a limit reached by accident would be
    // believed for ever.
    throw InvalidRequest("control.sum_squares",
                         "control and treatment have no variance yet, of which a confidence "
                         "sequence is made; look again when their units differ");
  }
  const double rho_squared =
      (-2 * std::log(alpha) + std::log(-2 * std::log(alpha) + 1)) / tuning;  // eq. 161
  const double scale = units * rho_squared + 1;
  // eq. 9, with the standard deviation of a unit as standard_error * sqrt(units).
  const double width = standard_error * std::sqrt(2 * scale / (units * rho_squared) *
                                                  (std::log(scale) / 2 - std::log(alpha)));
  const double t = estimate / standard_error;
  // Eq. 9 solved for alpha. In logarithms: the evidence outgrows a double long before the p-value
  // is of no use.
  const double evidence = t * t * units * rho_squared / (2 * scale) - std::log(scale) / 2;
  return {estimate,
          standard_error,
          {estimate - width, estimate + width},
          std::min(1.0, std::exp(-evidence))};
}

}  // namespace

void check_alpha(double alpha) {
  if (alpha >= kAlphaMin && alpha < 1) return;
  throw InvalidRequest("alpha",
                       fmt::format("alpha is {}; a number from {} to below 1, such as 0.05, is "
                                   "expected",
                                   alpha, kAlphaMin));
}

Estimate compare(const Arm& control, const Arm& treatment, const CompareOptions& options) {
  check_alpha(options.alpha);
  if (options.tuning && !(*options.tuning > 0 && std::isfinite(*options.tuning))) {
    throw InvalidRequest("sequential.tuning",
                         fmt::format("sequential.tuning is {}; the number of units at which to be "
                                     "tightest is expected, such as 5000",
                                     *options.tuning));
  }
  check_pair(control, treatment);
  const Moments c = moments_of("control", control);
  const Moments t = moments_of("treatment", treatment);
  const double theta = theta_of(control, treatment);
  const double from_control = adjusted_variance(c, theta) / c.n;
  const double from_treatment = adjusted_variance(t, theta) / t.n;

  double estimate = t.mean - c.mean - theta * (t.before_mean - c.before_mean);
  double variance = from_control + from_treatment;
  if (options.scale == Scale::kRelative) {
    if (c.mean == 0) {
      throw InvalidRequest("control.sum",
                           "the control's mean is 0, of which nothing is a share; ask for the "
                           "absolute difference");
    }
    if (t.mean == 0 && t.variance == 0 && c.variance > 0) {
      throw InvalidRequest("treatment.sum",
                           "the treatment is 0 in every unit, where the delta method sees no "
                           "variance; ask for the absolute difference");
    }
    estimate /= c.mean;
    const double share = t.mean / c.mean;
    const double of_control =
        std::max(0.0, c.variance * share * share - 2 * theta * c.covariance * share +
                          theta * theta * c.before_variance) /
        c.n;
    variance = (from_treatment + of_control) / (c.mean * c.mean);
  }
  const double standard_error = std::sqrt(variance);
  if (options.tuning) {
    return checked(
        at_every_look(estimate, standard_error, c.n + t.n, options.alpha, *options.tuning));
  }
  // As shares of their sum, whose square may be too small or too large for a double.
  const double both = from_control + from_treatment;
  double degrees =
      c.n + t.n - 2;  // where what was before explains all, and no unit's share is left
  if (both > 0) {
    const double a = from_control / both;
    const double b = from_treatment / both;
    degrees = 1 / (a * a / (c.n - 1) + b * b / (t.n - 1));
  }
  return checked(student(estimate, standard_error, degrees, options.alpha));
}

Estimate mean(const Arm& arm, std::string_view field, double alpha) {
  check_alpha(alpha);
  const Moments moments = moments_of(field, arm);
  return checked(
      student(moments.mean, std::sqrt(moments.variance / moments.n), moments.n - 1, alpha));
}

}  // namespace fovea::engine
