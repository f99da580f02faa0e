// A data directory's versions as JSON, as `fovea versions --json` and the console have them.
#pragma once

#include <boost/json.hpp>
#include <span>

#include "engine/models.h"

namespace fovea::api {

/// Of each its name, whether it is current, and its card or why it is damaged.
boost::json::array to_json(std::span<const engine::ListedVersion> versions);

}  // namespace fovea::api
