// One io thread accepts, reads, parses and writes; workers answer. Whatever is not a worker's runs
// on the io thread, so that nothing here needs a lock.
#include "api/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <new>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <variant>

#include "api/address.h"
#include "api/dispatch.h"
#include "api/framing.h"
#include "api/handler.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Completes with (error, results...) instead of throwing: a connection that ends is nothing rare.
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

constexpr milliseconds kTimeoutResolution{100};
/// After an accept that failed for want of descriptors or memory, which trying again at once would
/// not cure.
constexpr milliseconds kAcceptPause{100};
/// How long a peer may take to read the last answer before its connection is reset.
constexpr milliseconds kLingerTimeout{1000};
constexpr std::int32_t kRetryAfterMs = 50;

/// Lets one line a second through, so that whoever misbehaves cannot fill the log's disk.
class LogLimit {
 public:
  void warn(const std::string& line) {
    const auto now = Clock::now();
    if (now < next_) {
      ++suppressed_;
      return;
    }
    if (suppressed_ > 0) {
      spdlog::warn("{} ({} more like it)", line, suppressed_);
    } else {
      spdlog::warn("{}", line);
    }
    suppressed_ = 0;
    next_ = now + std::chrono::seconds{1};
  }

 private:
  Clock::time_point next_;
  std::size_t suppressed_ = 0;
};

/// One connection; lives in its coroutine.
struct Session {
  explicit Session(tcp::socket connected) : socket(std::move(connected)) {}

  void wait_at_most(milliseconds timeout) {
    deadline = timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
  }

  tcp::socket socket;
  ReceiveBuffer buffer;
  bool reading_frame = false;  // its read timeout runs
  Clock::time_point deadline = Clock::time_point::max();
};

tcp::endpoint resolve(asio::io_context& io, const ServerOptions& options) {
  boost::system::error_code error;
  const auto numeric = asio::ip::make_address(options.host, error);
  if (!error) return {numeric, options.port};
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port), error);
  if (error || found.empty()) {
    throw std::runtime_error(fmt::format("cannot listen on '{}': {}", options.host,
                                         error ? error.message() : "it has no address"));
  }
  return found.begin()->endpoint();
}

std::string to_text(const tcp::endpoint& endpoint) {
  return to_string(HostPort{endpoint.address().to_string(), endpoint.port()});
}

}  // namespace

struct Server::State {
  State(std::unique_ptr<FoveaIf> handler, FoveaIf& answering, ServerOptions given)
      : own_handler(std::move(handler)), service(answering), options(std::move(given)) {}

  void listen();
  void run();
  void drain();

  asio::awaitable<void> accept();
  asio::awaitable<void> enforce_timeouts();
  asio::awaitable<void> serve(tcp::socket socket);
  asio::awaitable<void> converse(Session& session);
  asio::awaitable<bool> read_more(Session& session, std::size_t missing_bytes);
  asio::awaitable<bool> write(Session& session, const std::string& payload);
  asio::awaitable<void> linger(Session& session);
  asio::awaitable<Reply> answer(const Frame& frame);
  asio::awaitable<Reply> answer_on_worker(const Frame& frame);

  const std::unique_ptr<FoveaIf> own_handler;
  FoveaIf& service;
  const ServerOptions options;

  // The io thread's. They outlive `io`, which destroys the coroutines that a drain has cut short.
  std::unordered_set<Session*> sessions;
  std::size_t requests = 0;  // being answered or waiting for a worker
  bool draining = false;
  LogLimit accept_errors;
  LogLimit too_many_connections;
  LogLimit overloads;
  LogLimit faults;

  std::atomic<std::size_t> open_connections{0};
  tcp::endpoint endpoint;  // written before the threads start

  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer accept_pause{io};
  asio::steady_timer timeouts{io};
  asio::steady_timer drain_end{io};
  std::optional<asio::thread_pool> workers;
  std::thread io_thread;
};

Server::Server(engine::Engine& engine, ServerOptions options) {
  auto handler = std::make_unique<Handler>(engine);
  FoveaIf& service = *handler;
  state_ = std::make_unique<State>(std::move(handler), service, std::move(options));
}

