// One io thread accepts, reads, parses and writes; workers answer. Whatever is not a worker's runs
// on the io thread, so that nothing here needs a lock.
#include "api/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <list>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <variant>

#include "api/address.h"
#include "api/admission.h"
#include "api/call.h"
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

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// A request's place among the answers of its connection.
struct Answer {
  std::optional<Reply> reply;  // absent: a worker has it, or will
};

/// One connection; lives as long as its coroutines and the requests that workers have.
struct Session {
  Session(asio::io_context& io, tcp::socket connected)
      : socket(std::move(connected)), room(io), answered(io) {}

  bool wants_more(const ServerOptions& options) const {
    return answers.size() < options.pipelined_max && unsent_bytes < options.unsent_bytes_max;
  }
  void read_at_most(milliseconds timeout) { read_deadline = after(timeout); }
  void write_at_most(milliseconds timeout) { write_deadline = after(timeout); }
  static Clock::time_point after(milliseconds timeout) {
    return timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
  }

  tcp::socket socket;
  ReceiveBuffer buffer;
  std::list<Answer> answers;     // in the order of the requests; the first is written next
  std::size_t unsent_bytes = 0;  // of answers
  asio::steady_timer room;       // cancelled when an answer is written
  asio::steady_timer answered;   // cancelled when there is one, or no more will come
  bool reading_frame = false;    // its read timeout runs
  bool idle = false;             // waits for a frame's first byte
  bool done_reading = false;
  bool lingering = false;          // what still comes is dropped
  std::atomic<bool> gone = false;  // nobody waits for answers any more; workers look at it
  Clock::time_point read_deadline = Clock::time_point::max();
  Clock::time_point write_deadline = Clock::time_point::max();
};
using SessionPtr = std::shared_ptr<Session>;

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
      : own_handler(std::move(handler)),
        service(answering),
        options(std::move(given)),
        threads(options.threads > 0 ? options.threads
                                    : std::max(1U, std::thread::hardware_concurrency())),
        admission({threads, options.requests_max, options.wait_max}) {}

  void listen();
  void run();
  void drain();

  asio::awaitable<void> accept();
  asio::awaitable<void> enforce_timeouts();
  asio::awaitable<void> serve(tcp::socket socket);
  asio::awaitable<void> read_requests(SessionPtr session);
  asio::awaitable<bool> read_more(Session& session, std::size_t missing_bytes);
  asio::awaitable<void> drop_what_comes(Session& session);
  asio::awaitable<void> write_answers(Session& session);
  asio::awaitable<bool> write(Session& session, const std::string& payload);
  void answer(const SessionPtr& session, const Frame& frame);
  void answer_on_worker(const SessionPtr& session, Answer& answer, const Frame& frame);
  void leave(std::optional<Clock::duration> worked);
  static void finish(Session& session, Answer& answer, Reply reply);

  const std::unique_ptr<FoveaIf> own_handler;
  FoveaIf& service;
  const ServerOptions options;
  const std::size_t threads;

  // The io thread's. They outlive `io`, which destroys the coroutines that a drain has cut short.
  std::unordered_set<Session*> sessions;
  Admission admission;
  bool draining = false;
  LogLimit accept_errors;
  LogLimit too_many_connections;
  LogLimit overloads;
  LogLimit faults;

  std::atomic<std::size_t> open_connections{0};
  std::atomic<std::size_t> open_requests{0};  // what admission counts, for any thread
  tcp::endpoint endpoint;                     // written before the threads start

  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer accept_pause{io};
  asio::steady_timer timeouts{io};
  asio::steady_timer drain_end{io};
  std::optional<asio::thread_pool> workers;
  std::thread io_thread;
};

Server::Server(engine::Engine& engine, ServerOptions options) {
  auto handler = std::make_unique<Handler>(engine, options.deadline_default);
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
std::size_t Server::requests() const { return state_->open_requests; }

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
  workers.emplace(threads);
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
      if (session->read_deadline > now && session->write_deadline > now) continue;
      spdlog::debug("a connection is closed: its {} timeout has passed",
                    session->write_deadline <= now ? "write"
                    : session->reading_frame       ? "read"
                                                   : "idle");
      boost::system::error_code ignored;
      session->socket.close(ignored);  // what the session waits for ends with an error
    }
  }
}

asio::awaitable<void> Server::State::serve(tcp::socket socket) {
  const auto session = std::make_shared<Session>(io, std::move(socket));
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
  } registration(*this, *session);

  boost::system::error_code ignored;
  session->socket.set_option(tcp::no_delay(true), ignored);
  try {
    using namespace asio::experimental::awaitable_operators;
    co_await (read_requests(session) && write_answers(*session));
  } catch (const std::exception& error) {  // no memory, in practice
    session->gone = true;
    faults.warn(fmt::format("a connection is closed: {}", error.what()));
  }
}

