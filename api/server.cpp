// Thrift over a port's connections: frames are read, parsed and written on the io thread, answered
// by workers, in the order of their connection.
#include "api/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <list>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
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
using Clock = std::chrono::steady_clock;

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// A request's place among the answers of its connection.
struct Answer {
  explicit Answer(bool in_frame) : framed(in_frame) {}

  bool framed;                 // as the request was
  std::optional<Reply> reply;  // absent: a worker has it, or will
};

/// What has been read of a connection and is to be written to it. Lives as long as the connection
/// and the requests that workers have of it; those look at `answers`, `gone` and `answered` only.
struct Session {
  Session(Connection& of, std::size_t frame_bytes_max)
      : connection(of),
        reader(frame_bytes_max),
        room(of.stream.get_executor()),
        answered(of.stream.get_executor()) {}

  bool wants_more(const ServerOptions& options) const {
    return answers.size() < options.pipelined_max && unsent_bytes < options.unsent_bytes_max;
  }
  void finish(Answer& answer, Reply reply) {
    unsent_bytes += reply.payload.size();
    answer.reply = std::move(reply);
    answered.cancel();
  }

  Connection& connection;
  ReceiveBuffer buffer;
  FrameReader reader;
  std::list<Answer> answers;     // in the order of the requests; the first is written next
  std::size_t unsent_bytes = 0;  // of answers
  asio::steady_timer room;       // cancelled when an answer is written
  asio::steady_timer answered;   // cancelled when there is one, or no more will come
  bool idle = false;             // waits for a frame's first byte
  bool done_reading = false;
  bool lingering = false;          // what still comes is dropped
  std::atomic<bool> gone = false;  // nobody waits for answers any more; workers look at it
};
using SessionPtr = std::shared_ptr<Session>;

}  // namespace

struct Server::State {
  State(std::unique_ptr<FoveaIf> handler, FoveaIf& answering, ServerOptions given)
      : own_handler(std::move(handler)), service(answering), options(std::move(given)) {}

  asio::awaitable<void> converse(Connection& connection);
  asio::awaitable<void> read_requests(SessionPtr session);
  asio::awaitable<bool> read_more(Session& session, std::size_t missing_bytes);
  asio::awaitable<void> write_answers(Session& session);
  asio::awaitable<bool> write(Session& session, const std::string& payload, bool framed);
  void answer(const SessionPtr& session, const Frame& frame);
  Reply answer_now(WireProtocol protocol, const std::string& payload, bool may_change);

  const std::unique_ptr<FoveaIf> own_handler;
  FoveaIf& service;
  const ServerOptions options;

  LogLimit faults;

  Connections connections{options, [this](Connection& connection) { return converse(connection); }};
};

