#include "engine/count_tests.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <cmath>
#include <string_view>

#include "engine/request.h"

namespace fovea::engine {
namespace {

/// Above this the incomplete beta function loses digits, and nobody has so many.
constexpr std::int64_t kCountMax = 1'000'000'000;

void check_count(std::string_view field, std::int64_t count) {
  if (count >= 0 && count <= kCountMax) return;
  throw InvalidRequest(std::string(field), fmt::format("{} is {}; a count from 0 to {} is expected",
                                                       field, count, kCountMax));
}

}  // namespace

double sample_ratio_p_value(std::span<const std::int64_t> units, std::span<const double> weights) {
  if (units.size() < 2) {
    throw InvalidRequest(
        "units", fmt::format("units has {} entries; a split has 2 arms or more", units.size()));
  }
  if (weights.size() != units.size()) {
    throw InvalidRequest("weights",
                         fmt::format("weights has {} entries and units {}; one for each arm is "
                                     "expected",
                                     weights.size(), units.size()));
  }
  double all = 0;
  double of_weights = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    check_count(fmt::format("units[{}]", i), units[i]);
    if (!(weights[i] > 0 && weights[i] <= 1e9)) {
      const auto field = fmt::format("weights[{}]", i);
      throw InvalidRequest(
          field, fmt::format("{} is {}; a positive number is expected", field, weights[i]));
    }
    all += static_cast<double>(units[i]);
    of_weights += weights[i];
  }
  if (all == 0) return 1;
  double statistic = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const double expected = all * (weights[i] / of_weights);
    const double difference = static_cast<double>(units[i]) - expected;
    if (difference != 0) statistic += difference / expected * difference;
  }
  if (!std::isfinite(statistic)) return 0;
  const boost::math::chi_squared distribution(static_cast<double>(units.size() - 1));
  return boost::math::cdf(boost::math::complement(distribution, statistic));
}

Estimate sign_test(std::int64_t wins, std::int64_t losses, double alpha) {
  check_count("wins", wins);
  check_count("losses", losses);
  check_alpha(alpha);
  const auto n = static_cast<double>(wins + losses);
  if (n == 0) return {0.5, 0.5, {0, 1}, 1};
  const auto won = static_cast<double>(wins);
  const double share = won / n;
  using Binomial = boost::math::binomial_distribution<>;
  const auto rarer = static_cast<double>(std::min(wins, losses));
  const double p = std::min(1.0, 2 * boost::math::cdf(Binomial(n, 0.5), rarer));
  const double low = wins == 0 ? 0 : Binomial::find_lower_bound_on_p(n, won, alpha / 2);
  const double high = losses == 0 ? 1 : Binomial::find_upper_bound_on_p(n, won, alpha / 2);
  return {share, std::sqrt(share * (1 - share) / n), {low, high}, p};
}

}  // namespace fovea::engine
