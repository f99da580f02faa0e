#include "engine/power.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/non_central_t.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <string>

#include "engine/request.h"
#include "engine/statistics.h"

namespace fovea::engine {
namespace {

/// Of standard errors: where the power is 1 at any alpha there may be, and the series of the
/// non-central distribution grow long.
constexpr double kShiftMax = 1e4;

void check(bool right, const char* field, double value, const char* expected) {
  if (right) return;
  throw InvalidRequest(field, fmt::format("{} is {}; {}", field, value, expected));
}

void check(const PowerOptions& options) {
  check(options.deviation > 0 && std::isfinite(options.deviation), "deviation", options.deviation,
        "a positive number is expected, the standard deviation from user to user");
  check_alpha(options.alpha);
}

void check_power(const PowerOptions& options) {
  check(options.power > options.alpha && options.power < 1, "power", options.power,
        "a number above alpha and below 1, such as 0.8, is expected");
}

void check_users(std::int64_t users) {
  if (users >= 2 && users <= kUsersPerArmMax) return;
  throw InvalidRequest("users", fmt::format("users is {}; 2 to {} in each arm are expected", users,
                                            kUsersPerArmMax));
}

/// Power at `shift` standard errors from no effect.
double power_at(double shift, std::int64_t users, double alpha) {
  if (!(shift < kShiftMax)) return 1;
  const double degrees = 2 * static_cast<double>(users) - 2;
  const boost::math::students_t central(degrees);
  const double critical = boost::math::quantile(boost::math::complement(central, alpha / 2));
  const boost::math::non_central_t effect(degrees, shift);
  const double power = boost::math::cdf(boost::math::complement(effect, critical)) +
                       boost::math::cdf(effect, -critical);
  return std::clamp(power, 0.0, 1.0);
}

double shift_of(double effect, std::int64_t users, double deviation) {
  return std::abs(effect) / deviation * std::sqrt(static_cast<double>(users) / 2);
}

}  // namespace

double power_of(double effect, std::int64_t users, const PowerOptions& options) {
  check(options);
  check(std::isfinite(effect), "effect", effect, "a finite number is expected");
  check_users(users);
  return power_at(shift_of(effect, users, options.deviation), users, options.alpha);
}

std::int64_t users_per_arm(double effect, const PowerOptions& options) {
  check(options);
  check_power(options);
  check(std::isfinite(effect) && effect != 0, "effect", effect,
        "a finite number other than 0 is expected");
  const auto seen = [&](std::int64_t users) {
    return power_of(effect, users, options) >= options.power;
  };
  std::int64_t enough = 2;
  while (!seen(enough)) {
    if (enough == kUsersPerArmMax) {
      throw InvalidRequest("effect",
                           fmt::format("effect is {}, which takes more than {} users in each arm "
                                       "to see; name a larger one",
                                       effect, kUsersPerArmMax));
    }
    enough = std::min(2 * enough, kUsersPerArmMax);
  }
  std::int64_t few = 1;
  while (enough - few > 1) {
    const std::int64_t middle = few + (enough - few) / 2;
    (seen(middle) ? enough : few) = middle;
  }
  return enough;
}

double detectable_effect(std::int64_t users, const PowerOptions& options) {
  check(options);
  check_power(options);
  check_users(users);
  double low = 0;
  double high = options.deviation;
  const auto seen = [&](double effect) {
    return power_of(effect, users, options) >= options.power;
  };
  while (!seen(high)) high *= 2;
  // Down to neighbouring doubles, or near enough to print.
  for (int step = 0; step < 100; ++step) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (seen(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace fovea::engine
