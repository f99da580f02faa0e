// Before an experiment: how many users it takes to see an effect, and how small an effect so many
// users can show. Two arms of equal size and variance, Student's two-sided t-test. Looks at no
// data.
#pragma once

#include <cstdint>

namespace fovea::engine {

struct PowerOptions {
  double deviation = 0;  ///< Of the metric from user to user, above 0.
  double alpha = 0.05;   ///< How often nothing may be taken for an effect.
  double power = 0.8;    ///< How often the effect must be seen; above alpha.
};

/// Beyond this an effect counts as too small to be measured.
inline constexpr std::int64_t kUsersPerArmMax = 1'000'000'000;

// `effect` is the difference of the means, in the metric's unit and of either sign: for a relative
// one, the share times the control's mean. Throw InvalidRequest naming the field: "effect",
// "deviation", "alpha", "power" or "users".

/// How often the effect is seen with `users` in each arm, 2 to kUsersPerArmMax. `options.power` is
/// not looked at.
double power_of(double effect, std::int64_t users, const PowerOptions& options);

/// The fewest in each arm that see the effect as often as asked. Refuses what would take more than
/// kUsersPerArmMax.
std::int64_t users_per_arm(double effect, const PowerOptions& options);

/// The smallest effect, positive, that `users` in each arm see as often as asked.
double detectable_effect(std::int64_t users, const PowerOptions& options);

}  // namespace fovea::engine
