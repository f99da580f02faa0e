// HTTP calls: whatever method, target, headers and body say, there is an answer with a status that
// HTTP has and, beside metrics and the console's files, a JSON body, and no wrong call reaches the
// service half read. The first byte chooses a path, or (0) the first line of the rest is the
// target; bits of the second are whether it is posted, not as JSON, by a browser, from this
// machine, and whether the console may change something. What a browser sends has four lines more:
// Host, Origin, Accept-Encoding and If-None-Match.
#include <spdlog/spdlog.h>

#include <array>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/console_assets.h"
#include "api/console_service.h"
#include "api/http_dispatch.h"
#include "api/measured_service.h"
#include "api/wire.h"
#include "tests/store_directory.h"

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

constexpr std::array<std::string_view, 24> kTargets = {"/livez",
                                                       "/readyz",
                                                       "/metrics",
                                                       "/v1/status",
                                                       "/v1/rank",
                                                       "/v1/rankMany",
                                                       "/v1/events",
                                                       "/v1/items",
                                                       "/v1/items/get",
                                                       "/v1/items/remove",
                                                       "/v1/users/delete",
                                                       "/v1/history",
                                                       "/",
                                                       "/console/main.js",
                                                       "/console/engine",
                                                       "/console/versions",
                                                       "/console/users",
                                                       "/console/items",
                                                       "/console/training",
                                                       "/console/rollback",
                                                       "/console/report",
                                                       "/console/experiments",
                                                       "/console/chart.min.js",
                                                       "/console/items/get"};

/// What is behind the page: a store with an item and a user, and no version.
struct Served {
  Served() {
    spdlog::set_level(spdlog::level::off);
    fovea::engine::EngineOptions options;
    options.db.memory_bytes = std::size_t{1} << 20;
    engine = fovea::engine::Engine::open(directory.path(), options);
    engine->declare_action("view", 1);
    const std::vector<fovea::engine::Item> items = {{.item_id = "a", .text = "t"}};
    engine->put_items(items);
    const std::vector<fovea::engine::Event> events = {
        {.user_id = "u", .item_id = "a", .action = "view", .time_ms = 5}};
    engine->record(events);
    console = std::make_unique<ConsoleService>(
        *engine, measured, directory.path(), [] { return std::vector<PortFigures>(); },
        ConsoleRights{});
  }

  fovea::storage::StoreDirectory directory;
  std::unique_ptr<fovea::engine::Engine> engine;
  FoveaNull none;
  MeasuredService measured{none};
  std::unique_ptr<ConsoleService> console;
};

Served& served() {
  static Served all;
  return all;
}

std::string_view take_line(std::string_view& rest) {
  const auto line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  return line;
}

void check(const HttpAnswer& answer, std::string_view target) {
  if (answer.status < 200 || answer.status > 599) std::abort();
  if (target == "/metrics" && answer.status == 200) return;
  if (find_asset(target) != nullptr && answer.status < 400) {
    if (answer.body.empty() != (answer.status == 304)) std::abort();
    return;
  }
  boost::system::error_code error;
  const auto body = boost::json::parse(answer.body, error);
  if (error || !body.is_object()) std::abort();
  const auto* refusal = body.get_object().if_contains("error");  // a report's is null or a sentence
  if ((refusal != nullptr && refusal->is_object()) == (answer.status == 200)) std::abort();
}

}  // namespace

/// So that opening the store does not count as the first input's time.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  served();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  HttpCall call;
  call.method = data[1] & 1 ? "POST" : "GET";
  call.content_type = data[1] & 2 ? "text/plain" : "application/json";
  const std::size_t choice = data[0] % (kTargets.size() + 1);
  call.target = choice == 0 ? take_line(rest) : kTargets[choice - 1];
  if (data[1] & 4) {
    call.host = take_line(rest);
    call.origin = take_line(rest);
    call.accept_encoding = take_line(rest);
    call.if_none_match = take_line(rest);
  }
  call.loopback = (data[1] & 8) != 0;
  call.body = rest;

  Echo echo;
  HttpService service{echo, [] { return std::string(); }, [] { return std::string(); }};
  service.console = {data[1] & 16 ? ConsoleMode::kReadOnly : ConsoleMode::kOn,
                     served().console.get()};
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
