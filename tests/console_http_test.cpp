// The console's promises to a browser: its files arrive as they are in the repository and with the
// headers that keep them safe, its JSON is the service's, and who may not is told so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/console_assets.h"
#include "api/console_dispatch.h"
#include "api/console_service.h"
#include "api/handler.h"
#include "api/http_dispatch.h"
#include "api/http_server.h"
#include "api/measured_service.h"
#include "tests/shop.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace fs = std::filesystem;
namespace http = beast::http;
namespace json = boost::json;
using asio::ip::tcp;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Response = http::response<http::string_body>;
using Headers = std::map<std::string, std::string>;

constexpr const char* kToken = "0123456789abcdef";

std::string file_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string gunzipped(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  std::string content(std::size_t{4} << 20, '\0');
  stream.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<unsigned>(bytes.size());
  stream.next_out = reinterpret_cast<unsigned char*>(content.data());
  stream.avail_out = static_cast<unsigned>(content.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(stream.avail_in, 0U);
  content.resize(stream.total_out);
  inflateEnd(&stream);
  return content;
}

/// What is served at each path, as it lies in the repository and in Debian's package.
std::map<std::string, fs::path> sources() {
  std::map<std::string, fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(FOVEA_SOURCE_DIR) / "api/console")) {
    files["/console/" + entry.path().filename().string()] = entry.path();
  }
  files["/console/chart.min.js"] = FOVEA_CHART_JS;
  files["/"] = files.at("/console/index.html");
  return files;
}

std::string type_of(const fs::path& file) {
  static const std::map<std::string, std::string> kTypes = {{".html", "text/html"},
                                                            {".css", "text/css"},
                                                            {".js", "text/javascript"},
                                                            {".svg", "image/svg+xml"}};
  return kTypes.at(file.extension().string()) + "; charset=utf-8";
}

// What each of the console's JSON paths is taken for, and whether it is posted. One that is missing
// here fails the test: whoever adds a path says who may ask for it.
struct Taken {
  Access access;
  std::string body;  // of one that is posted
};
const std::map<std::string, Taken> kJsonPaths = {
    {"/console/engine", {Access::kLists, ""}},
    {"/console/versions", {Access::kLists, ""}},
    {"/console/training", {Access::kLists, R"({"version":"v"})"}},
    {"/console/rollback", {Access::kChanges, R"({"to":"v"})"}},
    {"/console/users", {Access::kLists, R"({"prefix":"","limit":1})"}},
    {"/console/items", {Access::kLists, R"({"prefix":"","limit":1})"}},
    {"/console/items/get", {Access::kLists, R"({"item_ids":["dragons-1"]})"}},
    {"/console/experiments", {Access::kLists, ""}},
    {"/console/report", {Access::kLists, R"({"experiment":"e","by":"day"})"}},
};
// Those of the contract that change the store.
const std::map<std::string, std::string> kChanging = {
    {"/v1/events", R"({"events":[]})"},
    {"/v1/items", R"({"items":[]})"},
    {"/v1/items/remove", R"({"item_ids":[]})"},
    {"/v1/users/delete", R"({"user_id":"nobody"})"},
};

class ConsoleHttpTest : public testing::Test {
 protected:
  ConsoleHttpTest() {
    engine = shop.open();
    shop.stock(*engine);
    handler.emplace(*engine);
    measured.emplace(*handler);
    console.emplace(
        *engine, *measured, shop.directory(), [] { return std::vector<PortFigures>(); },
        ConsoleRights{});
    const fs::path file = shop.directory() / "tokens";
    std::ofstream(file) << kToken << '\n';
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
    tokens = std::make_shared<const Tokens>(Tokens::read(file));
  }

