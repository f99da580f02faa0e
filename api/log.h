// The log's lines: text for people or JSON for machines, with fields, written by a thread of its
// own. Owns their form and escaping; what is worth a line is said elsewhere. spdlog stays inside
// the source; who has no fields to tell calls it directly.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace fovea::api {

enum class LogFormat {
  kText,  ///< As before: time, level, message; fields as name=value behind it.
  kJson,  ///< An object a line: time (RFC 3339, UTC, milliseconds), level, message, fields.
};

/// "text" or "json". Throws std::invalid_argument with a sentence.
LogFormat parse_log_format(std::string_view text);

/// While one lives, every line goes to stderr through a queue of 8,192 and a thread of its own, so
/// that nobody waits for whoever reads there: when the queue is full the oldest lines are dropped,
/// and the next one that is written says how many (`dropped_lines`). One at a time; makes and ends
/// it while no other thread logs.
class BackgroundLog {
 public:
  explicit BackgroundLog(LogFormat format);
  ~BackgroundLog();  ///< Writes what waits; the log is then as it was.
  BackgroundLog(const BackgroundLog&) = delete;
  BackgroundLog& operator=(const BackgroundLog&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

enum class LogLevel { kInfo, kWarning, kError };

struct LogField {
  std::string_view name;  ///< Letters and '_'; of ours, never of a request's.
  std::variant<std::string_view, std::int64_t, double> value;
};

/// A line with fields. Texts may hold anything: what could end a line or is not UTF-8 is escaped or
/// replaced. Thread-safe.
void log_line(LogLevel level, std::string_view message, std::span<const LogField> fields);

/// Appends `text` as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& to, std::string_view text);

}  // namespace fovea::api
