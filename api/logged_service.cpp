#include "api/logged_service.h"

#include <algorithm>
#include <utility>

#include "api/call.h"
#include "api/trace_context.h"
#include "engine/request_id.h"

namespace fovea::api {
namespace {

/// The wire's name for the call's own id goes before an id that nobody else has.
RequestLine begin_line(std::string_view method) {
  RequestLine line;
  line.method = method;
  line.received = CurrentCall::received();
  line.begun = RequestLine::Clock::now();
  if (NamedCall* named = NamedCall::current()) {
    named->logged = true;
    line.request_id = named->request_id();
    line.trace_id = named->trace_id();
  } else {
    line.request_id = engine::new_request_id();
  }
  return line;
}

/// HTTP's header is the call's; a request's own field is Thrift's way to say the same.
void trace(RequestLine& line, const RankRequest& request) {
  if (!line.trace_id && request.__isset.traceparent) line.trace_id = trace_id(request.traceparent);
}

void describe(RequestLine& line, const RankResponse& response) {
  line.request_id = response.request_id;
  line.model_version = response.model_version;
  line.outcome = response.degraded ? RequestOutcome::kDegraded : RequestOutcome::kOk;
  line.reason = response.__isset.degraded_reason ? response.degraded_reason : "";
}

}  // namespace

/// The line of a call that was answered, for its method to complete and write; one that failed has
/// its line written here.
template <typename Call>
RequestLine LoggedService::called(std::string_view method, Call call) const {
  RequestLine line = begin_line(method);
  const auto failed = [&](RequestOutcome outcome, std::string reason) {
    line.outcome = outcome;
    line.reason = std::move(reason);
    line.answered = RequestLine::Clock::now();
    log_request(options_, line);
  };
  try {
    call(line);
  } catch (const InvalidRequest& error) {
    failed(RequestOutcome::kInvalid, error.field + ": " + error.message);
    throw;
  } catch (const Overloaded& error) {
    failed(RequestOutcome::kOverloaded, error.message);
    throw;
  } catch (const Unavailable& error) {
    failed(RequestOutcome::kUnavailable, error.message);
    throw;
  } catch (const std::exception& error) {
    failed(RequestOutcome::kFailed, error.what());
    throw;
  }
  line.answered = RequestLine::Clock::now();
  return line;
}

void LoggedService::rank(RankResponse& response, const RankRequest& request) {
  RequestLine line = called("rank", [&](RequestLine& open) {
    trace(open, request);
    service_.rank(response, request);
  });
  describe(line, response);
  log_request(options_, line);
}

void LoggedService::rankMany(std::vector<RankResponse>& responses,
                             const std::vector<RankRequest>& requests) {
  RequestLine line =
      called("rankMany", [&](RequestLine&) { service_.rankMany(responses, requests); });
  const auto trace_of_call = line.trace_id;
  for (std::size_t i = 0; i < std::min(responses.size(), requests.size()); ++i) {
    line.trace_id = trace_of_call;
    trace(line, requests[i]);
    describe(line, responses[i]);
    log_request(options_, line);
  }
}

std::int32_t LoggedService::record(const std::vector<Event>& events) {
  std::int32_t count = 0;
  log_request(options_, called("record", [&](RequestLine&) { count = service_.record(events); }));
  return count;
}

std::int32_t LoggedService::putItems(const std::vector<Item>& items) {
  std::int32_t count = 0;
  log_request(options_,
              called("putItems", [&](RequestLine&) { count = service_.putItems(items); }));
  return count;
}

std::int32_t LoggedService::removeItems(const std::vector<std::string>& item_ids) {
  std::int32_t count = 0;
  log_request(options_,
              called("removeItems", [&](RequestLine&) { count = service_.removeItems(item_ids); }));
  return count;
}

void LoggedService::getItems(std::vector<Item>& items, const std::vector<std::string>& item_ids) {
  log_request(options_,
              called("getItems", [&](RequestLine&) { service_.getItems(items, item_ids); }));
}

void LoggedService::getHistory(std::vector<Event>& events, const std::string& user_id,
                               std::int32_t limit) {
  log_request(options_, called("getHistory",
                               [&](RequestLine&) { service_.getHistory(events, user_id, limit); }));
}

void LoggedService::deleteUser(const std::string& user_id) {
  log_request(options_, called("deleteUser", [&](RequestLine&) { service_.deleteUser(user_id); }));
}

void LoggedService::status(Status& status) {
  log_request(options_, called("status", [&](RequestLine&) { service_.status(status); }));
}

}  // namespace fovea::api