  HttpService service(ConsoleMode mode, bool with_tokens = false) {
    return {.service = *measured,
            .metrics = [] { return std::string(); },
            .draining = [] { return std::string(); },
            .tokens = with_tokens ? tokens.get() : nullptr,
            .console = {mode, &*console}};
  }
  /// As a backend on this machine asks.
  static HttpCall call_of(std::string_view path, std::string_view body) {
    HttpCall call;
    call.method = body.empty() ? "GET" : "POST";
    call.target = path;
    call.content_type = "application/json";
    call.body = body;
    call.host = "localhost:7080";
    call.loopback = true;
    return call;
  }

  void start(ServerOptions options = {}, ConsoleMode mode = ConsoleMode::kOn) {
    options.port = 0;
    options.threads = 1;
    server.emplace(
        *measured, [] { return std::string("a_metric 1\n"); }, options, Console{mode, &*console});
    server->start();
  }
  Response ask(http::verb method, const std::string& path, const Headers& headers = {},
               const std::string& body = "") const {
    asio::io_context io;
    tcp::socket socket(io);
    socket.connect({asio::ip::address_v4::loopback(), server->port()});
    http::request<http::string_body> request(method, path, 11);
    request.set(http::field::host, "localhost");
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    for (const auto& [name, value] : headers) request.set(name, value);
    request.body() = body;
    request.prepare_payload();
    http::write(socket, request);
    http::response_parser<http::string_body> parser;
    parser.body_limit(64 << 20);
    parser.skip(method == http::verb::head);
    beast::flat_buffer buffer;
    http::read(socket, buffer, parser);
    return parser.release();
  }
  Response get(const std::string& path, const Headers& headers = {}) const {
    return ask(http::verb::get, path, headers);
  }

  engine::Shop shop;
  std::unique_ptr<engine::Engine> engine;
  std::optional<Handler> handler;
  std::optional<MeasuredService> measured;
  std::optional<ConsoleService> console;
  std::shared_ptr<const Tokens> tokens;
  std::optional<HttpServer> server;
};

TEST_F(ConsoleHttpTest, EveryFileIsServedAsItIsAndWithItsHeaders) {
  start();
  std::set<std::string> tags;
  std::set<std::string> served;
  for (const Asset& asset : console_assets()) served.insert(asset.path);
  std::set<std::string> expected;
  for (const auto& [path, file] : sources()) {
    expected.insert(path);
    const std::string content = file_bytes(file);
    const Response plain = get(path);
    EXPECT_EQ(plain.result_int(), 200U) << path;
    EXPECT_EQ(plain.count(http::field::content_encoding), 0U) << path;
    EXPECT_TRUE(plain.body() == content) << path;
    const Response gzip = get(path, {{"Accept-Encoding", "gzip, deflate, br, zstd"}});
    EXPECT_EQ(gzip[http::field::content_encoding], "gzip") << path;
    EXPECT_TRUE(gunzipped(gzip.body()) == content) << path;
    for (const Response& answer : {plain, gzip}) {
      EXPECT_EQ(answer[http::field::content_type], type_of(file)) << path;
      EXPECT_EQ(answer[http::field::cache_control], "no-cache") << path;
      EXPECT_EQ(answer[http::field::vary], "Accept-Encoding") << path;
      EXPECT_EQ(answer["Content-Security-Policy"],
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
      EXPECT_EQ(answer["X-Content-Type-Options"], "nosniff");
      EXPECT_EQ(answer["Referrer-Policy"], "no-referrer");
      EXPECT_EQ(answer["Cross-Origin-Opener-Policy"], "same-origin");
      EXPECT_EQ(answer["Cross-Origin-Resource-Policy"], "same-origin");
      EXPECT_EQ(answer.count("X-Request-Id"), 1U);
      const std::string tag(answer[http::field::etag]);
      EXPECT_THAT(tag, testing::MatchesRegex("\"[0-9a-f]{32}(-gzip)?\"")) << path;
      if (path != "/") {
        EXPECT_TRUE(tags.insert(tag).second) << path << " " << tag;
      }
    }
  }
  EXPECT_EQ(served, expected);
  EXPECT_EQ(get("/")[http::field::etag], get("/console/index.html")[http::field::etag]);
}

TEST_F(ConsoleHttpTest, HeadHasTheHeadersOfGetAndNoBody) {
  start();
  for (const auto& [path, file] : sources()) {
    for (const Headers& headers : {Headers{}, Headers{{"Accept-Encoding", "gzip"}}}) {
      Response whole = get(path, headers);
      Response head = ask(http::verb::head, path, headers);
      EXPECT_EQ(head.result_int(), 200U);
      EXPECT_EQ(head[http::field::content_length], std::to_string(whole.body().size())) << path;
      for (const auto& field : whole.base()) {
        if (field.name_string() != "X-Request-Id") {
          EXPECT_EQ(head[field.name_string()], field.value());
        }
      }
    }
  }
}

TEST_F(ConsoleHttpTest, AcceptEncodingDecidesWhetherItIsCompressed) {
  const HttpService to = service(ConsoleMode::kOn);
  const auto compressed = [&](const std::string& accept) {
    HttpCall call = call_of("/console/main.js", "");
    call.accept_encoding = accept;
    const HttpAnswer answer = dispatch(to, call);
    EXPECT_EQ(answer.status, 200U) << accept;
    const Asset& asset = *find_asset("/console/main.js");
    EXPECT_TRUE(answer.body == asset.gzip() || answer.body == asset.plain()) << accept;
    return answer.body == asset.gzip();
  };
  for (const char* taken :
       {"gzip", "GZip", "x-gzip", "br,gzip", "br;q=1.0, gzip;q=0.5", "gzip;q=0.001", "*",
        "identity;q=0, *;q=0.1", "  gzip  ", "*;q=0, gzip", "gzip;q=1"}) {
    EXPECT_TRUE(compressed(taken)) << taken;
  }
  for (const char* other : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "gzip;Q=0", "*;q=0",
                            "gzip;q=0, *", "*, gzip;q=0", "gzipped", "gzi", ",,;;,", ";q=1"}) {
    EXPECT_FALSE(compressed(other)) << other;
  }
}

