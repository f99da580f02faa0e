// One sink and one thread; two loggers, so that a line whose text was made here is told from one
// whose text may hold anything, by a name that no request can choose.
#include "api/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <utf8proc.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace fovea::api {
namespace {

constexpr std::size_t kLinesMax = 8192;
constexpr const char* kWithFields = "fovea with fields";
constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v";

/// Set by BackgroundLog, before and after other threads log.
std::shared_ptr<spdlog::logger> with_fields;
LogFormat current_format = LogFormat::kText;

std::string_view view(spdlog::string_view_t text) { return {text.data(), text.size()}; }

template <typename To>
void append(To& to, std::string_view text) {
  to.append(text.data(), text.data() + text.size());
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(time - seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), rest.count());
}

class LineFormatter final : public spdlog::formatter {
 public:
  /// Formats on the queue's thread only, which the queue outlives.
  LineFormatter(LogFormat format, spdlog::details::thread_pool& queue)
      : format_(format), queue_(queue) {}

  void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& to) override {
    const std::size_t dropped = dropped_since();
    if (format_ == LogFormat::kText) {
      text_.format(line, to);
      if (dropped > 0) append(to, fmt::format("  ({} lines before this one dropped)\n", dropped));
      return;
    }
    append(to, fmt::format(R"({{"time":"{}","level":"{}",)", rfc3339(line.time),
                           view(spdlog::level::to_string_view(line.level))));
    if (view(line.logger_name) == kWithFields) {
      append(to, view(line.payload));
    } else {
      std::string message = R"("message":)";
      append_json_string(message, view(line.payload));
      append(to, message);
    }
    if (dropped > 0) append(to, fmt::format(R"(,"dropped_lines":{})", dropped));
    append(to, "}\n");
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_, queue_);
  }

 private:
  std::size_t dropped_since() {
    const std::size_t dropped = queue_.overrun_counter();
    return dropped - std::exchange(dropped_, dropped);
  }

  LogFormat format_;
  spdlog::details::thread_pool& queue_;
  std::size_t dropped_ = 0;
  spdlog::pattern_formatter text_{kTextPattern};
};

/// A word as it is; anything else in quotes, so that fields can be told apart.
void append_text(std::string& to, std::string_view text) {
  const bool word = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("._:/-+").find(c) != std::string_view::npos;
  });
  if (word) {
    to += text;
  } else {
    append_json_string(to, text);
  }
}

std::string text_of(std::string_view message, std::span<const LogField> fields) {
  std::string text(message);
  for (const LogField& field : fields) {
    fmt::format_to(std::back_inserter(text), " {}=", field.name);
    if (const auto* words = std::get_if<std::string_view>(&field.value)) {
      append_text(text, *words);
    } else if (const auto* number = std::get_if<double>(&field.value)) {
      fmt::format_to(std::back_inserter(text), "{:.3f}", *number);
    } else {
      fmt::format_to(std::back_inserter(text), "{}", std::get<std::int64_t>(field.value));
    }
  }
  return text;
}

/// The members of an object, without its braces.
std::string json_of(std::string_view message, std::span<const LogField> fields) {
  std::string json = R"("message":)";
  append_json_string(json, message);
  for (const LogField& field : fields) {
    fmt::format_to(std::back_inserter(json), R"(,"{}":)", field.name);
    if (const auto* words = std::get_if<std::string_view>(&field.value)) {
      append_json_string(json, *words);
    } else if (const auto* number = std::get_if<double>(&field.value)) {
      fmt::format_to(std::back_inserter(json), "{:.3f}", *number);
    } else {
      fmt::format_to(std::back_inserter(json), "{}", std::get<std::int64_t>(field.value));
    }
  }
  return json;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

LogFormat parse_log_format(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  throw std::invalid_argument(fmt::format("'{}' is no format of the log; text or json is", text));
}

struct BackgroundLog::State {
  std::shared_ptr<spdlog::logger> before;
  std::shared_ptr<spdlog::details::thread_pool> queue;
};

BackgroundLog::BackgroundLog(LogFormat format) : state_(std::make_unique<State>()) {
  state_->before = spdlog::default_logger();
  state_->queue = std::make_shared<spdlog::details::thread_pool>(kLinesMax, 1);
  const auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  sink->set_formatter(std::make_unique<LineFormatter>(format, *state_->queue));
  const auto logger = [&](const char* name) {
    auto made = std::make_shared<spdlog::async_logger>(
        name, sink, state_->queue, spdlog::async_overflow_policy::overrun_oldest);
    made->set_level(state_->before->level());
    return made;
  };
  with_fields = logger(kWithFields);
  current_format = format;
  spdlog::set_default_logger(logger("fovea in the background"));
}

BackgroundLog::~BackgroundLog() {
  spdlog::set_default_logger(state_->before);
  with_fields = nullptr;
  current_format = LogFormat::kText;
  state_->queue = nullptr;  // returns when its thread has written the last line
}

void log_line(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  spdlog::logger* logger =
      with_fields != nullptr ? with_fields.get() : spdlog::default_logger_raw();
  const auto at = level_of(level);
  if (!logger->should_log(at)) return;
  const std::string line =
      current_format == LogFormat::kJson ? json_of(message, fields) : text_of(message, fields);
  logger->log(at, spdlog::string_view_t(line.data(), line.size()));
}

void append_json_string(std::string& to, std::string_view text) {
  to += '"';
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t code_point = 0;
    const auto length =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
    if (length <= 0) {
      to += "\uFFFD";
      ++at;
      continue;
    }
    if (code_point == '"' || code_point == '\\') {
      to += '\\';
      to += static_cast<char>(code_point);
    } else if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) ||
               code_point == 0x2028 || code_point == 0x2029) {
      // Also what some terminals and editors take for an end of line or a command.
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", code_point);
    } else {
      to += text.substr(at, static_cast<std::size_t>(length));
    }
    at += static_cast<std::size_t>(length);
  }
  to += '"';
}

}  // namespace fovea::api
