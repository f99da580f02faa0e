// An experiment's report as a table for people and as JSON for programs; api/experiment_page draws
// it. Owns the names that its numbers go by and the sentences beside them.
#pragma once

#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/report.h"

namespace fovea::api {

/// Every number of the table and of the page's drawings. The sums of an arm go by the names that
/// `fovea experiment analyze` reads.
boost::json::object report_json(const engine::Report& report);

/// Lines of at most 150 columns where names are short.
std::string report_text(const engine::Report& report);

// Shared with the page.

std::string metric_title(const engine::Report& report, const engine::Metric& metric);
/// Milliseconds of what a point of a drawing may be.
inline constexpr std::array<std::pair<std::string_view, std::int64_t>, 3> kReportPeriods = {
    {{"day", engine::kDayMs}, {"hour", 3'600'000}, {"minute", 60'000}}};
std::string_view period_name(const engine::Report& report);
/// When the report's period of that number begins.
std::string period_text(const engine::Report& report, std::int64_t number);
/// Until when it knows.
std::string until_text(const engine::Report& report);
/// "users" or "sessions".
const char* units_name(const engine::Report& report);
/// Whether the split was kept, who is left out, and what the numbers do not know.
std::vector<std::string> report_notes(const engine::Report& report);
/// "+12.3 %", or in the metric's unit where a relative difference is not to be had.
std::string lift_number(const engine::Comparison& comparison, double value);
std::string p_number(double p_value);

}  // namespace fovea::api