TEST_F(ConsoleHttpTest, WhatABrowserHasIsNotSentAgain) {
  start();
  const std::string path = "/console/main.js";
  const std::string tag(get(path)[http::field::etag]);
  const std::string gzip_tag(get(path, {{"Accept-Encoding", "gzip"}})[http::field::etag]);
  EXPECT_NE(tag, gzip_tag);
  const auto status = [&](const std::string& if_none_match, const std::string& accept = "") {
    Headers headers{{"If-None-Match", if_none_match}};
    if (!accept.empty()) headers["Accept-Encoding"] = accept;
    return get(path, headers).result_int();
  };
  for (const std::string& same :
       {tag, "W/" + tag, "\"other\", " + tag, tag + ",\"other\"", std::string("*")}) {
    EXPECT_EQ(status(same), 304U) << same;
  }
  EXPECT_EQ(status(gzip_tag, "gzip"), 304U);
  for (const std::string& other : {gzip_tag, std::string("\"other\""), tag.substr(1),
                                   tag.substr(0, tag.size() - 1), std::string(",")}) {
    EXPECT_EQ(status(other), 200U) << other;
  }
  EXPECT_EQ(status(tag, "gzip"), 200U) << "the other form has other bytes";
  const Response kept = get(path, {{"If-None-Match", tag}});
  EXPECT_EQ(kept.body(), "");
  EXPECT_EQ(kept[http::field::etag], tag);
  EXPECT_EQ(kept[http::field::cache_control], "no-cache");
  EXPECT_EQ(kept.count(http::field::content_length), 0U);
  EXPECT_EQ(kept.count(http::field::content_type), 0U);
}

