#include "api/request_log.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>
#include <vector>

#include "api/log.h"

namespace fovea::api {
namespace {

/// Of a reason: an error may repeat what a request held.
constexpr std::size_t kReasonBytesMax = 500;
constexpr std::int64_t kSlowMaxMs = 600'000;

std::string_view name_of(RequestOutcome outcome) {
  switch (outcome) {
    case RequestOutcome::kOk:
      return "ok";
    case RequestOutcome::kDegraded:
      return "degraded";
    case RequestOutcome::kInvalid:
      return "invalid";
    case RequestOutcome::kOverloaded:
      return "overloaded";
    case RequestOutcome::kUnavailable:
      return "unavailable";
    case RequestOutcome::kFailed:
      return "failed";
  }
  return "failed";
}

LogLevel level_of(RequestOutcome outcome) {
  if (outcome == RequestOutcome::kOk || outcome == RequestOutcome::kInvalid) return LogLevel::kInfo;
  return outcome == RequestOutcome::kFailed ? LogLevel::kError : LogLevel::kWarning;
}

double to_ms(RequestLine::Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

RequestLogOptions parse_log_requests(std::string_view text) {
  constexpr std::string_view kSlow = "slow:";
  if (text == "none") return {};
  if (text == "all") return {.all = true};
  if (text.starts_with(kSlow)) {
    const auto digits = text.substr(kSlow.size());
    std::int64_t slow_ms = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), slow_ms);
    if (error == std::errc() && end == digits.data() + digits.size() && slow_ms >= 0 &&
        slow_ms <= kSlowMaxMs) {
      return {.slow = std::chrono::milliseconds{slow_ms}};
    }
  }
  throw std::invalid_argument(
      fmt::format("'{}' does not say which requests are logged; none, all, or slow:MS with 0 to {} "
                  "milliseconds does, such as slow:50",
                  text, kSlowMaxMs));
}

void log_request(const RequestLogOptions& options, const RequestLine& line) {
  if (!options.any()) return;
  const auto took = line.answered - line.received;
  const bool good = line.outcome == RequestOutcome::kOk || line.outcome == RequestOutcome::kInvalid;
  if (!options.all && good && took < *options.slow) return;

  std::vector<LogField> fields = {
      {"request_id", line.request_id},
      {"method", line.method},
      {"outcome", name_of(line.outcome)},
      {"milliseconds", to_ms(took)},
      {"waited_milliseconds", to_ms(line.begun - line.received)},
  };
  if (!line.model_version.empty()) fields.push_back({"model_version", line.model_version});
  if (!line.reason.empty()) {
    fields.push_back({"reason", std::string_view(line.reason).substr(0, kReasonBytesMax)});
  }
  if (line.trace_id) fields.push_back({"trace_id", *line.trace_id});
  log_line(level_of(line.outcome), "request", fields);
}

}  // namespace fovea::api
