// An experiment's report as one page to look at and to send: verdict, table, and what happened day
// by day.
#pragma once

#include <string>

#include "engine/report.h"

namespace fovea::api {

/// Self-contained, as api/chart's pages are; it reads without a script.
std::string experiment_page(const engine::Report& report);

}  // namespace fovea::api