TEST_F(ConsoleHttpTest, ThereIsNoOtherPath) {
  start();
  for (const char* path :
       {"/console", "/console/", "//", "/console/Main.js", "/console/main.js?v=1", "/index.html",
        "/console/../main.js", "/console/%6dain.js", "/console/main.js/", "/console/engine/",
        "/console//main.js", "/main.js"}) {
    const Response answer = get(path);
    EXPECT_EQ(answer.result_int(), 404U) << path;
    EXPECT_THAT(answer.body(), AllOf(HasSubstr("there is no path '" + std::string(path) + "'"),
                                     HasSubstr("/v1/rank"), Not(HasSubstr(", /console"))));
  }
}

TEST_F(ConsoleHttpTest, WithoutAConsoleItsPathsAreAsUnknownAsAnyOther) {
  start({}, ConsoleMode::kOff);
  for (const Path& path : console_paths()) {
    const std::string name(path.path);
    const Response answer = get(name);
    EXPECT_EQ(answer.result_int(), 404U) << name;
    EXPECT_THAT(answer.body(),
                AllOf(HasSubstr("there is no path '" + name + "'"), Not(HasSubstr(", /console"))));
  }
}

TEST_F(ConsoleHttpTest, AFileIsReadAndNothingElse) {
  start();
  for (const http::verb method : {http::verb::post, http::verb::put, http::verb::delete_}) {
    const Response answer = ask(method, "/", {}, "{}");
    EXPECT_EQ(answer.result_int(), 405U);
    EXPECT_EQ(answer[http::field::allow], "GET, HEAD");
  }
  EXPECT_EQ(ask(http::verb::get, "/", {}, "{}").result_int(), 400U);
}

TEST_F(ConsoleHttpTest, FilesWaitForNoWorker) {
  const HttpService on = service(ConsoleMode::kOn);
  for (const Path& path : console_paths()) {
    EXPECT_EQ(answered_at_once(on, path.path), !kJsonPaths.contains(std::string(path.path)))
        << path.path;
  }
}

TEST_F(ConsoleHttpTest, WhatThePageAsksIsAnsweredAsTheServiceDoes) {
  start();
  const auto answer = [&](const std::string& path, const json::object& body) {
    const Response response = ask(http::verb::post, path, {}, json::serialize(body));
    EXPECT_EQ(response.result_int(), 200U) << response.body();
    EXPECT_EQ(response[http::field::content_type], "application/json");
    EXPECT_EQ(response[http::field::cache_control], "no-store");
    return json::parse(response.body());
  };
  const auto as_sent = [](const json::object& object) {  // numbers as they are read again
    return json::parse(json::serialize(object));
  };
  const json::value users = answer("/console/users", {{"prefix", "user-1"}, {"limit", 3}});
  EXPECT_EQ(users, as_sent(console->users("user-1", 3)));
  EXPECT_EQ(users.at("users").as_array().size(), 3U);
  const json::value items = answer("/console/items", {{"prefix", "dragons-"}, {"limit", 100}});
  EXPECT_EQ(items, as_sent(console->items("dragons-", 100)));
  EXPECT_EQ(items.at("items").as_array().size(), engine::Shop::kItemsPerKind);
  const std::vector<std::string> ids = {"dragons-1", "nobody", "dragons-0"};
  const json::value known = answer("/console/items/get", {{"item_ids", json::value_from(ids)}});
  EXPECT_EQ(known, as_sent(console->items(ids)));
  EXPECT_EQ(known.at("items").as_array().size(), 2U);
  EXPECT_EQ(json::parse(get("/console/experiments").body()), as_sent(console->experiments()));
  EXPECT_EQ(json::parse(get("/console/versions").body()), as_sent(console->versions()));
  EXPECT_EQ(json::parse(get("/console/engine").body()).at("items"), 80);
}

