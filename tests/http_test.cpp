// The HTTP port's promises, over real sockets: every path answers as the service does, what is
// wrong is named, limits and timeouts hold, and the end is told before it comes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <latch>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/handler.h"
#include "api/http_server.h"
#include "api/json.h"
#include "api/measured_service.h"
#include "api/wire_json.h"
#include "engine/experiments.h"
#include "tests/eventually.h"
#include "tests/shop.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
using asio::ip::tcp;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

using Response = http::response<http::string_body>;

/// A client that sends what it likes. Every read has a time limit, so that a server that does not
/// answer fails the test instead of holding it.
class Peer {
 public:
  explicit Peer(std::uint16_t port) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
    const timeval limit{20, 0};
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  void send(const std::string& bytes) {
    beast::error_code error;  // the server may have closed already; reading tells
    asio::write(socket_, asio::buffer(bytes), error);
  }

  /// The next answer; absent: the server has closed. `to_head`: no body follows the header.
  std::optional<Response> receive(bool to_head = false) {
    http::response_parser<http::string_body> parser;
    parser.body_limit(64 << 20);
    parser.skip(to_head);
    beast::error_code error;
    http::read(socket_, buffer_, parser, error);
    if (error) return std::nullopt;
    return parser.release();
  }

  /// Whether the connection ends without another byte.
  bool ends() {
    char byte = 0;
    beast::error_code error;
    const std::size_t bytes = socket_.read_some(asio::buffer(&byte, 1), error);
    return buffer_.size() + bytes == 0 &&
           (error == asio::error::eof || error == asio::error::connection_reset);
  }

 private:
  asio::io_context io_;
  tcp::socket socket_{io_};
  beast::flat_buffer buffer_;
};

