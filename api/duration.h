// Durations as people write them in flags: 30s, 15m, 1h, 1d.
#pragma once

#include <chrono>
#include <string_view>

namespace fovea::api {

/// A whole number from 1 and one of s, m, h, d; at most a year. Throws std::invalid_argument saying
/// what is right, led by `flag`.
std::chrono::seconds parse_duration(std::string_view flag, std::string_view text);

}  // namespace fovea::api