TEST_F(ConsoleHttpTest, TrainingReportsAndRollbacksReachTheService) {
  const std::string first = shop.publish(shop.learned_version(engine->db()));
  const std::string second = shop.publish(shop.learned_version(engine->db()));
  engine->reload();
  start();
  const auto post = [&](const std::string& path, const json::object& body) {
    return ask(http::verb::post, path, {}, json::serialize(body));
  };
  EXPECT_EQ(json::parse(post("/console/training", {{"version", first}}).body()),
            json::parse(json::serialize(console->training(first))));
  const Response begun = post("/console/rollback", {{"to", first}});
  EXPECT_EQ(begun.result_int(), 200U) << begun.body();
  EXPECT_EQ(json::parse(begun.body()).at("rollback").at("to"), json::value(first));
  const Response report = post("/console/report", {{"experiment", "none"}, {"by", "day"}});
  EXPECT_THAT(report.result_int(), testing::AnyOf(200U, 400U)) << report.body();
}

TEST_F(ConsoleHttpTest, AMistakeIsNamedWithItsField) {
  const HttpService to = service(ConsoleMode::kOn);
  const auto refusal = [&](const std::string& path, const std::string& body) {
    const HttpAnswer answer = dispatch(to, call_of(path, body));
    EXPECT_EQ(answer.status, 400U) << path << body;
    const json::value parsed = json::parse(answer.body);
    const json::object& error = parsed.at("error").as_object();
    const auto* field = error.if_contains("field");
    return (field == nullptr ? "" : std::string(field->as_string())) + ": " +
           std::string(error.at("message").as_string());
  };
  EXPECT_EQ(refusal("/console/users", R"({"prefix":"a"})"), "limit: limit is missing");
  EXPECT_EQ(refusal("/console/items", R"({"limit":1})"), "prefix: prefix is missing");
  EXPECT_THAT(refusal("/console/users", R"({"prefix":"a","limit":0})"), HasSubstr("limit: "));
  EXPECT_THAT(refusal("/console/items", R"({"prefix":"a","limit":101})"), HasSubstr("limit: "));
  EXPECT_THAT(refusal("/console/items", R"({"prefix":1,"limit":1})"), HasSubstr("prefix: "));
  EXPECT_EQ(refusal("/console/items/get", "{}"), "item_ids: item_ids is missing");
  EXPECT_THAT(refusal("/console/items/get", R"({"item_ids":["a",1]})"), HasSubstr("item_ids[1]: "));
  EXPECT_THAT(refusal("/console/training", R"({"versoin":"v"})"),
              HasSubstr("versoin: \"versoin\" is not a field of training"));
  EXPECT_THAT(refusal("/console/training", R"({"version":"../CURRENT"})"), HasSubstr("version: "));
  EXPECT_THAT(refusal("/console/rollback", R"({"to":"none"})"), HasSubstr("to: "));
  EXPECT_THAT(refusal("/console/report", R"({"experiment":"e","by":"year"})"), HasSubstr("by: "));
}

// Who may.

TEST_F(ConsoleHttpTest, EveryJsonPathSaysWhoMayAskForIt) {
  std::set<std::string> paths;
  for (const Path& path : console_paths()) {
    const std::string name(path.path);
    if (find_asset(name) != nullptr) {
      EXPECT_EQ(path.access, Access::kReads) << name;
      EXPECT_FALSE(path.posted) << name;
      continue;
    }
    paths.insert(name);
    ASSERT_TRUE(kJsonPaths.contains(name)) << name;
    EXPECT_EQ(path.access, kJsonPaths.at(name).access) << name;
    EXPECT_EQ(path.posted, !kJsonPaths.at(name).body.empty()) << name;
  }
  EXPECT_EQ(paths.size(), kJsonPaths.size());
}

/// The status codes of a change that comes from: no browser, this server's page, another one, a
/// page without a name, and this server's address in another scheme.
std::vector<unsigned> statuses(const HttpService& to, HttpCall call) {
  std::vector<unsigned> result;
  const std::string host(call.host);
  const std::string scheme = call.encrypted ? "https://" : "http://";
  const std::string other = call.encrypted ? "http://" : "https://";
  for (const auto& origin : {std::optional<std::string>(), std::optional(scheme + host),
                             std::optional<std::string>("http://shop.example"),
                             std::optional<std::string>("null"), std::optional(other + host)}) {
    call.origin.reset();
    if (origin) call.origin = *origin;
    result.push_back(dispatch(to, call).status);
  }
  return result;
}