/// Frame by frame, as long as the connection has room for answers.
asio::awaitable<void> Server::State::read_requests(SessionPtr session) {
  while (!session->lingering) {
    const ParsedFrame parsed = parse_frame(session->buffer.data(), options.frame_bytes_max);
    if (const auto* need = std::get_if<NeedMore>(&parsed)) {
      const bool more = co_await read_more(*session, need->bytes);
      if (!more) break;
      continue;
    }
    session->reading_frame = false;
    session->read_deadline = Clock::time_point::max();
    if (const auto* bad = std::get_if<BadFrame>(&parsed)) {
      Reply reply;
      if (bad->protocol) reply.payload = protocol_error(*bad->protocol, bad->reason);
      reply.close = true;
      reply.fault = fmt::format("a connection is closed: {}", bad->reason);
      finish(*session, session->answers.emplace_back(), std::move(reply));
      session->lingering = true;
      break;
    }
    const Frame& frame = std::get<Frame>(parsed);
    answer(session, frame);
    session->buffer.consume(kFrameHeaderBytes + frame.payload.size());
    while (!session->wants_more(options) && !session->lingering) {
      session->room.expires_at(Clock::time_point::max());
      co_await session->room.async_wait(kAsTuple);
    }
  }
  if (session->lingering) co_await drop_what_comes(*session);
  session->done_reading = true;
  session->answered.cancel();
}

/// False: the connection has ended, or should.
asio::awaitable<bool> Server::State::read_more(Session& session, std::size_t missing_bytes) {
  boost::system::error_code ignored;
  if (draining && session.socket.available(ignored) == 0) co_return false;
  session.idle = session.buffer.data().empty();
  if (session.idle) {
    // Who waits for an answer is not idle; the last one starts the time.
    if (session.answers.empty()) session.read_at_most(options.idle_timeout);
  } else if (!session.reading_frame) {
    // Set once a frame, so that a byte now and then does not keep it open.
    session.reading_frame = true;
    session.read_at_most(options.read_timeout);
  }
  const auto room = session.buffer.room(missing_bytes);
  auto [error, bytes] =
      co_await session.socket.async_read_some(asio::buffer(room.data(), room.size()), kAsTuple);
  session.idle = false;
  if (error) {
    if (!session.buffer.data().empty() && error == asio::error::eof) {
      spdlog::debug("a connection ended within a frame");
    }
    // Thrift's clients never close one direction alone: who does not send does not listen.
    if (!draining) session.gone = true;
    co_return false;
  }
  session.buffer.received(bytes);
  co_return true;
}

/// A socket that is closed while bytes are unread is reset, and the peer may lose the last answer;
/// so what still comes is read and dropped until the peer closes, or for a while after the last
/// answer.
asio::awaitable<void> Server::State::drop_what_comes(Session& session) {
  for (;;) {
    const auto room = session.buffer.room(ReceiveBuffer::kChunkBytesMax);
    auto [error, bytes] =
        co_await session.socket.async_read_some(asio::buffer(room.data(), room.size()), kAsTuple);
    if (error) co_return;
  }
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
      writable = co_await write(session, reply.payload);
    }
    session.answers.pop_front();
    session.unsent_bytes -= reply.payload.size();
    boost::system::error_code ignored;
    if (!writable) {
      session.gone = true;
      session.socket.close(ignored);  // ends the reading
    } else if (reply.close) {
      writable = false;
      session.socket.shutdown(tcp::socket::shutdown_send, ignored);
      session.lingering = true;
      session.gone = true;  // what was asked after it cannot be trusted either
      session.read_at_most(kLingerTimeout);
    } else if (session.idle && session.answers.empty()) {
      session.read_at_most(options.idle_timeout);
    }
    session.room.cancel();
  }
}

asio::awaitable<bool> Server::State::write(Session& session, const std::string& payload) {
  session.write_at_most(options.write_timeout);
  const auto header = frame_header(payload.size());
  const std::array<asio::const_buffer, 2> buffers = {asio::buffer(header), asio::buffer(payload)};
  auto [error, bytes] = co_await asio::async_write(session.socket, buffers, kAsTuple);
  session.write_deadline = Clock::time_point::max();
  co_return !error;
}

void Server::State::finish(Session& session, Answer& answer, Reply reply) {
  session.unsent_bytes += reply.payload.size();
  answer.reply = std::move(reply);
  session.answered.cancel();
}

void Server::State::answer(const SessionPtr& session, const Frame& frame) {
  Answer& place = session->answers.emplace_back();
  if (const auto refusal = admission.enter()) {
    Overloaded overloaded;
    overloaded.message = refusal->message;
    overloaded.retry_after_ms = static_cast<std::int32_t>(refusal->retry_after.count());
    overloads.warn(overloaded.message);
    finish(*session, place, refuse(overloaded, frame));
    return;
  }
  open_requests = admission.requests();
  try {
    answer_on_worker(session, place, frame);
  } catch (...) {
    leave({});
    throw;
  }
}

void Server::State::leave(std::optional<Clock::duration> worked) {
  admission.leave(worked);
  open_requests = admission.requests();
}

/// `place` stays where it is until it has its reply.
void Server::State::answer_on_worker(const SessionPtr& session, Answer& place, const Frame& frame) {
  const auto received = Clock::now();
  std::string payload(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
  asio::post(*workers, [this, session, &place, received, protocol = frame.protocol,
                        payload = std::move(payload)] {
    Reply reply;
    std::optional<Clock::duration> worked;
    if (!session->gone) {
      const CurrentCall call(received);
      const auto begin = Clock::now();
      try {
        reply = dispatch(service, Frame{protocol, bytes_of(payload)},
                         {.reply_bytes_max = options.reply_bytes_max});
      } catch (const std::bad_alloc&) {
        reply.close = true;
        reply.fault = "there is not enough memory for an answer";
      }
      worked = Clock::now() - begin;
    }
    asio::post(io, [this, session, &place, worked, reply = std::move(reply)]() mutable {
      leave(worked);
      finish(*session, place, std::move(reply));
    });
  });
}

}  // namespace fovea::api
