#include "api/console.h"

#include <fmt/format.h>

#include <stdexcept>

namespace fovea::api {

ConsoleMode parse_console_mode(const std::string& text) {
  if (text == "on") return ConsoleMode::kOn;
  if (text == "read-only") return ConsoleMode::kReadOnly;
  if (text == "off") return ConsoleMode::kOff;
  throw std::invalid_argument(
      fmt::format("'{}' does not say what the console may do; on, read-only or off does", text));
}

}  // namespace fovea::api
