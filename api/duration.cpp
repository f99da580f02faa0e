#include "api/duration.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <stdexcept>

namespace fovea::api {

std::chrono::seconds parse_duration(std::string_view flag, std::string_view text) {
  constexpr std::int64_t kYearSeconds = 365 * 24 * 3600;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const std::int64_t seconds = unit == "s"   ? 1
                               : unit == "m" ? 60
                               : unit == "h" ? 3600
                               : unit == "d" ? 24 * 3600
                                             : 0;
  if (error != std::errc() || seconds == 0 || number < 1 || number > kYearSeconds / seconds) {
    throw std::invalid_argument(
        fmt::format("{} is \"{}\"; a whole number with its unit is expected, such as 30s, 15m, 1h "
                    "or 1d, and at most 365d",
                    flag, text));
  }
  return std::chrono::seconds(number * seconds);
}

}  // namespace fovea::api
