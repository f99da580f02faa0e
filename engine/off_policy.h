// What a policy would have earned that never served, from the log of one that did and wrote down
// how probable each of its choices was. Owns the estimators; who logs, and what a choice is, is the
// caller's.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "engine/statistics.h"

namespace fovea::engine {

/// One logged choice: an item at a place, say.
struct LoggedChoice {
  double reward = 0;
  double propensity = 0;          ///< With which the logging policy chose so; above 0, at most 1.
  double target_probability = 0;  ///< With which the policy in question would; 0 to 1.
  /// What a model of the reward expects; doubly robust wants it of every choice.
  struct Expected {
    double of_choice = 0;  ///< Of what was chosen.
    double of_target = 0;  ///< Of what the target would choose, on average over its choices.
  };
  std::optional<Expected> expected;
};

/// Fewer than this many choices' worth of evidence carry no normal interval, and are refused.
inline constexpr double kEffectiveSampleMin = 30;

struct PolicyValue {
  double estimate = 0;  ///< Mean reward of a choice.
  double standard_error = 0;
  Interval ci;
};

struct OffPolicy {
  PolicyValue ips;    ///< Inverse propensity scoring: unbiased, wide.
  PolicyValue snips;  ///< Self-normalised: narrower, its bias falls as 1 / n.
  /// Doubly robust (Dudik, Langford and Li 2011): unbiased when propensities or model are right.
  /// Absent when the log has no expected rewards.
  std::optional<PolicyValue> doubly_robust;
  double effective_sample = 0;  ///< (sum of weights)^2 / sum of their squares; weight: target over
                                ///< logging probability.
};

/// Standard errors: of a mean over choices, taken as independent; of SNIPS by the delta method.
/// Throws InvalidRequest naming the field, led by `field` as "log[3].propensity": a probability or
/// number that cannot be, expected rewards of some choices only; with `field` itself: a log in
/// which every propensity is 1, which shows nothing of other choices, and an effective sample below
/// kEffectiveSampleMin.
OffPolicy evaluate_policy(std::span<const LoggedChoice> log, std::string_view field,
                          double alpha = 0.05);

}  // namespace fovea::engine
