// HTTP calls: whatever method, target, type and body say, there is an answer with a status that
// HTTP has and, beside metrics, a JSON body, and no wrong call reaches the service half read. The
// first byte chooses a path, or (0) the first line of the rest is the target; the second whether it
// is posted as JSON.
#include <array>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/http_dispatch.h"
#include "api/wire.h"

using namespace fovea::api;

namespace {

/// Refuses what the handler refuses, and gives some of the rest back, so that it is written as
/// well.
class Echo : public FoveaNull {
 public:
  void rank(RankResponse& response, const RankRequest& request) override {
    fovea::engine::validate(from_wire(request));
    response.request_id = request.user_id;
    for (const auto& id : request.candidates) response.items.emplace_back().item_id = id;
  }
  void rankMany(std::vector<RankResponse>& responses,
                const std::vector<RankRequest>& requests) override {
    for (const auto& request : requests) rank(responses.emplace_back(), request);
  }
  std::int32_t putItems(const std::vector<Item>& items) override {
    for (const auto& item : items) fovea::engine::validate(from_wire(item, ""), "");
    stored = items;
    return static_cast<std::int32_t>(items.size());
  }
  std::int32_t record(const std::vector<Event>& events) override {
    for (const auto& event : events) fovea::engine::validate(from_wire(event), "");
    recorded = events;
    return static_cast<std::int32_t>(events.size());
  }
  void getItems(std::vector<Item>& items, const std::vector<std::string>&) override {
    items = stored;
  }
  void getHistory(std::vector<Event>& events, const std::string&, std::int32_t) override {
    events = recorded;
  }

  std::vector<Item> stored;
  std::vector<Event> recorded;
};

constexpr std::array<std::string_view, 12> kTargets = {
    "/livez",        "/readyz",          "/metrics",         "/v1/status",
    "/v1/rank",      "/v1/rankMany",     "/v1/events",       "/v1/items",
    "/v1/items/get", "/v1/items/remove", "/v1/users/delete", "/v1/history"};

void check(const HttpAnswer& answer, std::string_view target) {
  if (answer.status < 200 || answer.status > 599) std::abort();
  if (target == "/metrics" && answer.status == 200) return;
  boost::system::error_code error;
  const auto body = boost::json::parse(answer.body, error);
  if (error || !body.is_object()) std::abort();
  if (body.get_object().contains("error") == (answer.status == 200)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  HttpCall call;
  call.method = data[1] & 1 ? "POST" : "GET";
  call.content_type = data[1] & 2 ? "text/plain" : "application/json";
  const std::size_t choice = data[0] % (kTargets.size() + 1);
  if (choice == 0) {
    call.target = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), call.target.size() + 1));
  } else {
    call.target = kTargets[choice - 1];
  }
  call.body = rest;

  Echo echo;
  const HttpService service{echo, [] { return std::string(); }, [] { return std::string(); }};
  check(dispatch(service, call), call.target);
  // What was taken is written again.
  const auto again = [&](std::string_view target, std::string_view body) {
    const auto answer = dispatch(service, {"POST", target, "application/json", body});
    check(answer, target);
    if (answer.status != 200) std::abort();
  };
  again("/v1/items/get", R"({"item_ids":[]})");
  again("/v1/history", R"({"user_id":"u","limit":1})");
  return 0;
}
