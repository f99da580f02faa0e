// HTTP/1.1 over a port's connections: requests are read, parsed and written on the io thread,
// answered by workers, one at a time per connection, so that pipelined ones are answered in order.
#include "api/http_server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <new>
#include <optional>
#include <utility>

#include "api/connections.h"
#include "api/http_dispatch.h"
#include "engine/request_id.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

/// Read at a time while nothing tells how much will come.
constexpr std::size_t kReadBytes = 4096;

/// A body in memory that follows what arrived, never what Content-Length claims.
using Body = http::basic_dynamic_body<beast::flat_buffer>;
using Parser = http::request_parser<Body>;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

/// Of a header that may come once: what it says; empty where it is missing or comes twice.
std::string_view only_field(const http::fields& fields, beast::string_view name) {
  const auto [first, last] = fields.equal_range(name);
  return first != last && std::next(first) == last ? view(first->value()) : std::string_view();
}

std::optional<std::string_view> field_if_any(const http::fields& fields, http::field name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::nullopt : std::optional(view(found->value()));
}

/// Whether a Host header names this machine whoever reads it: localhost or a loopback address.
bool names_loopback(beast::string_view host) {
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else {
    host = host.substr(0, host.rfind(':'));
  }
  if (beast::iequals(host, "localhost")) return true;
  boost::system::error_code error;
  const auto address = asio::ip::make_address(std::string(host), error);
  return !error && address.is_loopback();
}

/// What a request that cannot be read is answered with; absent: the peer has gone, nobody reads it.
std::optional<HttpAnswer> complaint(const beast::error_code& error, std::size_t body_bytes_max) {
  if (error == http::error::header_limit) {
    return http_error(431, fmt::format("the header is longer than {} bytes", kHttpHeaderBytesMax));
  }
  if (error == http::error::body_limit) {
    return http_error(
        413, fmt::format("the body is longer than {} bytes; send less at once", body_bytes_max));
  }
  if (error == http::error::end_of_stream || error == http::error::partial_message ||
      error.category() != http::make_error_code(http::error::bad_method).category()) {
    return std::nullopt;
  }
  return http_error(400, fmt::format("this is not an HTTP/1.1 request: {}", error.message()));
}

std::optional<HttpAnswer> too_slow(std::chrono::milliseconds read_timeout) {
  return http_error(408,
                    fmt::format("the request did not arrive within {} ms", read_timeout.count()));
}

}  // namespace

struct HttpServer::State {
  State(FoveaIf& answering, std::function<std::string()> metrics, ServerOptions given,
        Console console)
      : options(std::move(given)),
        service{answering,
                std::move(metrics),
                [this] { return draining ? "the server is ending; ask another one" : ""; },
                options.reply_bytes_max,
                options.log_requests,
                options.tokens.get(),
                console} {}

  asio::awaitable<void> converse(Connection& connection);
  asio::awaitable<bool> first_bytes(Connection& connection, beast::flat_buffer& buffer);
  asio::awaitable<beast::error_code> read(Connection& connection, beast::flat_buffer& buffer,
                                          Parser& parser);
  asio::awaitable<HttpAnswer> answer(const Parser& parser);
  asio::awaitable<bool> write(Connection& connection, HttpAnswer answer, unsigned version,
                              bool head, bool keep_alive);

  const ServerOptions options;
  std::atomic<bool> draining{false};
  const HttpService service;
  LogLimit faults;

  Connections connections{options, [this](Connection& connection) { return converse(connection); }};
};

HttpServer::HttpServer(FoveaIf& service, std::function<std::string()> metrics,
                       ServerOptions options, Console console)
    : state_(std::make_unique<State>(service, std::move(metrics), std::move(options), console)) {}

HttpServer::~HttpServer() { stop(); }

void HttpServer::start() { state_->connections.start(); }
void HttpServer::drain() { state_->draining = true; }
void HttpServer::stop() {
  drain();
  state_->connections.stop();
}
std::uint16_t HttpServer::port() const { return state_->connections.port(); }
std::string HttpServer::address() const { return state_->connections.address(); }
std::size_t HttpServer::connections() const { return state_->connections.open(); }
std::size_t HttpServer::requests() const { return state_->connections.requests(); }
std::uint64_t HttpServer::refused() const { return state_->connections.refused(); }
void HttpServer::probe(std::function<void()> answered) {
  state_->connections.probe(std::move(answered));
}

/// Request by request: read, answer, write.
asio::awaitable<void> HttpServer::State::converse(Connection& connection) {
  beast::flat_buffer buffer;
  for (;;) {
    const bool more = co_await first_bytes(connection, buffer);
    if (!more) co_return;
    Parser parser;
    parser.header_limit(kHttpHeaderBytesMax);
    parser.body_limit(options.frame_bytes_max);
    const beast::error_code error = co_await read(connection, buffer, parser);
    if (error) {
      auto refusal = connection.read_timed_out ? too_slow(options.read_timeout)
                                               : complaint(error, options.frame_bytes_max);
      if (!refusal) co_return;
      faults.warn(fmt::format("a connection is closed: {}", connection.read_timed_out
                                                                ? "a request did not arrive in time"
                                                                : error.message()));
      const bool told = co_await write(connection, std::move(*refusal), 11, false, false);
      if (told) co_await connections.linger(connection);
      co_return;
    }
    const auto& request = parser.get();
    connection.wait();
    HttpAnswer answered = co_await answer(parser);
    if (answered.fault) faults.warn(*answered.fault);
    const bool keep_alive = request.keep_alive() && !connections.draining();
    const bool written = co_await write(connection, std::move(answered), request.version(),
                                        request.method() == http::verb::head, keep_alive);
    if (!written) co_return;
    if (!keep_alive) {
      co_await connections.linger(connection);
      co_return;
    }
  }
}

