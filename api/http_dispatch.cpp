// The contract's table of paths. A body is read into wire structs within limits, answered by the
// service, and written as JSON; lists of answers are written entry by entry, so that their limit
// bounds memory.
#include "api/http_dispatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>
#include <vector>

#include "api/call.h"
#include "api/console_dispatch.h"
#include "api/http_access.h"
#include "api/http_path.h"
#include "api/trace_context.h"
#include "engine/request_id.h"

namespace fovea::api {
namespace {

namespace json = boost::json;
using Name = std::string_view;

/// Of a target that is no path, in what is answered.
constexpr std::size_t kTargetBytesMax = 64;

template <typename Entry>
HttpAnswer list_answer(const PathCall& call, Name name, const std::vector<Entry>& entries) {
  HttpAnswer answer;
  answer.body = fmt::format("{{\"{}\":[", name);
  for (const Entry& entry : entries) {
    if (&entry != &entries.front()) answer.body += ',';
    answer.body += json::serialize(to_json(entry));
    if (answer.body.size() > call.to.answer_bytes_max) break;  // refused in dispatch()
  }
  answer.body += "]}\n";
  return answer;
}

// The arguments of the methods, by their names in the contract.

struct Requests {
  std::vector<RankRequest> requests;
};
struct Events {
  std::vector<Event> events;
};
struct Items {
  std::vector<Item> items;
};
struct ItemIds {
  std::vector<std::string> item_ids;
};
struct History {
  std::string user_id;
  std::int32_t limit = 0;
};
struct User {
  std::string user_id;
};

HttpAnswer rank(const PathCall& call) {
  RankResponse response;
  call.to.service.rank(response, rank_request_from_json(read_body(call)));
  HttpAnswer answer = json_answer(to_json(response));
  answer.request_id = response.request_id;
  return answer;
}

HttpAnswer rank_many(const PathCall& call) {
  static constexpr std::array kFields = {
      JsonField<Requests>{"requests",
                          [](Name field, const json::value& value, Requests& into) {
                            into.requests = objects_of(field, value, rank_request_from_json);
                          },
                          true}};
  std::vector<RankResponse> responses;
  call.to.service.rankMany(responses, read_arguments(call, "rankMany", kFields).requests);
  HttpAnswer answer = list_answer(call, "responses", responses);
  if (!responses.empty()) answer.request_id = responses.front().request_id;
  return answer;
}

HttpAnswer record(const PathCall& call) {
  static constexpr std::array kFields = {
      JsonField<Events>{"events",
                        [](Name field, const json::value& value, Events& into) {
                          into.events = objects_of(field, value, wire_event_from_json);
                        },
                        true}};
  const auto arguments = read_arguments(call, "record", kFields);
  return json_answer({{"recorded", call.to.service.record(arguments.events)}});
}

HttpAnswer put_items(const PathCall& call) {
  static constexpr std::array kFields = {
      JsonField<Items>{"items",
                       [](Name field, const json::value& value, Items& into) {
                         into.items = objects_of(field, value, wire_item_from_json);
                       },
                       true}};
  const auto arguments = read_arguments(call, "putItems", kFields);
  return json_answer({{"put", call.to.service.putItems(arguments.items)}});
}

constexpr std::array kItemIds = {
    JsonField<ItemIds>{"item_ids",
                       [](Name field, const json::value& value, ItemIds& into) {
                         into.item_ids = strings_of(field, value);
                       },
                       true}};

HttpAnswer remove_items(const PathCall& call) {
  const auto arguments = read_arguments(call, "removeItems", kItemIds);
  return json_answer({{"removed", call.to.service.removeItems(arguments.item_ids)}});
}

HttpAnswer get_items(const PathCall& call) {
  std::vector<Item> items;
  call.to.service.getItems(items, read_arguments(call, "getItems", kItemIds).item_ids);
  return list_answer(call, "items", items);
}

HttpAnswer get_history(const PathCall& call) {
  static constexpr std::array kFields = {
      JsonField<History>{"user_id",
                         [](Name field, const json::value& value, History& into) {
                           into.user_id = string_of(field, value);
                         },
                         true},
      JsonField<History>{"limit",
                         [](Name field, const json::value& value, History& into) {
                           into.limit = int32_of(field, value);
                         },
                         true}};
  const auto arguments = read_arguments(call, "getHistory", kFields);
  std::vector<Event> events;
  call.to.service.getHistory(events, arguments.user_id, arguments.limit);
  return list_answer(call, "events", events);
}

HttpAnswer delete_user(const PathCall& call) {
  static constexpr std::array kFields = {
      JsonField<User>{"user_id",
                      [](Name field, const json::value& value, User& into) {
                        into.user_id = string_of(field, value);
                      },
                      true}};
  call.to.service.deleteUser(read_arguments(call, "deleteUser", kFields).user_id);
  return json_answer({});
}

HttpAnswer status(const PathCall& call) {
  Status status;
  call.to.service.status(status);
  return json_answer(to_json(status));
}

HttpAnswer livez(const PathCall&) { return json_answer({{"live", true}}); }

HttpAnswer readyz(const PathCall& call) {
  const std::string draining = call.to.draining();
  return draining.empty() ? json_answer({{"ready", true}}) : http_error(503, draining);
}

HttpAnswer metrics(const PathCall& call) {
  HttpAnswer answer;
  answer.body = call.to.metrics();
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return answer;
}

constexpr std::array kPaths = {
    Path{"/livez", false, livez, Access::kReads, true},
    Path{"/readyz", false, readyz, Access::kReads, true},
    Path{"/metrics", false, metrics, Access::kReads, true},
    Path{"/v1/status", false, status, Access::kReads},
    Path{"/v1/rank", true, rank, Access::kReads},
    Path{"/v1/rankMany", true, rank_many, Access::kReads},
    Path{"/v1/events", true, record},
    Path{"/v1/items", true, put_items},
    Path{"/v1/items/remove", true, remove_items},
    Path{"/v1/items/get", true, get_items, Access::kReads},
    Path{"/v1/history", true, get_history, Access::kReads},
    Path{"/v1/users/delete", true, delete_user},
};

std::array<std::span<const Path>, 2> tables(const HttpService& service) {
  const bool console = service.console.mode != ConsoleMode::kOff;
  return {kPaths, console ? console_paths() : std::span<const Path>()};
}

/// Names the contract's paths; the console's are the page's own.
HttpAnswer unknown_path(Name target) {
  std::string paths;
  for (const Path& path : kPaths) {
    paths += fmt::format("{}{}", paths.empty() ? "" : ", ", path.path);
  }
  return http_error(404,
                    fmt::format("there is no path '{}'; there are {}", printable(target), paths));
}

HttpAnswer wrong_method(const Path& path, Name method) {
  HttpAnswer answer =
      http_error(405, fmt::format("{} takes {}, and not {}", path.path,
                                  path.posted ? "POST" : "GET and HEAD", printable(method)));
  answer.allow = path.posted ? "POST" : "GET, HEAD";
  return answer;
}

/// A page in a browser may send other types to any address, this machine's included, without
/// asking; this one it has to ask for first, which nobody grants.
bool is_json(Name content_type) {
  constexpr Name kJson = "application/json";
  if (content_type.size() < kJson.size()) return false;
  const bool same = std::equal(kJson.begin(), kJson.end(), content_type.begin(),
                               [](char a, char b) { return a == (b | 0x20); });
  const Name rest = content_type.substr(kJson.size());
  return same && (rest.empty() || rest.front() == ';' || rest.front() == ' ');
}

HttpAnswer failed(const Path& path, std::string_view why) {
  HttpAnswer answer =
      http_error(500, fmt::format("{} failed; the server's log says why", path.path));
  answer.fault = fmt::format("{} failed: {}", path.path, why);
  return answer;
}

HttpAnswer answer_path(const Path& path, const PathCall& call) {
  try {
    HttpAnswer answer = path.answer(call);
    if (answer.body.size() <= call.to.answer_bytes_max) return answer;
    std::string request_id = std::move(answer.request_id);
    answer = http_error(500, fmt::format("the answer is longer than {} bytes; ask for less at once",
                                         call.to.answer_bytes_max));
    answer.fault = fmt::format("{}: the answer is too long", path.path);
    answer.request_id = std::move(request_id);
    return answer;
  } catch (const engine::InvalidRequest& error) {
    return http_error(400, error.what(), error.field);
  } catch (const InvalidRequest& error) {
    return http_error(400, error.message, error.field);
  } catch (const Overloaded& error) {
    return http_error(error);
  } catch (const engine::Unavailable& error) {
    return http_error(503, error.what());
  } catch (const Unavailable& error) {
    return http_error(503, error.message);
  } catch (const std::bad_alloc&) {
    return failed(path, "there is not enough memory");
  } catch (const std::exception& error) {
    return failed(path, error.what());
  }
}

const Path* find_path(const HttpService& service, Name target) {
  const Path* found = nullptr;
  for (const auto table : tables(service)) {
    for (const Path& path : table) {
      if (path.path == target) found = &path;
    }
  }
  return found;
}

HttpAnswer answer_call(const HttpService& service, const HttpCall& call) {
  const Path* path = find_path(service, call.target);
  if (path == nullptr) return unknown_path(call.target);
  const bool read = call.method == "GET" || call.method == "HEAD";
  if (path->posted ? call.method != "POST" : !read) return wrong_method(*path, call.method);
  if (auto refusal = not_allowed(service, *path, call)) return *std::move(refusal);
  if (!path->posted && !call.body.empty()) {
    return http_error(400, fmt::format("{} takes no body", path->path));
  }
  if (path->posted && !is_json(call.content_type)) {
    return http_error(415, fmt::format("{} takes a body of type application/json; say so with the "
                                       "header Content-Type",
                                       path->path));
  }
  return answer_path(*path, {service, call});
}

/// The line of what no method has seen: a body that is no JSON, a path that there is not.
void log_refused(const HttpService& service, const HttpCall& call, const NamedCall& named,
                 const HttpAnswer& answer, RequestLine::Clock::time_point begun) {
  const std::string target = printable(call.target);
  RequestLine line;
  line.method = target;
  line.request_id = named.request_id();
  line.trace_id = named.trace_id();
  line.outcome = answer.status < 500 ? RequestOutcome::kInvalid : RequestOutcome::kFailed;
  line.reason = answer.message;
  line.received = std::min(CurrentCall::received(), begun);
  line.begun = begun;
  line.answered = RequestLine::Clock::now();
  log_request(service.log_requests, line);
}

}  // namespace

boost::json::object read_body(const PathCall& call) {
  return parse_object(call.asked.body, kBodyDepthMax);
}

HttpAnswer json_answer(const json::object& object) {
  HttpAnswer answer;
  answer.body = json::serialize(object) + '\n';
  return answer;
}

std::string printable(std::string_view text) {
  std::string result(text.substr(0, kTargetBytesMax));
  std::replace_if(result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  if (text.size() > kTargetBytesMax) result += "...";
  return result;
}

bool answered_at_once(const HttpService& service, std::string_view target) {
  const Path* path = find_path(service, target);
  return path == nullptr || path->at_once;
}

HttpAnswer dispatch(const HttpService& service, const HttpCall& call) {
  const auto begun = RequestLine::Clock::now();
  NamedCall named(engine::new_request_id(), trace_id(call.traceparent));
  HttpAnswer answer = answer_call(service, call);
  if (answer.status >= 400 && !named.logged && service.log_requests.any()) {
    log_refused(service, call, named, answer, begun);
  }
  if (answer.request_id.empty()) answer.request_id = named.request_id();
  return answer;
}

HttpAnswer http_error(unsigned status, std::string_view message, std::string_view field) {
  json::object error;
  if (!field.empty()) error["field"] = field;
  error["message"] = message;
  HttpAnswer answer = json_answer({{"error", std::move(error)}});
  answer.status = status;
  answer.message = message;
  return answer;
}

HttpAnswer http_error(const Overloaded& overloaded) {
  HttpAnswer answer = http_error(503, overloaded.message);
  answer.retry_after_ms = overloaded.retry_after_ms;
  return answer;
}

}  // namespace fovea::api
