// Calls that follow each other, on a store that they change: the handler, the engine and a learned
// version over a small shop, none of them replaced. Each line is one call, its first character the
// path, the rest the body; "@page" in a body stands for the page token that was answered last. What
// a call does to the shop stays for the next ones until the shop is made anew, so that a finding
// may need the inputs before it: the same -seed= and corpus give them again. deleteUser is not
// among them: it rewrites the store, which takes as long as hundreds of the others.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "api/handler.h"
#include "api/http_dispatch.h"
#include "tests/shop.h"

using namespace fovea::api;
using fovea::engine::Engine;
using fovea::engine::Shop;

namespace {

/// What was put and recorded in so many inputs must not decide how slow the next one is.
constexpr std::size_t kInputsPerShop = 2000;

const std::map<char, std::string_view> kPaths = {
    {'r', "/v1/rank"},      {'m', "/v1/rankMany"},     {'e', "/v1/events"},  {'i', "/v1/items"},
    {'g', "/v1/items/get"}, {'x', "/v1/items/remove"}, {'h', "/v1/history"}, {'s', "/v1/status"}};

struct Served {
  Served() {
    spdlog::set_level(spdlog::level::off);
    auto options = shop.options();
    options.db.memory_bytes = std::size_t{1} << 20;
    {
      const auto stocking = Engine::open(shop.directory(), options);
      shop.stock(*stocking);
      shop.publish(shop.learned_version(stocking->db()));
    }
    engine = Engine::open(shop.directory(), options);
    handler = std::make_unique<Handler>(*engine);
  }

  Shop shop;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Handler> handler;
};

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

/// Nothing that bytes say is a fault of ours: 500 is one, and so is an answer that is no JSON.
boost::json::object call(const HttpService& service, std::string_view path, std::string_view body) {
  const bool read = path == "/v1/status";
  const auto answer =
      dispatch(service, {read ? "GET" : "POST", path, "application/json", read ? "" : body});
  if (answer.status != 200 && answer.status != 400) std::abort();
  return boost::json::parse(answer.body).as_object();
}

std::unique_ptr<Served>& shop_that_serves() {
  static auto served = std::make_unique<Served>();
  return served;
}

}  // namespace

/// So that the first shop does not count as the first input's time.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  shop_that_serves();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto& served = shop_that_serves();
  static std::size_t inputs = 0;
  if (++inputs % kInputsPerShop == 0) {
    served.reset();
    served = std::make_unique<Served>();
  }
  const HttpService service{*served->handler, [] { return std::string(); },
                            [] { return std::string(); }};
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::string page;
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const auto path = line.empty() ? kPaths.end() : kPaths.find(line.front());
    if (path == kPaths.end()) continue;
    std::string body(line.substr(1));
    replace_all(body, "@page", page);
    const auto answer = call(service, path->second, body);
    if (const auto* token = answer.if_contains("next_page_token")) page = token->as_string();
  }
  return 0;
}