Server::Server(FoveaIf& service, ServerOptions options)
    : state_(std::make_unique<State>(nullptr, service, std::move(options))) {}

Server::~Server() { stop(); }

void Server::start() {
  state_->listen();
  state_->run();
}

void Server::stop() {
  if (!state_->io_thread.joinable()) return;
  asio::post(state_->io, [this] { state_->drain(); });
  state_->io_thread.join();
  state_->workers->join();
  state_->draining = false;  // sessions that were cut end with `io`, and have nobody to tell
}

std::uint16_t Server::port() const { return state_->endpoint.port(); }
std::string Server::address() const { return to_text(state_->endpoint); }
std::size_t Server::connections() const { return state_->open_connections; }

void Server::State::listen() {
  endpoint = resolve(io, options);
  if (!endpoint.address().is_loopback() && !options.insecure) {
    throw std::runtime_error(
        fmt::format("{} can be reached from other machines, and the wire is not encrypted; listen "
                    "on 127.0.0.1, "
                    "or give --insecure to allow it",
                    to_text(endpoint)));
  }
  try {
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen();
    endpoint = acceptor.local_endpoint();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error(
        fmt::format("cannot listen on {}: {}", to_text(endpoint), error.code().message()));
  }
}

void Server::State::run() {
  const std::size_t hardware = std::max(1U, std::thread::hardware_concurrency());
  workers.emplace(options.threads > 0 ? options.threads : hardware);
  asio::co_spawn(io, accept(), asio::detached);
  asio::co_spawn(io, enforce_timeouts(), asio::detached);
  io_thread = std::thread([this] { io.run(); });
}

/// Stops accepting and reading. Sessions end when what they have received is answered.
void Server::State::drain() {
  draining = true;
  boost::system::error_code ignored;
  acceptor.close(ignored);
  accept_pause.cancel();
  for (Session* session : sessions) {
    session->socket.shutdown(tcp::socket::shutdown_receive, ignored);
  }
  if (sessions.empty()) {
    io.stop();
  } else if (options.drain_timeout.count() > 0) {
    drain_end.expires_after(options.drain_timeout);
    drain_end.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      spdlog::warn("{} connections were not done within {} ms and are cut", sessions.size(),
                   options.drain_timeout.count());
      io.stop();
    });
  }
}

asio::awaitable<void> Server::State::accept() {
  while (!draining) {
    auto [error, socket] = co_await acceptor.async_accept(kAsTuple);
    if (draining) break;
    if (error) {
      accept_errors.warn(fmt::format("a connection could not be accepted: {}", error.message()));
      accept_pause.expires_after(kAcceptPause);
      co_await accept_pause.async_wait(kAsTuple);
    } else if (sessions.size() >= options.connections_max) {
      too_many_connections.warn(fmt::format(
          "a connection is closed at once: {} are open, the limit", options.connections_max));
    } else {
      asio::co_spawn(io, serve(std::move(socket)), asio::detached);
    }
  }
}

/// One timer for all connections: a timer of its own for each frame would cost more than it tells.
asio::awaitable<void> Server::State::enforce_timeouts() {
  for (;;) {
    timeouts.expires_after(kTimeoutResolution);
    co_await timeouts.async_wait(kAsTuple);
    const auto now = Clock::now();
    for (Session* session : sessions) {
      if (session->deadline > now) continue;
      spdlog::debug("a connection is closed: its {} timeout has passed",
                    session->reading_frame ? "read" : "idle or write");
      boost::system::error_code ignored;
      session->socket.close(ignored);  // what the session waits for ends with an error
    }
  }
}

asio::awaitable<void> Server::State::serve(tcp::socket socket) {
  Session session(std::move(socket));
  struct Registration {
    State& state;
    Session& session;
    Registration(State& server, Session& entered) : state(server), session(entered) {
      state.sessions.insert(&session);
      ++state.open_connections;
    }
    ~Registration() {
      state.sessions.erase(&session);
      --state.open_connections;
      if (state.draining && state.sessions.empty()) state.io.stop();
    }
  } registration(*this, session);

  boost::system::error_code ignored;
  session.socket.set_option(tcp::no_delay(true), ignored);
  try {
    co_await converse(session);
  } catch (const std::exception& error) {  // no memory, in practice
    faults.warn(fmt::format("a connection is closed: {}", error.what()));
  }
}

