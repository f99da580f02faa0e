// What is learned from and what is held out to measure on. Owns the rule, so that train and
// evaluate cannot differ.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ranking/interactions.h"

namespace fovea::engine {

enum class Split {
  kNone,         ///< Everything is learned from; nothing is measured.
  kLeaveOneOut,  ///< A user's last behaviour tests, the one before validates; users with fewer than
                 ///< 3 only train.
  kTime,  ///< Two points in time, after 80 % and 90 % of all behaviours; a user's first behaviour
          ///< after a point is that part's target, everything before the point its history.
};

Split parse_split(
    std::string_view name);  ///< "none", "leave-one-out", "time"; throws InvalidRequest("split").
std::string_view name(Split split);

struct SplitData {
  /// Every user of what was split, in the same order and possibly with nothing: HeldOut::user
  /// points in here.
  ranking::Interactions train;
  std::vector<ranking::HeldOut> validation;
  std::vector<ranking::HeldOut> test;  ///< History includes what trained and what validated.
};

/// `all` is oldest first per user, and is taken over: ten million behaviours are not copied to be
/// split. A behaviour of an action with weight (by action index) not above 0 is never a target, but
/// stays in histories. Actions beyond `action_weights` count as weight 1.
SplitData split(ranking::Interactions all, Split how, std::span<const float> action_weights);

}  // namespace fovea::engine
