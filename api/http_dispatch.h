// A request's method, target and body in, an answer out: every path of the HTTP port, the JSON form
// of the contract's methods, and the table of errors to status codes. Knows no socket, no header
// but those that it is given. The console's paths are console_dispatch's, who may ask
// http_access's.
#pragma once

#include <fovea_wire/Fovea.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/console.h"
#include "api/request_log.h"
#include "api/tokens.h"

namespace fovea::api {

/// What is asked. Views the bytes of the request.
struct HttpCall {
  std::string_view method;  ///< "GET"; as the peer wrote it.
  std::string_view target;  ///< "/v1/rank"; paths are exact, and take no query string.
  std::string_view content_type;
  std::string_view body;
  std::string_view traceparent;            ///< W3C Trace Context; empty: none, or more than one.
  std::string_view authorization;          ///< "Bearer TOKEN"
  std::string_view host;                   ///< "shop.example:7080"
  std::optional<std::string_view> origin;  ///< Of the page that a browser sends this for.
  std::string_view accept_encoding;
  std::string_view if_none_match;
  bool encrypted = false;  ///< It came over TLS.
  bool loopback = false;   ///< None but this machine could have sent it.
};

struct HttpAnswer {
  unsigned status = 200;
  std::string body;
  std::string_view content_type = "application/json";  ///< Empty: there is no content.
  std::string_view allow;         ///< Not empty: the methods that the path takes.
  std::string_view authenticate;  ///< Not empty: the WWW-Authenticate of a 401.
  std::optional<std::int32_t> retry_after_ms;
  /// Further ones, which go before those of every answer.
  std::vector<std::pair<std::string_view, std::string>> headers;
  std::optional<std::string> fault;  ///< What of ours went wrong, for the log.
  std::string message;               ///< Of an error, as in the body.
  /// The ranked list's, or one of its own; empty: no dispatch() made this.
  std::string request_id;
};

/// What answers.
struct HttpService {
  FoveaIf& service;                       ///< The contract's methods.
  std::function<std::string()> metrics;   ///< In Prometheus' text format.
  std::function<std::string()> draining;  ///< Why no further requests are wanted; empty: they are.
  std::size_t answer_bytes_max = 16'384'000;  ///< A longer answer becomes an error.
  /// Whether what no method has seen has a line in the log; the others' lines are the service's.
  RequestLogOptions log_requests;
  const Tokens* tokens = nullptr;  ///< What changes the store needs one; null: it needs none.
  Console console;
};

/// Whether the answer needs neither disk nor model. It then waits for no worker: whoever watches is
/// to see most when there is most to do.
bool answered_at_once(const HttpService& service, std::string_view target);

/// Answers. Never throws because of what the bytes say or the service does; at most std::bad_alloc
/// when there is no memory to say so. Thread-safe when the service is.
HttpAnswer dispatch(const HttpService& service, const HttpCall& call);

/// {"error": {"field": .., "message": ..}}; no field where none is to blame.
HttpAnswer http_error(unsigned status, std::string_view message, std::string_view field = {});
HttpAnswer http_error(const Overloaded& overloaded);

}  // namespace fovea::api