/// Frame by frame: read, answer, write.
asio::awaitable<void> Server::State::converse(Session& session) {
  for (;;) {
    const ParsedFrame parsed = parse_frame(session.buffer.data(), options.frame_bytes_max);
    if (const auto* need = std::get_if<NeedMore>(&parsed)) {
      const bool more = co_await read_more(session, need->bytes);
      if (!more) co_return;
      continue;
    }
    session.reading_frame = false;
    if (const auto* bad = std::get_if<BadFrame>(&parsed)) {
      faults.warn(fmt::format("a connection is closed: {}", bad->reason));
      if (bad->protocol) co_await write(session, protocol_error(*bad->protocol, bad->reason));
      co_await linger(session);
      co_return;
    }
    const Frame& frame = std::get<Frame>(parsed);
    session.deadline = Clock::time_point::max();
    const Reply reply = co_await answer(frame);
    if (reply.fault) faults.warn(*reply.fault);
    session.buffer.consume(kFrameHeaderBytes + frame.payload.size());
    const bool written = co_await write(session, reply.payload);
    if (!written) co_return;
    if (reply.close) {
      co_await linger(session);
      co_return;
    }
  }
}

/// False: the connection has ended, or should.
asio::awaitable<bool> Server::State::read_more(Session& session, std::size_t missing_bytes) {
  boost::system::error_code ignored;
  if (draining && session.socket.available(ignored) == 0) co_return false;
  if (session.buffer.data().empty()) {
    session.wait_at_most(options.idle_timeout);
  } else if (!session.reading_frame) {
    // Set once a frame, so that a byte now and then does not keep it open.
    session.reading_frame = true;
    session.wait_at_most(options.read_timeout);
  }
  const auto room = session.buffer.room(missing_bytes);
  auto [error, bytes] =
      co_await session.socket.async_read_some(asio::buffer(room.data(), room.size()), kAsTuple);
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
  session.wait_at_most(options.write_timeout);
  const auto header = frame_header(payload.size());
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(header), asio::buffer(payload)};
  auto [error, bytes] = co_await asio::async_write(session.socket, buffers, kAsTuple);
  co_return !error;
}

/// A socket that is closed while bytes are unread is reset, and the peer may lose the last answer;
/// so what still comes is read and dropped until the peer closes.
asio::awaitable<void> Server::State::linger(Session& session) {
  session.wait_at_most(kLingerTimeout);
  boost::system::error_code ignored;
  session.socket.shutdown(tcp::socket::shutdown_send, ignored);
  for (;;) {
    const auto room = session.buffer.room(ReceiveBuffer::kChunkBytesMax);
    auto [error, bytes] =
        co_await session.socket.async_read_some(asio::buffer(room.data(), room.size()), kAsTuple);
    if (error) co_return;
  }
}

asio::awaitable<Reply> Server::State::answer(const Frame& frame) {
  if (requests >= options.requests_max) {
    Overloaded overloaded;
    overloaded.message = fmt::format("{} requests are being answered, the limit", requests);
    overloaded.retry_after_ms = kRetryAfterMs;
    overloads.warn(overloaded.message);
    co_return refuse(overloaded, frame);
  }
  ++requests;
  Reply reply = co_await answer_on_worker(frame);
  --requests;
  co_return reply;
}

/// The frame must stay where it is until the coroutine goes on.
asio::awaitable<Reply> Server::State::answer_on_worker(const Frame& frame) {
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Reply)>(
      [this, &frame](auto done) {
        asio::post(*workers, [this, &frame, done = std::move(done)]() mutable {
          Reply reply;
          try {
            reply = dispatch(service, frame, {.reply_bytes_max = options.reply_bytes_max});
          } catch (const std::bad_alloc&) {
            reply.close = true;
            reply.fault = "there is not enough memory for an answer";
          }
          asio::post(io, [done = std::move(done), reply = std::move(reply)]() mutable {
            std::move(done)(std::move(reply));
          });
        });
      },
      asio::use_awaitable);
}

}  // namespace fovea::api