TEST_F(ConsoleHttpTest, APageMayChangeTheStoreOnlyWhereItIsTheConsolesOwn) {
  for (const auto& [path, body] : kChanging) {
    for (const bool encrypted : {false, true}) {
      HttpCall call = call_of(path, body);
      call.encrypted = encrypted;
      EXPECT_THAT(statuses(service(ConsoleMode::kOn), call), ElementsAre(200, 200, 403, 403, 403));
      for (const ConsoleMode mode : {ConsoleMode::kReadOnly, ConsoleMode::kOff}) {
        EXPECT_THAT(statuses(service(mode), call), ElementsAre(200, 403, 403, 403, 403)) << path;
      }
    }
  }
}

TEST_F(ConsoleHttpTest, APageMayRollBackOnlyWhereItIsTheConsolesOwn) {
  const HttpCall call = call_of("/console/rollback", R"({"to":"none"})");
  EXPECT_THAT(statuses(service(ConsoleMode::kOn), call), ElementsAre(400, 400, 403, 403, 403));
  EXPECT_THAT(statuses(service(ConsoleMode::kReadOnly), call),
              ElementsAre(403, 403, 403, 403, 403));
  EXPECT_THAT(statuses(service(ConsoleMode::kOff), call), ElementsAre(404, 404, 404, 404, 404));
}

TEST_F(ConsoleHttpTest, AnOriginIsThisServersOnlyAsAWhole) {
  const HttpService to = service(ConsoleMode::kOn);
  const std::string body = R"({"user_id":"nobody"})";
  HttpCall call = call_of("/v1/users/delete", body);
  for (const char* origin :
       {"", "localhost:7080", "http://localhost", "http://localhost:70801", "http://localhost:708",
        "http://localhost:7080/", "http://localhost:7080, http://shop.example",
        "http://shop.example/?http://localhost:7080", "HTTP://localhost:7080 "}) {
    call.origin = origin;
    EXPECT_EQ(dispatch(to, call).status, 403U) << origin;
  }
  const std::string long_one(5000, '\x01');
  call.origin = long_one;
  const HttpAnswer answer = dispatch(to, call);
  EXPECT_EQ(answer.status, 403U);
  EXPECT_LT(answer.body.size(), 500U);
  EXPECT_THAT(answer.message, AllOf(HasSubstr("???..."), HasSubstr("http://localhost:7080")));
}

TEST_F(ConsoleHttpTest, WhatReadsMayComeFromAnyPageThatMaySendIt) {
  HttpCall call = call_of("/v1/rank", R"({"user_id":"user-0"})");
  for (const ConsoleMode mode : {ConsoleMode::kOn, ConsoleMode::kReadOnly, ConsoleMode::kOff}) {
    EXPECT_THAT(statuses(service(mode), call), ElementsAre(200, 200, 200, 200, 200));
  }
}

TEST_F(ConsoleHttpTest, ThePagesChangesNeedTheTokenAsOthersDo) {
  const HttpService to = service(ConsoleMode::kOn, true);
  for (const auto& [path, body] : kChanging) {
    HttpCall call = call_of(path, body);
    EXPECT_THAT(statuses(to, call), ElementsAre(401, 401, 403, 403, 403)) << path;
    call.authorization = "Bearer a token of somebody";
    EXPECT_THAT(statuses(to, call), ElementsAre(401, 401, 403, 403, 403)) << path;
    const std::string right = std::string("Bearer ") + kToken;
    call.authorization = right;
    EXPECT_THAT(statuses(to, call), ElementsAre(200, 200, 403, 403, 403)) << path;
    EXPECT_THAT(statuses(service(ConsoleMode::kReadOnly, true), call),
                ElementsAre(200, 403, 403, 403, 403))
        << path;
  }
  HttpCall rollback = call_of("/console/rollback", R"({"to":"none"})");
  EXPECT_EQ(dispatch(to, rollback).status, 401U);
  const std::string right = std::string("Bearer ") + kToken;
  rollback.authorization = right;
  EXPECT_EQ(dispatch(to, rollback).status, 400U) << "there is no such version";
}