Server::Server(engine::Engine& engine, ServerOptions options) {
  auto handler = std::make_unique<Handler>(engine, options.deadline_default);
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
std::size_t Server::requests() const { return state_->connections.requests(); }
std::uint64_t Server::refused() const { return state_->connections.refused(); }
void Server::probe(std::function<void()> answered) {
  state_->connections.probe(std::move(answered));
}

asio::awaitable<void> Server::State::converse(Connection& connection) {
  using namespace asio::experimental::awaitable_operators;
  const auto session = std::make_shared<Session>(connection, options.frame_bytes_max);
  try {
    co_await (read_requests(session) && write_answers(*session));
  } catch (...) {
    session->gone = true;
    throw;
  }
}

/// Frame by frame, as long as the connection has room for answers.
asio::awaitable<void> Server::State::read_requests(SessionPtr session) {
  while (!session->lingering) {
    const ParsedFrame parsed = session->reader.next(session->buffer.data());
    if (const auto* need = std::get_if<NeedMore>(&parsed)) {
      const bool more = co_await read_more(*session, need->bytes);
      if (!more) break;
      continue;
    }
    session->connection.reading_request = false;
    session->connection.wait();
    if (const auto* bad = std::get_if<BadFrame>(&parsed)) {
      Reply reply;
      if (bad->protocol) reply.payload = protocol_error(*bad->protocol, bad->reason);
      reply.close = true;
      reply.fault = fmt::format("a connection is closed: {}", bad->reason);
      session->finish(session->answers.emplace_back(bad->framed), std::move(reply));
      session->lingering = true;
      break;
    }
    const Frame& frame = std::get<Frame>(parsed);
    answer(session, frame);
    session->buffer.consume(frame.bytes());
    while (!session->wants_more(options) && !session->lingering) {
      session->room.expires_at(Clock::time_point::max());
      co_await session->room.async_wait(kAsTuple);
    }
  }
  if (session->lingering) co_await connections.drop_what_comes(session->connection);
  session->done_reading = true;
  session->answered.cancel();
}

/// False: the connection has ended, or should.
asio::awaitable<bool> Server::State::read_more(Session& session, std::size_t missing_bytes) {
  if (connections.draining() && !session.connection.stream.readable()) co_return false;
  session.idle = session.buffer.data().empty();
  if (session.idle) {
    // Who waits for an answer is not idle; the last one starts the time.
    if (session.answers.empty()) session.connection.wait_at_most(options.idle_timeout);
  } else if (!session.connection.reading_request) {
    // Set once a frame, so that a byte now and then does not keep it open.
    session.connection.reading_request = true;
    session.connection.wait_at_most(options.read_timeout);
  }
  const auto room = session.buffer.room(missing_bytes);
  auto [error, bytes] = co_await session.connection.stream.async_read_some(
      asio::buffer(room.data(), room.size()), kAsTuple);
  session.idle = false;
  if (error) {
    if (!session.buffer.data().empty() && error == asio::error::eof) {
      spdlog::debug("a connection ended within a frame");
    }
    // Thrift's clients never close one direction alone: who does not send does not listen.
    if (!connections.draining()) session.gone = true;
    co_return false;
  }
  session.buffer.received(bytes);
  co_return true;
}

/// In the order of the requests, until no more can come.
asio::awaitable<void> Server::State::write_answers(Session& session) {
  bool writable = true;
  for (;;) {
    while (session.answers.empty() || !session.answers.front().reply) {
      if (session.answers.empty() && session.done_reading) co_return;
      session.answered.expires_at(Clock::time_point::max());
      co_await session.answered.async_wait(kAsTuple);
    }
    const Reply reply = *std::move(session.answers.front().reply);
    if (reply.fault) faults.warn(*reply.fault);
    if (writable && !session.gone && !reply.payload.empty()) {
      writable = co_await write(session, reply.payload, session.answers.front().framed);
    }
    session.answers.pop_front();
    session.unsent_bytes -= reply.payload.size();
    if (!writable) {
      session.gone = true;
      session.connection.stream.close();  // ends the reading
    } else if (reply.close) {
      writable = false;
      session.lingering = true;
      session.gone = true;  // what was asked after it cannot be trusted either
      session.connection.wait_at_most(kLingerTimeout);
      co_await session.connection.stream.end_writing();
    } else if (session.idle && session.answers.empty()) {
      session.connection.wait_at_most(options.idle_timeout);
    }
    session.room.cancel();
  }
}

asio::awaitable<bool> Server::State::write(Session& session, const std::string& payload,
                                           bool framed) {
  session.connection.write_at_most(options.write_timeout);
  const auto header = frame_header(payload.size());
  const std::array<asio::const_buffer, 2> buffers = {
      asio::buffer(header, framed ? header.size() : 0), asio::buffer(payload)};
  auto [error, bytes] = co_await asio::async_write(session.connection.stream, buffers, kAsTuple);
  session.connection.written();
  co_return !error;
}

void Server::State::answer(const SessionPtr& session, const Frame& frame) {
  Answer& place =
      session->answers.emplace_back(frame.framed);  // stays where it is until it is written
  if (answered_from_memory(frame)) {  // also when every worker is busy, when it is wanted most
    session->finish(place, dispatch(service, frame, {.reply_bytes_max = options.reply_bytes_max}));
    return;
  }
  if (const auto overloaded = connections.overload()) {
    session->finish(place, refuse(*overloaded, frame));
    return;
  }
  std::string payload(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
  const bool may_change = options.tokens == nullptr || session->connection.stream.peer_is_known();
  connections.begin<Reply>(
      [session] { return !session->gone; },
      [this, protocol = frame.protocol, payload = std::move(payload), may_change] {
        return answer_now(protocol, payload, may_change);
      },
      [session, &place](Reply reply) { session->finish(place, std::move(reply)); });
}

Reply Server::State::answer_now(WireProtocol protocol, const std::string& payload,
                                bool may_change) {
  try {
    return dispatch(service, Frame{protocol, bytes_of(payload)},
                    {.reply_bytes_max = options.reply_bytes_max, .may_change = may_change});
  } catch (const std::bad_alloc&) {
    Reply reply;
    reply.close = true;
    reply.fault = "there is not enough memory for an answer";
    return reply;
  }
}

}  // namespace fovea::api