std::string get(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

std::string post(const std::string& target, const std::string& body,
                 const std::string& type = "application/json") {
  return "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

json::object body_of(const std::optional<Response>& response) {
  if (!response) throw std::runtime_error("the server has closed");
  return json::parse(response->body()).as_object();
}

/// "field: message" of an error.
std::string error_in(const std::optional<Response>& response) {
  const json::object body = body_of(response);
  const json::object& error = body.at("error").as_object();
  const auto* field = error.if_contains("field");
  return (field == nullptr ? "" : std::string(field->as_string()) + ": ") +
         std::string(error.at("message").as_string());
}

/// Answers getHistory when the gate opens, fails as it is told to, and the rest at once.
class Gate : public FoveaNull {
 public:
  void status(Status& status) override { status.version = "gate"; }
  void getHistory(std::vector<Event>& events, const std::string& user_id, std::int32_t) override {
    ++waiting;
    open.wait();
    events.emplace_back().user_id = user_id;
  }
  void rank(RankResponse& response, const RankRequest& request) override {
    if (request.query == "overloaded") {
      Overloaded overloaded;
      overloaded.message = "later";
      overloaded.retry_after_ms = 1500;
      throw overloaded;
    }
    if (request.query == "unavailable") {
      Unavailable unavailable;
      unavailable.message = "the disk is full";
      throw unavailable;
    }
    if (request.query == "broken") throw std::logic_error("a secret of ours");
    response.request_id = request.user_id;
    response.items.resize(static_cast<std::size_t>(request.limit));
  }

  std::atomic<int> waiting{0};
  std::latch open{1};
};

class HttpServerTest : public testing::Test {
 protected:
  HttpServer& start(ServerOptions options = {}) {
    options.port = 0;
    if (options.threads == 0) options.threads = 2;
    server.emplace(gate, [] { return std::string("a_metric 1\n"); }, options);
    server->start();
    return *server;
  }
  void TearDown() override {
    if (!gate.open.try_wait()) gate.open.count_down();
  }
  std::optional<Response> ask(const std::string& request) {
    Peer peer(server->port());
    peer.send(request);
    return peer.receive();
  }

  Gate gate;
  std::optional<HttpServer> server;
};

TEST_F(HttpServerTest, HealthAndMetricsAnswerWhileEveryWorkerIsBusy) {
  start({.threads = 1});
  Peer waiting(server->port());
  waiting.send(post("/v1/history", R"({"user_id":"ann","limit":1})"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  EXPECT_EQ(ask(get("/livez"))->result_int(), 200U);
  EXPECT_EQ(ask(get("/readyz"))->result_int(), 200U);
  EXPECT_EQ(ask(get("/metrics"))->result_int(), 200U);
  EXPECT_EQ(server->requests(), 1U);
}

TEST_F(HttpServerTest, DrainingTurnsReadyzAndNothingElse) {
  start();
  server->drain();
  const auto ready = ask(get("/readyz"));
  EXPECT_EQ(ready->result_int(), 503U);
  EXPECT_THAT(error_in(ready), HasSubstr("ending"));
  EXPECT_EQ(ask(get("/livez"))->result_int(), 200U);
  EXPECT_EQ(ask(post("/v1/rank", R"({"user_id":"ann"})"))->result_int(), 200U);
}

TEST_F(HttpServerTest, StoppingAnswersWhatIsInFlightAndClosesTheRest) {
  start();
  Peer idle(server->port());
  Peer waiting(server->port());
  waiting.send(post("/v1/history", R"({"user_id":"ann","limit":1})"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  std::thread stopping([&] { server->stop(); });
  EXPECT_TRUE(idle.ends());
  gate.open.count_down();
  const auto answer = waiting.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result_int(), 200U);
  EXPECT_FALSE(answer->keep_alive());
  EXPECT_TRUE(waiting.ends());
  stopping.join();
  EXPECT_THROW(Peer{server->port()}, boost::system::system_error);
}

TEST_F(HttpServerTest, MetricsAreText) {
  start();
  const auto answer = ask(get("/metrics"));
  EXPECT_EQ(answer->body(), "a_metric 1\n");
  EXPECT_THAT(std::string((*answer)[http::field::content_type]), HasSubstr("version=0.0.4"));
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  std::string requests;
  constexpr int kRequests = 200;
  for (int i = 0; i < kRequests; ++i) {
    requests += post("/v1/rank", R"({"user_id":")" + std::to_string(i) + R"(","limit":1})");
  }
  Peer peer(server->port());
  peer.send(requests);
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_EQ(body_of(peer.receive()).at("request_id").as_string(), std::to_string(i));
  }
}

TEST_F(HttpServerTest, ARequestMayArriveByteByByteAndInChunks) {
  start();
  Peer peer(server->port());
  for (const char byte : post("/v1/rank", R"({"user_id":"ann"})")) peer.send(std::string(1, byte));
  EXPECT_EQ(body_of(peer.receive()).at("request_id").as_string(), "ann");
  peer.send(
      "POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"use\r\nd\r\nr_id\":\"bob\"} \r\n0\r\n\r\n");
  EXPECT_EQ(body_of(peer.receive()).at("request_id").as_string(), "bob");
}

TEST_F(HttpServerTest, HeadHasTheHeaderOfGetAndNoBody) {
  start();
  const auto whole = ask(get("/v1/status"));
  Peer peer(server->port());
  peer.send("HEAD /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/livez"));
  const auto head = peer.receive(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->result_int(), 200U);
  EXPECT_EQ((*head)[http::field::content_length], std::to_string(whole->body().size()));
  EXPECT_EQ(body_of(peer.receive()), json::object({{"live", true}}));  // it follows at once
}

TEST_F(HttpServerTest, ConnectionsStayOpenUnlessThePeerWantsThemClosed) {
  start();
  Peer peer(server->port());
  peer.send(get("/livez"));
  EXPECT_TRUE(peer.receive()->keep_alive());
  peer.send("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(peer.receive()->result_int(), 200U);
  EXPECT_TRUE(peer.ends());
  Peer old(server->port());
  old.send("GET /livez HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.receive()->result_int(), 200U);
  EXPECT_TRUE(old.ends());
}

TEST_F(HttpServerTest, ABodyIsAskedForWhenThePeerWaitsForThat) {
  start();
  Peer peer(server->port());
  const std::string body = R"({"user_id":"ann"})";
  peer.send(
      "POST /v1/rank HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\nContent-Type: application/json\r\n\r\n");
  EXPECT_EQ(peer.receive(true)->result_int(), 100U);
  peer.send(body);
  EXPECT_EQ(body_of(peer.receive()).at("request_id").as_string(), "ann");
}

TEST_F(HttpServerTest, AnUnknownPathIsToldWhichThereAre) {
  start();
  for (const char* target : {"/v1/rank/", "/v1/rank?a=b", "/", "*", "/v1/%72ank", "/../livez"}) {
    const auto answer = ask(post(target, "{}"));
    EXPECT_EQ(answer->result_int(), 404U) << target;
    EXPECT_THAT(error_in(answer), HasSubstr("/v1/users/delete"));
  }
}

TEST_F(HttpServerTest, AWrongMethodIsToldTheRightOne) {
  start();
  for (const char* method : {"GET", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const auto answer = ask(std::string(method) + " /v1/rank HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(answer->result_int(), 405U) << method;
    EXPECT_EQ((*answer)[http::field::allow], "POST");
  }
  const auto answer = ask(post("/v1/status", "{}"));
  EXPECT_EQ(answer->result_int(), 405U);
  EXPECT_EQ((*answer)[http::field::allow], "GET, HEAD");
}

TEST_F(HttpServerTest, AnotherTypeThanJsonIsRefused) {
  start();
  for (const char* type :
       {"text/plain", "application/x-www-form-urlencoded", "application/jsonp"}) {
    EXPECT_EQ(ask(post("/v1/rank", R"({"user_id":"a"})", type))->result_int(), 415U) << type;
  }
  for (const char* type : {"Application/JSON", "application/json; charset=utf-8"}) {
    EXPECT_EQ(ask(post("/v1/rank", R"({"user_id":"a"})", type))->result_int(), 200U) << type;
  }
}

TEST_F(HttpServerTest, ErrorsOfTheServiceHaveTheirStatus) {
  start();
  const auto overloaded = ask(post("/v1/rank", R"({"query":"overloaded"})"));
  EXPECT_EQ(overloaded->result_int(), 503U);
  EXPECT_EQ((*overloaded)[http::field::retry_after], "2");  // 1,500 ms
  EXPECT_EQ(error_in(overloaded), "later");
  const auto unavailable = ask(post("/v1/rank", R"({"query":"unavailable"})"));
  EXPECT_EQ(unavailable->result_int(), 503U);
  EXPECT_EQ(unavailable->count(http::field::retry_after), 0U);
  EXPECT_EQ(error_in(unavailable), "the disk is full");
  const auto broken = ask(post("/v1/rank", R"({"query":"broken"})"));
  EXPECT_EQ(broken->result_int(), 500U);
  EXPECT_THAT(broken->body(), Not(HasSubstr("secret")));
}

TEST_F(HttpServerTest, GarbageIsToldSoAndClosed) {
  start();
  for (const std::string& bytes :
       {std::string("\x80\x01\x00\x01\r\n\r\n", 8), std::string("GET /livez\r\n\r\n"),
        std::string("GET /livez HTTP/1.1\r\nno colon\r\n\r\n"),
        std::string("GET  HTTP/1.1\r\n\r\n"),
        std::string("POST /v1/rank HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("POST /v1/rank HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        std::string("POST /v1/rank HTTP/1.1\r\nContent-Length: 2\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n{}")}) {
    Peer peer(server->port());
    peer.send(bytes);
    const auto answer = peer.receive();
    ASSERT_TRUE(answer) << bytes;
    EXPECT_EQ(answer->result_int(), 400U) << bytes;
    EXPECT_TRUE(peer.ends());
  }
}

TEST_F(HttpServerTest, AHeaderOverTheLimitIsToldSoAndClosed) {
  start();
  Peer peer(server->port());
  peer.send("GET /livez HTTP/1.1\r\nX: " + std::string(200'000, 'x') + "\r\n\r\n");
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result_int(), 431U);
  EXPECT_THAT(error_in(answer), HasSubstr("8192"));
  EXPECT_TRUE(peer.ends());
}

TEST_F(HttpServerTest, ABodyOverTheLimitIsToldSoAndClosed) {
  start({.frame_bytes_max = 1000});
  // All of it is sent: the answer must arrive although nobody reads the rest.
  Peer claimed(server->port());
  claimed.send(post("/v1/rank", std::string(500'000, ' ')));
  auto answer = claimed.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result_int(), 413U);
  EXPECT_THAT(error_in(answer), HasSubstr("1000 bytes"));
  EXPECT_TRUE(claimed.ends());
  Peer chunked(server->port());
  chunked.send("POST /v1/rank HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" +
               std::string(1024, ' ') + "\r\n0\r\n\r\n");
  answer = chunked.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result_int(), 413U);
  EXPECT_EQ(ask(post("/v1/rank", R"({"user_id":"a"})" + std::string(983, ' ')))->result_int(),
            200U);
}

TEST_F(HttpServerTest, AnAnswerOverTheLimitIsAnErrorInItsPlace) {
  start({.reply_bytes_max = 1000});
  const auto answer = ask(post("/v1/rank", R"({"user_id":"a","limit":1000})"));
  EXPECT_EQ(answer->result_int(), 500U);
  EXPECT_THAT(error_in(answer), HasSubstr("longer than 1000 bytes"));
}

TEST_F(HttpServerTest, ARequestThatTakesTooLongIsToldSoAndClosedHoweverOftenAByteComes) {
  start({.read_timeout = milliseconds{300}});
  const std::string request = post("/v1/rank", std::string(10'000, ' '));
  Peer peer(server->port());
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<bool> done{false};
  peer.send(request.substr(0, 200));
  std::thread slow([&] {
    for (std::size_t i = 200; i < request.size() && !done; ++i) {
      peer.send(request.substr(i, 1));
      std::this_thread::sleep_for(milliseconds{50});
    }
  });
  const auto answer = peer.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->result_int(), 408U);
  EXPECT_THAT(error_in(answer), HasSubstr("300 ms"));
  EXPECT_TRUE(peer.ends());
  done = true;
  slow.join();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds{300});
}

TEST_F(HttpServerTest, AnIdleConnectionIsClosedAndABusyOneIsNot) {
  start({.idle_timeout = milliseconds{400}});
  Peer idle(server->port());
  Peer waiting(server->port());
  waiting.send(post("/v1/history", R"({"user_id":"ann","limit":1})"));
  EXPECT_TRUE(idle.ends());
  gate.open.count_down();
  EXPECT_TRUE(waiting.receive());
}

TEST_F(HttpServerTest, RequestsOverTheLimitAreRefusedWhileOthersWait) {
  start({.requests_max = 1});
  Peer waiting(server->port());
  waiting.send(post("/v1/history", R"({"user_id":"ann","limit":1})"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  const auto refused = ask(post("/v1/rank", "{}"));
  EXPECT_EQ(refused->result_int(), 503U);
  EXPECT_EQ((*refused)[http::field::retry_after], "1");
  EXPECT_EQ(server->refused(), 1U);
  EXPECT_EQ(ask(get("/metrics"))->result_int(), 200U);
  gate.open.count_down();
  EXPECT_EQ(waiting.receive()->result_int(), 200U);
  EXPECT_EQ(ask(post("/v1/rank", R"({"user_id":"a"})"))->result_int(), 200U);
}

TEST_F(HttpServerTest, ConnectionsOverTheLimitAreClosedAtOnce) {
  start({.connections_max = 1});
  Peer first(server->port());
  ASSERT_TRUE(eventually([&] { return server->connections() == 1; }));
  Peer second(server->port());
  EXPECT_TRUE(second.ends());
}

TEST_F(HttpServerTest, OtherMachinesAreNotServedUnlessAskedTo) {
  HttpServer refused(gate, [] { return std::string(); }, {.host = "0.0.0.0", .port = 0});
  try {
    refused.start();
    FAIL() << "it listens";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--insecure"));
  }
}

std::string status_of(const std::string& host) {
  return "GET /v1/status HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
}

TEST_F(HttpServerTest, OnLoopbackAnotherHostThanThisMachineIsRefused) {
  start();
  for (const char* host :
       {"localhost", "LocalHost:7080", "127.0.0.1", "127.0.0.1:1", "[::1]:7080"}) {
    EXPECT_EQ(ask(status_of(host))->result_int(), 200U) << host;
  }
  for (const char* host : {"rebound.example", "rebound.example:7080", "localhost.example",
                           "10.0.0.1", "127.0.0.1.example", "[", "[]", ":", "[2001:db8::1]"}) {
    const auto answer = ask(status_of(host));
    EXPECT_EQ(answer->result_int(), 421U) << host;
    EXPECT_THAT(error_in(answer), HasSubstr("localhost"));
  }
  EXPECT_EQ(ask("GET /v1/status HTTP/1.0\r\n\r\n")->result_int(), 200U)
      << "no browser leaves it out";
}

TEST_F(HttpServerTest, WhereOtherMachinesConnectAnyHostIsTaken) {
  start({.host = "0.0.0.0", .insecure = true});
  EXPECT_EQ(ask(status_of("shop.example"))->result_int(), 200U);
}

/// A served shop; each answer is compared with the service's own.
class HttpContract : public testing::Test {
 protected:
  HttpContract() {
    engine = shop.open();
    shop.stock(*engine);
    shop.publish(shop.learned_version(engine->db()));
    engine->reload();
    handler.emplace(*engine);
    service.emplace(*handler);
    server.emplace(*service, [this] { return metrics(); }, ServerOptions{.port = 0, .threads = 2});
    server->start();
    peer.emplace(server->port());
  }

  std::string metrics() {
    const std::vector<PortFigures> ports = {
        {"http", server->connections(), server->requests(), server->refused()}};
    return service->metrics_text(ports, {engine->figures().exposures, config_taken});
  }
  std::optional<Response> ask(const std::string& request) {
    peer->send(request);
    return peer->receive();
  }
  json::object answer(const std::string& target, const std::string& body) {
    const auto response = ask(post(target, body));
    EXPECT_EQ(response->result_int(), 200U) << response->body();
    return body_of(response);
  }
  /// "field: message" that a 400 tells.
  std::string refusal(const std::string& target, const std::string& body) {
    const auto response = ask(post(target, body));
    EXPECT_EQ(response->result_int(), 400U) << response->body();
    return error_in(response);
  }
  /// Without what differs from one answer to the next.
  static json::object comparable(json::object response) {
    response.erase("request_id");
    response.erase("stage_us");
    return response;
  }
  json::object ranked(const RankRequest& request) {
    RankResponse response;
    handler->rank(response, request);
    return comparable(json::parse(json::serialize(to_json(response))).as_object());
  }

  engine::Shop shop;
  std::unique_ptr<engine::Engine> engine;
  std::optional<Handler> handler;
  std::optional<MeasuredService> service;
  std::optional<bool> config_taken;
  std::optional<HttpServer> server;
  std::optional<Peer> peer;
};

TEST_F(HttpContract, RankAnswersAsTheServiceDoesWhateverIsAskedFor) {
  RankRequest request;
  request.__set_user_id("user-0");
  Event viewed;
  viewed.item_id = engine::Shop::id(2, 1);
  viewed.action = "view";
  request.__set_session({viewed});
  request.__set_query("dragons");
  request.__set_seed_items({engine::Shop::id(1, 1)});
  request.__set_limit(7);
  request.__set_exclude_items({engine::Shop::id(0, 3)});
  request.__set_include_seen(true);
  request.__set_explain(true);
  request.__set_diversity(0.25);
  Pin pin;
  pin.item_id = engine::Shop::id(3, 5);
  pin.position = 2;
  request.__set_pins({pin});
  Boost boost;
  boost.filter = "kind = 'dragons'";
  boost.add = 1.5;
  request.__set_boosts({boost});
  const json::object body = {
      {"user_id", "user-0"},
      {"session", {{{"item_id", viewed.item_id}, {"action", "view"}}}},
      {"query", "dragons"},
      {"seed_items", {engine::Shop::id(1, 1)}},
      {"limit", 7},
      {"exclude_items", json::array{json::value(engine::Shop::id(0, 3))}},
      {"include_seen", true},
      {"explain", true},
      {"diversity", 0.25},
      {"filter", nullptr},
      {"pins", json::array{{{"item_id", pin.item_id}, {"position", 2}}}},
      {"boosts", json::array{{{"filter", boost.filter}, {"add", 1.5}}}},
  };
  json::object fixed = body;
  fixed["session"] = json::array{{{"item_id", viewed.item_id}, {"action", "view"}}};
  fixed["seed_items"] = json::array{json::value(engine::Shop::id(1, 1))};
  const json::object answered = comparable(answer("/v1/rank", json::serialize(fixed)));
  EXPECT_EQ(answered.at("items").as_array().size(), 7U);
  EXPECT_EQ(answered, ranked(request));
}

TEST_F(HttpContract, ASearchSaysWhatItSearchedForAndWhatItFound) {
  RankRequest request;
  request.__set_query("dargons ");
  request.__set_limit(2);
  request.__set_explain(true);
  const json::object found =
      comparable(answer("/v1/rank", R"({"query":"dargons ","limit":2,"explain":true})"));
  EXPECT_EQ(found, ranked(request));
  EXPECT_EQ(found.at("corrected_query"), "dragons ");
  const json::object& why = found.at("items").at(0).at("explanation").as_object();
  EXPECT_EQ(why.at("matched_words"), json::array{json::value("dragons")});
  EXPECT_TRUE(why.contains("similarity"));
  const json::object plain = answer("/v1/rank", R"({"user_id":"user-0","limit":1,"explain":true})");
  EXPECT_FALSE(plain.contains("corrected_query"));
  EXPECT_FALSE(plain.at("items").at(0).at("explanation").as_object().contains("matched_words"));
  EXPECT_FALSE(plain.at("items").at(0).at("explanation").as_object().contains("similarity"));
}

TEST_F(HttpContract, CandidatesCapsFiltersAndPagesAreTaken) {
  RankRequest request;
  request.__set_user_id("user-0");
  request.__set_candidates({engine::Shop::id(1, 1), "nobody"});
  Cap cap;
  cap.attribute = "kind";
  cap.at_most = 1;
  request.__set_caps({cap});
  const json::object first = answer(
      "/v1/rank",
      json::serialize(json::object{
          {"user_id", "user-0"},
          {"candidates", json::array{json::value(engine::Shop::id(1, 1)), json::value("nobody")}},
          {"caps", json::array{json::value{{"attribute", "kind"}, {"at_most", 1}}}}}));
  EXPECT_EQ(comparable(first), ranked(request));
  EXPECT_EQ(first.at("unknown_candidates").as_array().size(), 1U);
  const json::object page = answer("/v1/rank", R"({"user_id":"user-0","limit":2})");
  const json::object next =
      answer("/v1/rank",
             json::serialize(json::object{
                 {"user_id", "user-0"}, {"limit", 2}, {"page_token", page.at("next_page_token")}}));
  EXPECT_NE(next.at("items"), page.at("items"));
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"u","filter":"kind ="})"), HasSubstr("filter: "));
}

TEST_F(HttpContract, RankManyAnswersEachInOrder) {
  const json::object both =
      answer("/v1/rankMany",
             R"({"requests":[{"user_id":"user-0","limit":3},{"query":"dragons","limit":2}]})");
  RankRequest first;
  first.__set_user_id("user-0");
  first.__set_limit(3);
  RankRequest second;
  second.__set_query("dragons");
  second.__set_limit(2);
  const json::array& responses = both.at("responses").as_array();
  ASSERT_EQ(responses.size(), 2U);
  EXPECT_EQ(comparable(responses[0].as_object()), ranked(first));
  EXPECT_EQ(comparable(responses[1].as_object()), ranked(second));
  EXPECT_EQ(answer("/v1/rankMany", R"({"requests":[]})").at("responses"), json::array());
}

TEST_F(HttpContract, WhatIsRecordedIsInTheHistoryUntilTheUserIsDeleted) {
  const std::string event =
      R"({"user_id":"ada","item_id":"dragons-1","action":"view","time_ms":1700000000000,)"
      R"("value":2.5,"event_id":"e-1"})";
  EXPECT_EQ(answer("/v1/events", R"({"events":[)" + event + "," + event + "]}").at("recorded"), 1);
  std::vector<Event> stored;
  handler->getHistory(stored, "ada", 10);
  ASSERT_EQ(stored.size(), 1U);
  const json::object history = answer("/v1/history", R"({"user_id":"ada","limit":10})");
  EXPECT_EQ(history.at("events").as_array().at(0),
            json::parse(json::serialize(to_json(stored.at(0)))));
  EXPECT_EQ(stored.at(0).value, 2.5);
  EXPECT_EQ(answer("/v1/users/delete", R"({"user_id":"ada"})"), json::object());
  EXPECT_EQ(answer("/v1/history", R"({"user_id":"ada","limit":10})").at("events"), json::array());
}

TEST_F(HttpContract, ItemsArePutReadAndRemoved) {
  const std::string item =
      R"({"item_id":"n","text":"Nöw","attributes":{"a":["x","y"],"b":true,"c":1.5,"d":"t"}})";
  EXPECT_EQ(answer("/v1/items", R"({"items":[)" + item + "]}").at("put"), 1);
  const json::object got = answer("/v1/items/get", R"({"item_ids":["none","n"]})");
  EXPECT_EQ(got.at("items"), json::array({json::parse(item)}));
  EXPECT_EQ(answer("/v1/items/remove", R"({"item_ids":["none","n"]})").at("removed"), 1);
  EXPECT_EQ(answer("/v1/items/get", R"({"item_ids":["n"]})").at("items"), json::array());
}

TEST_F(HttpContract, StatusTellsWhatIsServed) {
  Status status;
  handler->status(status);
  json::object told = body_of(ask(get("/v1/status")));
  json::object expected = to_json(status);
  EXPECT_GE(told.at("uptime_ms").as_int64(), 0);
  told.erase("uptime_ms");
  expected.erase("uptime_ms");
  EXPECT_EQ(told, expected);
}

TEST_F(HttpContract, AMistakeIsNamedWithItsField) {
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"u","limitt":2})"),
              HasSubstr("limitt: \"limitt\" is not a field of a rank request"));
  EXPECT_EQ(refusal("/v1/rank", R"({"user_id":"u","limit":"2"})"),
            "limit: limit is the string \"2\"; a whole number is expected");
  EXPECT_EQ(refusal("/v1/rank", R"({"user_id":"u","limit":5000000000})"),
            "limit: limit is the number 5000000000; a whole number from -2147483648 to 2147483647 "
            "is expected");
  EXPECT_EQ(refusal("/v1/rank", R"({"user_id":"u","limit":2000})"),
            "limit: limit is 2000; 1 to 1000 is expected");
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"u","explain":1})"),
              HasSubstr("explain: explain is the number 1; true or false"));
  EXPECT_THAT(refusal("/v1/rank", R"({"seed_items":["a",2]})"), HasSubstr("seed_items[1]: "));
  EXPECT_THAT(refusal("/v1/rank", R"({"session":[{"item_id":"a","when":2}]})"),
              HasSubstr("session[0].when: "));
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"u","pins":[{"item_id":"a"}]})"),
              HasSubstr("pins[0].position: position is missing"));
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"u","deadline_ms":0})"),
              HasSubstr("deadline_ms: "));
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"u","variants":{"e":1}})"),
              HasSubstr("variants.e: "));
  EXPECT_THAT(refusal("/v1/rankMany", R"({"requests":[{"query":"a"},{"limit":1}]})"),
              HasSubstr("requests[1].user_id: "));
  EXPECT_THAT(refusal("/v1/events", "{}"), HasSubstr("events: events is missing"));
  EXPECT_THAT(refusal("/v1/events", R"({"events":{}})"), HasSubstr("a list is expected"));
  EXPECT_THAT(refusal("/v1/items", R"({"items":[{"item_id":"a","attributes":{"b":{}}}]})"),
              HasSubstr("items[0].attributes.b: "));
  EXPECT_THAT(refusal("/v1/history", R"({"user_id":"u"})"), HasSubstr("limit: limit is missing"));
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":)"), HasSubstr("incomplete JSON at byte 11"));
  EXPECT_THAT(refusal("/v1/rank", "[]"), HasSubstr("a JSON object is expected"));
  EXPECT_THAT(refusal("/v1/rank", std::string(100'000, '[')), HasSubstr("too deep"));
  std::string many = "{\"item_ids\":[\"a\"";
  for (int i = 0; i < 16'384; ++i) many += ",\"a\"";
  EXPECT_THAT(refusal("/v1/items/get", many + "]}"), HasSubstr("item_ids has 16385 entries"));
  EXPECT_EQ(answer("/v1/rank", R"({"user_id":"user-0"})").at("items").as_array().size(), 20U);
}

TEST_F(HttpContract, APreviewIsTheSameListAndLeavesNoExposure) {
  const auto exposures = [&] { return engine->db().exposures().read("user-0", 9).size(); };
  const auto preview = answer("/v1/rank", R"({"user_id":"user-0","limit":3,"preview":true})");
  EXPECT_EQ(exposures(), 0U);
  const auto shown = answer("/v1/rank", R"({"user_id":"user-0","limit":3,"preview":false})");
  EXPECT_EQ(exposures(), 1U);
  EXPECT_EQ(comparable(preview), comparable(shown));
  EXPECT_THAT(refusal("/v1/rank", R"({"user_id":"user-0","preview":1})"),
              HasSubstr("preview is the number 1; true or false is expected"));
}

TEST_F(HttpContract, MetricsCountWhatWasAskedAndNameNoUser) {
  answer("/v1/rank", R"({"user_id":"user-0","limit":3})");
  answer("/v1/rank", R"({"user_id":"user-1","limit":3})");
  refusal("/v1/rank", R"({"user_id":"user-0","limit":0})");
  answer("/v1/events",
         R"({"events":[{"user_id":"user-0","item_id":"dragons-1","action":"view"}]})");
  const std::string text = ask(get("/metrics"))->body();
  EXPECT_THAT(text, HasSubstr("fovea_requests_total{method=\"rank\",result=\"ok\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("fovea_requests_total{method=\"rank\",result=\"invalid\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("fovea_requests_total{method=\"record\",result=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("fovea_requests_total{method=\"status\",result=\"ok\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("fovea_request_seconds_count{method=\"rank\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("fovea_request_seconds_bucket{method=\"rank\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("fovea_lists_total 2\n"));
  EXPECT_THAT(text, HasSubstr("fovea_degraded_lists_total 0\n"));
  for (const std::string stage : {"history", "candidates", "rerank", "respond"}) {
    EXPECT_THAT(text, HasSubstr("fovea_stage_seconds_count{stage=\"" + stage + "\"} 2\n"));
  }
  EXPECT_THAT(text, HasSubstr("fovea_ranked_items_total{source=\"vectors\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("fovea_items 80\n"));
  EXPECT_THAT(text, HasSubstr("fovea_users 24\n"));
  Status status;
  handler->status(status);
  EXPECT_THAT(text, HasSubstr("fovea_model_info{version=\"" + status.model_version + "\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("fovea_connections{port=\"http\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("fovea_requests_in_flight{port=\"http\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("user-")));
  EXPECT_THAT(text, Not(HasSubstr("fovea_experiment_"))) << "there is none";
  EXPECT_THAT(text, Not(HasSubstr("fovea_config_"))) << "there is no file";
}

TEST_F(HttpContract, MetricsCountExposuresByExperimentAndVariant) {
  engine::Experiment experiment;
  experiment.name = experiment.layer = experiment.salt = "a \"quoted\" one";
  experiment.variants = {{"control", 0.5, {}}, {"treatment", 0.5, {}}};
  engine->set_experiments({{}, {experiment}});
  const auto line = [](const std::string& variant, int exposures) {
    return R"(fovea_experiment_exposures_total{experiment="a \"quoted\" one",variant=")" + variant +
           "\"} " + std::to_string(exposures) + "\n";
  };
  const auto text = [&] { return std::string(ask(get("/metrics"))->body()); };
  EXPECT_THAT(text(), AllOf(HasSubstr(line("control", 0)), HasSubstr(line("treatment", 0)),
                            HasSubstr("# TYPE fovea_experiment_exposures_total counter\n")));
  std::map<std::string, int> shown = {{"control", 0}, {"treatment", 0}};
  for (int i = 0; i < 30; ++i) {
    const json::object list =
        answer("/v1/rank", R"({"user_id":"shown-)" + std::to_string(i) + R"(","limit":1})");
    ++shown[std::string(list.at("variants").at(experiment.name).as_string())];
  }
  ASSERT_GT(shown["control"], 0);
  ASSERT_GT(shown["treatment"], 0);
  EXPECT_THAT(text(),
              AllOf(HasSubstr(line("control", shown["control"])),
                    HasSubstr(line("treatment", shown["treatment"])), Not(HasSubstr("shown-"))));
}

TEST_F(HttpContract, MetricsTellWhetherTheConfigurationFileWasTaken) {
  for (const bool taken : {true, false}) {
    config_taken = taken;
    EXPECT_THAT(ask(get("/metrics"))->body(), HasSubstr("fovea_config_last_reload_successful " +
                                                        std::string(taken ? "1\n" : "0\n")));
  }
}

}  // namespace
}  // namespace fovea::api
