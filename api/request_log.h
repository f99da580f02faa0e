// A request's line in the log: what it says and which requests have one. Names no user and no item;
// it is found by the request's id, which the answer has too.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace fovea::api {

struct RequestLogOptions {
  bool all = false;
  /// Absent, and not `all`: no request has a line. Otherwise those that took so long, and those
  /// that failed or were degraded, however long they took. What the caller did wrong is left to
  /// `all`: a caller could fill the disk with it.
  std::optional<std::chrono::milliseconds> slow;

  bool any() const { return all || slow.has_value(); }
};

/// "none", "all" or "slow:MS". Throws std::invalid_argument with a sentence.
RequestLogOptions parse_log_requests(std::string_view text);

enum class RequestOutcome {
  kOk,
  kDegraded,
  kInvalid,
  kOverloaded,   ///< Its deadline had passed before its turn.
  kUnavailable,  ///< The store or the model could not answer.
  kFailed,       ///< Our own fault.
};

struct RequestLine {
  using Clock = std::chrono::steady_clock;

  std::string_view method;  ///< The contract's name, or a path of HTTP.
  std::string request_id;
  std::optional<std::string> trace_id;
  RequestOutcome outcome = RequestOutcome::kOk;
  std::string reason;         ///< Of a list that is degraded or a request that failed.
  std::string model_version;  ///< That ranked; empty: nothing was ranked.
  Clock::time_point received;
  Clock::time_point begun;  ///< When a worker took it.
  Clock::time_point answered;
};

/// Writes it if the options say so. Thread-safe; waits for nothing.
void log_request(const RequestLogOptions& options, const RequestLine& line);

}  // namespace fovea::api
