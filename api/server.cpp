// Thrift over a port's connections: frames are read, parsed and written on the io thread, answered
// by workers.
#include "api/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio.hpp>
#include <new>
#include <string_view>
#include <utility>
#include <variant>

#include "api/connections.h"
#include "api/dispatch.h"
#include "api/framing.h"
#include "api/handler.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;

/// Completes with (error, results...) instead of throwing: a connection that ends is nothing rare.
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

/// What has been read of a connection.
struct Session {
  Connection& connection;
  ReceiveBuffer buffer;
};

}  // namespace

struct Server::State {
  State(std::unique_ptr<FoveaIf> handler, FoveaIf& answering, ServerOptions given)
      : own_handler(std::move(handler)), service(answering), options(std::move(given)) {}

  asio::awaitable<void> converse(Connection& connection);
  asio::awaitable<bool> read_more(Session& session, std::size_t missing_bytes);
  asio::awaitable<bool> write(Session& session, const std::string& payload);
  asio::awaitable<Reply> answer(const Frame& frame);

  const std::unique_ptr<FoveaIf> own_handler;
  FoveaIf& service;
  const ServerOptions options;

  LogLimit faults;

  Connections connections{options, [this](Connection& connection) { return converse(connection); }};
};

Server::Server(engine::Engine& engine, ServerOptions options) {
  auto handler = std::make_unique<Handler>(engine);
  FoveaIf& service = *handler;
  state_ = std::make_unique<State>(std::move(handler), service, std::move(options));
}

Server::Server(FoveaIf& service, ServerOptions options)
    : state_(std::make_unique<State>(nullptr, service, std::move(options))) {}

Server::~Server() = default;

void Server::start() { state_->connections.start(); }
void Server::stop() { state_->connections.stop(); }
std::uint16_t Server::port() const { return state_->connections.port(); }
std::string Server::address() const { return state_->connections.address(); }
std::size_t Server::connections() const { return state_->connections.open(); }
std::uint64_t Server::refused() const { return state_->connections.refused(); }

/// Frame by frame: read, answer, write.
asio::awaitable<void> Server::State::converse(Connection& connection) {
  Session session{connection, {}};
  for (;;) {
    const ParsedFrame parsed = parse_frame(session.buffer.data(), options.frame_bytes_max);
    if (const auto* need = std::get_if<NeedMore>(&parsed)) {
      const bool more = co_await read_more(session, need->bytes);
      if (!more) co_return;
      continue;
    }
    connection.reading_request = false;
    if (const auto* bad = std::get_if<BadFrame>(&parsed)) {
      faults.warn(fmt::format("a connection is closed: {}", bad->reason));
      if (bad->protocol) co_await write(session, protocol_error(*bad->protocol, bad->reason));
      co_await connections.linger(connection);
      co_return;
    }
    const Frame& frame = std::get<Frame>(parsed);
    connection.wait();
    const Reply reply = co_await answer(frame);
    if (reply.fault) faults.warn(*reply.fault);
    session.buffer.consume(kFrameHeaderBytes + frame.payload.size());
    const bool written = co_await write(session, reply.payload);
    if (!written) co_return;
    if (reply.close) {
      co_await connections.linger(connection);
      co_return;
    }
  }
}

/// False: the connection has ended, or should.
asio::awaitable<bool> Server::State::read_more(Session& session, std::size_t missing_bytes) {
  boost::system::error_code ignored;
  if (connections.draining() && session.connection.socket.available(ignored) == 0) co_return false;
  if (session.buffer.data().empty()) {
    session.connection.wait_at_most(options.idle_timeout);
  } else if (!session.connection.reading_request) {
    // Set once a frame, so that a byte now and then does not keep it open.
    session.connection.reading_request = true;
    session.connection.wait_at_most(options.read_timeout);
  }
  const auto room = session.buffer.room(missing_bytes);
  auto [error, bytes] = co_await session.connection.socket.async_read_some(
      asio::buffer(room.data(), room.size()), kAsTuple);
  if (error) {
    if (!session.buffer.data().empty() && error == asio::error::eof) {
      spdlog::debug("a connection ended within a frame");
    }
    co_return false;
  }
  session.buffer.received(bytes);
  co_return true;
}

asio::awaitable<bool> Server::State::write(Session& session, const std::string& payload) {
  session.connection.wait_at_most(options.write_timeout);
  const auto header = frame_header(payload.size());
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(header), asio::buffer(payload)};
  auto [error, bytes] = co_await asio::async_write(session.connection.socket, buffers, kAsTuple);
  co_return !error;
}

asio::awaitable<Reply> Server::State::answer(const Frame& frame) {
  if (const auto overloaded = connections.overload()) co_return refuse(*overloaded, frame);
  const std::function<Reply()> work = [this, &frame] {
    try {
      return dispatch(service, frame, {.reply_bytes_max = options.reply_bytes_max});
    } catch (const std::bad_alloc&) {
      Reply reply;
      reply.close = true;
      reply.fault = "there is not enough memory for an answer";
      return reply;
    }
  };
  co_return co_await connections.on_worker(work);
}

}  // namespace fovea::api
