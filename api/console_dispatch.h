// The paths of the console: its page's files and the JSON behind it. What it tells is
// console_service's, the files' bytes are console_assets'.
#pragma once

#include <span>

#include "api/http_path.h"

namespace fovea::api {

/// For a service whose console is not off.
std::span<const Path> console_paths();

}  // namespace fovea::api