TEST_F(ConsoleHttpTest, WhatListsUsersNeedsATokenWhereOtherMachinesConnect) {
  for (const auto& [path, taken] : kJsonPaths) {
    if (taken.access != Access::kLists) continue;
    HttpCall call = call_of(path, taken.body);
    const auto status = [&](bool with_tokens) {
      return dispatch(service(ConsoleMode::kOn, with_tokens), call).status;
    };
    EXPECT_THAT(status(false), testing::AnyOf(200U, 400U)) << path;
    EXPECT_THAT(status(true), testing::AnyOf(200U, 400U)) << path << ", which changes nothing";
    call.loopback = false;
    EXPECT_EQ(status(false), 403U) << path;
    EXPECT_THAT(dispatch(service(ConsoleMode::kOn), call).message, HasSubstr("--token-file"));
    EXPECT_EQ(status(true), 401U) << path;
    const std::string right = std::string("Bearer ") + kToken;
    call.authorization = right;
    EXPECT_EQ(status(false), 403U) << path << ": whose token would that be";
    EXPECT_THAT(status(true), testing::AnyOf(200U, 400U)) << path;
  }
}

TEST_F(ConsoleHttpTest, TheServerTellsWhoConnectsAndForWhichPage) {
  start();
  const std::string path = "/v1/users/delete";
  const std::string body = R"({"user_id":"nobody"})";
  const std::string own = "localhost:" + std::to_string(server->port());
  const auto status = [&](const Headers& headers) {
    return ask(http::verb::post, path, headers, body).result_int();
  };
  EXPECT_EQ(status({}), 200U);
  EXPECT_EQ(status({{"Host", own}, {"Origin", "http://" + own}}), 200U);
  EXPECT_EQ(status({{"Host", own}, {"Origin", "http://shop.example"}}), 403U);
  EXPECT_EQ(status({{"Host", own}, {"Origin", ""}}), 403U);
  EXPECT_EQ(status({{"Host", "shop.example"}, {"Origin", "http://shop.example"}}), 421U)
      << "a name that was made to lead here";
  EXPECT_EQ(ask(http::verb::post, "/console/users", {}, R"({"prefix":"","limit":1})").result_int(),
            200U);
}

TEST_F(ConsoleHttpTest, WhereOtherMachinesConnectThePageComesAndItsListsNeedAToken) {
  const std::string body = R"({"prefix":"","limit":1})";
  start({.host = "0.0.0.0", .insecure = true});
  EXPECT_EQ(get("/").result_int(), 200U);
  EXPECT_EQ(ask(http::verb::post, "/console/users", {}, body).result_int(), 403U);
  start({.host = "0.0.0.0", .insecure = true, .tokens = tokens});
  EXPECT_EQ(get("/").result_int(), 200U);
  const Response refused = ask(http::verb::post, "/console/users", {}, body);
  EXPECT_EQ(refused.result_int(), 401U);
  EXPECT_EQ(refused[http::field::www_authenticate], "Bearer realm=\"fovea\"");
  EXPECT_EQ(ask(http::verb::post, "/console/users",
                {{"Authorization", std::string("Bearer ") + kToken}}, body)
                .result_int(),
            200U);
}

TEST(ConsoleModeTest, TheSettingHasThreeWords) {
  EXPECT_EQ(parse_console_mode("on"), ConsoleMode::kOn);
  EXPECT_EQ(parse_console_mode("read-only"), ConsoleMode::kReadOnly);
  EXPECT_EQ(parse_console_mode("off"), ConsoleMode::kOff);
  for (const char* wrong : {"", "On", "readonly", "true"}) {
    EXPECT_THROW(parse_console_mode(wrong), std::invalid_argument) << wrong;
  }
}

}  // namespace
}  // namespace fovea::api
