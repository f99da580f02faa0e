// Whether there is a console, and what it may do: the setting `console` and what stands behind it.
// Owns the setting's words; paths are console_dispatch's, the data console_service's.
#pragma once

#include <string>

namespace fovea::api {

class ConsoleService;

enum class ConsoleMode {
  kOff,       ///< There is no page.
  kReadOnly,  ///< It changes nothing.
  kOn,
};

/// "on", "read-only" or "off". Throws std::invalid_argument with a sentence.
ConsoleMode parse_console_mode(const std::string& text);

struct Console {
  ConsoleMode mode = ConsoleMode::kOff;
  ConsoleService* service = nullptr;  ///< What paths with JSON ask; not null where they are asked.
};

}  // namespace fovea::api
