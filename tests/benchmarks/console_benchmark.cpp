// What the console's page costs the server that serves it: the JSON of each path and of each list
// it asks for, made and written out, in microseconds, over a data directory that is opened beside
// its server or without one.
//   fovea_console DIR [CALLS 500]
#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "api/console_service.h"
#include "api/handler.h"
#include "api/wire_json.h"

namespace {

using namespace fovea;
namespace json = boost::json;

void measure(const char* name, int calls, const std::function<json::object(int call)>& answer) {
  std::vector<double> times_us;
  std::size_t bytes = 0;
  for (int call = 0; call < calls; ++call) {
    const auto begin = std::chrono::steady_clock::now();
    bytes = std::max(bytes, json::serialize(answer(call)).size());
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    times_us.push_back(took.count());
  }
  std::ranges::sort(times_us);
  const auto at = [&](double share) {
    return times_us[static_cast<std::size_t>(share * static_cast<double>(times_us.size() - 1))];
  };
  std::printf("%-44s %9.0f %9.0f %9.0f %9zu\n", name, at(.5), at(.99), at(1), bytes);
}

/// The lists that the views Ask and Items ask for.
void measure_lists(int calls, api::Handler& handler, const storage::Catalog& catalog,
                   const std::vector<std::string>& users) {
  const auto ranked = [&](const api::RankRequest& request) {
    api::RankResponse response;
    handler.rank(response, request);
    return api::to_json(response);
  };
  const auto request = [](std::int32_t limit, bool explain) {
    api::RankRequest made;
    made.__set_limit(limit);
    made.__set_explain(explain);
    made.__set_preview(true);
    return made;
  };
  const auto user = [&](int call) -> const std::string& {
    return users[static_cast<std::size_t>(call) * 7919 % users.size()];
  };
  const auto row = [&](int call) {
    return static_cast<std::uint32_t>(call) * 7919 % catalog.rows();
  };
  const auto query = [&](int call) {
    const auto item = catalog.get(row(call));
    const std::string text = item ? item->text.value_or("") : "";
    return "something of " + text.substr(0, text.find(' ', text.find(' ') + 1));
  };
  measure("a user's 20 items, explained", calls, [&](int call) {
    auto asks = request(20, true);
    asks.__set_user_id(user(call));
    return ranked(asks);
  });
  measure("a user's 200 items", calls, [&](int call) {
    auto asks = request(200, false);
    asks.__set_user_id(user(call));
    return ranked(asks);
  });
  measure("a user's query, 20 items, explained", calls, [&](int call) {
    auto asks = request(20, true);
    asks.__set_user_id(user(call));
    asks.__set_query(query(call));
    return ranked(asks);
  });
  measure("a query, 50 items, explained", calls, [&](int call) {
    auto asks = request(50, true);
    asks.__set_query(query(call));
    return ranked(asks);
  });
  measure("10 neighbours, explained", calls, [&](int call) {
    auto asks = request(10, true);
    asks.__set_seed_items({catalog.item_id(row(call))});
    return ranked(asks);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: fovea_console DIR [CALLS 500]\n", stderr);
    return 2;
  }
  int calls = 500;
  if (argc > 2) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), calls);
  engine::EngineOptions options;
  options.access = storage::Access::kReadOnly;
  const auto engine = engine::Engine::open(argv[1], options);
  api::Handler handler(*engine);
  api::MeasuredService measured(handler);
  api::ConsoleService console(*engine, measured, argv[1],
                              [] { return std::vector<api::PortFigures>(2); }, {});
  const auto status = engine->status();
  std::printf("%lld items, %lld users, version %s, of %d calls each\n",
              static_cast<long long>(status.items), static_cast<long long>(status.users),
              status.model_version.c_str(), calls);
  std::printf("%-44s %9s %9s %9s %9s\n", "us", "p50", "p99", "max", "bytes");

  std::vector<std::string> users;
  engine->db().history().for_each_user(
      [&](std::string_view user, auto) { users.emplace_back(user); });
  for (std::size_t i = 0; i < api::kRecentLists; ++i) {  // so that there are times to tell
    api::RankRequest request;
    request.__set_user_id(users.empty() ? "nobody" : users[i * 7 % users.size()]);
    request.__set_preview(true);
    api::RankResponse response;
    measured.rank(response, request);
  }
  measure("engine", calls, [&](int) { return console.engine(); });
  measure("versions", calls, [&](int) { return console.versions(); });
  if (!status.model_version.empty()) {
    measure("training", calls, [&](int) { return console.training(status.model_version); });
  }
  measure("users, all, 100", calls, [&](int) { return console.users("", 100); });
  measure("users, an id but for its end, 100", calls, [&](int call) {
    const std::string& user = users[static_cast<std::size_t>(call) * 7919 % users.size()];
    return console.users(std::string_view(user).substr(0, user.size() - user.size() / 3), 100);
  });
  measure("users, nobody", calls, [&](int) { return console.users("\x7f nobody", 100); });
  measure("items, all, 100", calls, [&](int) { return console.items("", 100); });
  const auto& catalog = engine->db().catalog();
  measure("items, an id but for its end, 100", calls, [&](int call) {
    const auto item = catalog.item_id(static_cast<std::uint32_t>(call) * 7919 % catalog.rows());
    return console.items(std::string_view(item).substr(0, item.size() - item.size() / 3), 100);
  });
  measure("items, none: every name is compared", calls,
          [&](int) { return console.items("\x7f nothing", 100); });
  measure("items, 200 by their ids", calls, [&](int call) {
    std::vector<std::string> ids;
    for (std::uint32_t i = 0; i < 200; ++i) {
      const auto row = static_cast<std::uint64_t>(call * 200 + i) * 7919 % catalog.rows();
      ids.push_back(catalog.item_id(static_cast<std::uint32_t>(row)));
    }
    return console.items(ids);
  });
  measure("experiments", calls, [&](int) { return console.experiments(); });
  measure_lists(calls, handler, catalog, users);
}
