// What an estimate is called in JSON, the same in a report, an analysis and an off-policy value.
#pragma once

#include <boost/json.hpp>

#include "engine/off_policy.h"
#include "engine/statistics.h"

namespace fovea::api {

/// [low, high]
boost::json::array interval_json(const engine::Interval& interval);
/// {"estimate", "standard_error", "ci": [low, high], "p_value"}
boost::json::object estimate_json(const engine::Estimate& estimate);
/// {"estimate", "standard_error", "ci": [low, high]}
boost::json::object policy_value_json(const engine::PolicyValue& value);

}  // namespace fovea::api
