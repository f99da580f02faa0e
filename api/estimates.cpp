#include "api/estimates.h"

namespace fovea::api {

boost::json::array interval_json(const engine::Interval& interval) {
  return {interval.low, interval.high};
}

boost::json::object estimate_json(const engine::Estimate& estimate) {
  return {{"estimate", estimate.estimate},
          {"standard_error", estimate.standard_error},
          {"ci", interval_json(estimate.ci)},
          {"p_value", estimate.p_value}};
}

boost::json::object policy_value_json(const engine::PolicyValue& value) {
  return {{"estimate", value.estimate},
          {"standard_error", value.standard_error},
          {"ci", interval_json(value.ci)}};
}

}  // namespace fovea::api
