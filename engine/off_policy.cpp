#include "engine/off_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <string>

#include "engine/request.h"

namespace fovea::engine {
namespace {

void check(bool right, std::string_view field, std::size_t i, std::string_view name, double value,
           std::string_view expected) {
  if (right) return;
  const auto path = fmt::format("{}[{}].{}", field, i, name);
  throw InvalidRequest(path, fmt::format("{} is {}; {} is expected", path, value, expected));
}

void check(std::span<const LoggedChoice> log, std::string_view field) {
  constexpr std::string_view kFinite = "a finite number";
  bool chance = false;
  for (std::size_t i = 0; i < log.size(); ++i) {
    const LoggedChoice& choice = log[i];
    check(std::isfinite(choice.reward), field, i, "reward", choice.reward, kFinite);
    check(choice.propensity > 0 && choice.propensity <= 1, field, i, "propensity",
          choice.propensity, "a probability above 0");
    check(choice.target_probability >= 0 && choice.target_probability <= 1, field, i,
          "target_probability", choice.target_probability, "a probability");
    chance = chance || choice.propensity < 1;
    if (choice.expected.has_value() != log.front().expected.has_value()) {
      throw InvalidRequest(
          fmt::format("{}[{}].expected", field, i),
          fmt::format("only some entries of {} have expected rewards; all or none are expected",
                      field));
    }
    if (!choice.expected) continue;
    check(std::isfinite(choice.expected->of_choice), field, i, "expected_of_choice",
          choice.expected->of_choice, kFinite);
    check(std::isfinite(choice.expected->of_target), field, i, "expected_of_target",
          choice.expected->of_target, kFinite);
  }
  if (chance || log.empty()) return;
  throw InvalidRequest(std::string(field),
                       fmt::format("every propensity of {} is 1: the policy that was logged left "
                                   "nothing to chance, and what it never chose cannot be judged; "
                                   "log a randomised slice",
                                   field));
}

double weight(const LoggedChoice& choice) { return choice.target_probability / choice.propensity; }

/// Mean and its standard error over the log, of what `value` makes of a choice. In two passes, so
/// that large values do not cancel.
template <typename Value>
PolicyValue mean_of(std::span<const LoggedChoice> log, const Value& value) {
  const auto n = static_cast<double>(log.size());
  double sum = 0;
  for (const LoggedChoice& choice : log) sum += value(choice);
  const double mean = sum / n;
  double squares = 0;
  for (const LoggedChoice& choice : log) squares += std::pow(value(choice) - mean, 2);
  return {mean, std::sqrt(squares / (n - 1) / n), {}};
}

}  // namespace

OffPolicy evaluate_policy(std::span<const LoggedChoice> log, std::string_view field, double alpha) {
  check_alpha(alpha);
  check(log, field);
  // Relative to the largest weight, whose square may be more than a double holds.
  double largest = 0;
  for (const LoggedChoice& choice : log) largest = std::max(largest, weight(choice));
  double sum = 0;
  double squares = 0;
  for (const LoggedChoice& choice : log) {
    const double share = largest > 0 ? weight(choice) / largest : 0;
    sum += share;
    squares += share * share;
  }
  const double effective = squares > 0 ? sum * sum / squares : 0;
  if (!(effective >= kEffectiveSampleMin)) {
    throw InvalidRequest(
        std::string(field),
        fmt::format("{} has {} choices, worth {:.1f} for the policy in question; at least {} are "
                    "needed: log more, or judge a policy that chooses more like the logged one",
                    field, log.size(), effective, kEffectiveSampleMin));
  }

  OffPolicy result;
  result.effective_sample = effective;
  result.ips = mean_of(log, [](const LoggedChoice& c) { return weight(c) * c.reward; });
  double rewards = 0;
  for (const LoggedChoice& choice : log) rewards += weight(choice) / largest * choice.reward;
  const double value = rewards / sum;
  double deviations = 0;
  for (const LoggedChoice& choice : log) {
    deviations += std::pow(weight(choice) / largest * (choice.reward - value), 2);
  }
  result.snips = {value, std::sqrt(deviations) / sum, {}};
  if (log.front().expected) {
    result.doubly_robust = mean_of(log, [](const LoggedChoice& c) {
      return c.expected->of_target + weight(c) * (c.reward - c.expected->of_choice);
    });
  }

  const double z = boost::math::quantile(boost::math::complement(boost::math::normal(), alpha / 2));
  const auto finish = [&](PolicyValue& estimate) {
    estimate.ci = {estimate.estimate - z * estimate.standard_error,
                   estimate.estimate + z * estimate.standard_error};
    if (std::isfinite(estimate.ci.low) && std::isfinite(estimate.ci.high)) return;
    throw InvalidRequest(
        std::string(field),
        fmt::format("rewards and weights of {} are too large for double precision; scale the "
                    "rewards",
                    field));
  };
  finish(result.ips);
  finish(result.snips);
  if (result.doubly_robust) finish(*result.doubly_robust);
  return result;
}

}  // namespace fovea::engine