/// Waits for a request to begin. False: the connection has ended, or should.
asio::awaitable<bool> HttpServer::State::first_bytes(Connection& connection,
                                                     beast::flat_buffer& buffer) {
  connection.reading_request = false;
  if (buffer.size() == 0) {
    if (connections.draining() && !connection.stream.readable()) co_return false;
    buffer = {};  // the memory of a large request is given back
    connection.wait_at_most(options.idle_timeout);
    auto [error, bytes] =
        co_await connection.stream.async_read_some(buffer.prepare(kReadBytes), kAsTuple);
    if (error) co_return false;
    buffer.commit(bytes);
  }
  // Set once a request, so that a byte now and then does not keep it open.
  connection.reading_request = true;
  connection.wait_at_most(options.read_timeout);
  co_return true;
}

asio::awaitable<beast::error_code> HttpServer::State::read(Connection& connection,
                                                           beast::flat_buffer& buffer,
                                                           Parser& parser) {
  auto [error, bytes] =
      co_await http::async_read_header(connection.stream, buffer, parser, kAsTuple);
  if (error) co_return error;
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    const http::response<http::empty_body> go_on(http::status::continue_, 11);
    auto [failed, written] = co_await http::async_write(connection.stream, go_on, kAsTuple);
    if (failed) co_return failed;
  }
  auto [body_error, body_bytes] =
      co_await http::async_read(connection.stream, buffer, parser, kAsTuple);
  co_return body_error;
}

/// The parser must stay where it is until the coroutine goes on.
asio::awaitable<HttpAnswer> HttpServer::State::answer(const Parser& parser) {
  const auto& request = parser.get();
  // A page whose own name was made to lead here would be let in by its reader's browser, as if it
  // were ours; but it cannot make the browser leave out that name.
  const auto host = request[http::field::host];
  if (connections.loopback() && !host.empty() && !names_loopback(host)) {
    co_return http_error(421,
                         "this server is its own machine's; send localhost or 127.0.0.1 as "
                         "Host, and let a proxy do so too");
  }
  const auto body = request.body().data();
  const HttpCall call{view(request.method_string()),
                      view(request.target()),
                      view(request[http::field::content_type]),
                      {static_cast<const char*>(body.data()), body.size()},
                      only_field(request, "traceparent"),
                      view(request[http::field::authorization]),
                      view(host),
                      field_if_any(request, http::field::origin),
                      view(request[http::field::accept_encoding]),
                      view(request[http::field::if_none_match]),
                      options.tls != nullptr,
                      connections.loopback()};
  if (answered_at_once(service, call.target)) co_return dispatch(service, call);
  if (const auto overloaded = connections.overload()) co_return http_error(*overloaded);
  const std::function<HttpAnswer()> work = [this, &call] {
    try {
      return dispatch(service, call);
    } catch (const std::bad_alloc&) {
      HttpAnswer none;  // what says more would need memory
      none.status = 500;
      return none;
    }
  };
  co_return co_await connections.on_worker(work);
}

asio::awaitable<bool> HttpServer::State::write(Connection& connection, HttpAnswer answer,
                                               unsigned version, bool head, bool keep_alive) {
  http::response<http::string_body> response(static_cast<http::status>(answer.status), version);
  const auto type = answer.content_type;
  if (!type.empty()) response.set(http::field::content_type, {type.data(), type.size()});
  response.set(http::field::cache_control, "no-store");
  for (auto& [name, value] : answer.headers) {
    response.set(beast::string_view(name.data(), name.size()), value);
  }
  response.set("X-Request-Id",
               answer.request_id.empty() ? engine::new_request_id() : std::move(answer.request_id));
  if (!answer.allow.empty()) {
    response.set(http::field::allow, {answer.allow.data(), answer.allow.size()});
  }
  if (!answer.authenticate.empty()) {
    response.set(http::field::www_authenticate,
                 {answer.authenticate.data(), answer.authenticate.size()});
  }
  if (answer.retry_after_ms) {  // in whole seconds, rounded up
    const int seconds = std::max(1, (*answer.retry_after_ms + 999) / 1000);
    response.set(http::field::retry_after, std::to_string(seconds));
  }
  response.keep_alive(keep_alive);
  // A 304 would tell with it how long the content is that it leaves out.
  if (answer.status != 304) response.content_length(answer.body.size());
  if (!head) response.body() = std::move(answer.body);
  connection.reading_request = false;
  connection.wait_at_most(options.write_timeout);
  auto [error, bytes] = co_await http::async_write(connection.stream, response, kAsTuple);
  co_return !error;
}

}  // namespace fovea::api
