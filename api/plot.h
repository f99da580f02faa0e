// A training as one HTML page to look at: loss, validation and time of every epoch.
#pragma once

#include <string>

#include "engine/learning.h"

namespace fovea::api {

/// Self-contained: its drawings are SVG in the page, it runs no script and loads nothing. Light and
/// dark as the reader's system is.
std::string training_page(const engine::LearnResult& result, const engine::LearnOptions& options);

}  // namespace fovea::api
