#include "api/connections.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

#include "api/address.h"
#include "api/tls.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;

constexpr milliseconds kTimeoutResolution{100};
/// After an accept that failed for want of descriptors or memory, which trying again at once would
/// not cure.
constexpr milliseconds kAcceptPause{100};
/// Of what is read and dropped at a time.
constexpr std::size_t kDropBytes = 4096;

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

/// Where the options let a server listen.
tcp::endpoint allowed_endpoint(asio::io_context& io, const ServerOptions& options) {
  auto endpoint = resolve(io, options);
  if (!endpoint.address().is_loopback() && options.tls == nullptr && !options.insecure) {
    throw std::runtime_error(
        fmt::format("{} can be reached from other machines, and the wire is not encrypted; encrypt "
                    "it with --tls-cert and --tls-key, or allow it as it is with --insecure",
                    to_text(endpoint)));
  }
  return endpoint;
}

/// As top and debuggers show them; at most 15 bytes.
void name_this_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace

void LogLimit::warn(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
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

void check_listen_address(const ServerOptions& options) {
  asio::io_context io;
  allowed_endpoint(io, options);
}

Connections::Connections(ServerOptions options, Converse converse)
    : options_(std::move(options)),
      threads_(options_.threads > 0 ? options_.threads
                                    : std::max(1U, std::thread::hardware_concurrency())),
      converse_(std::move(converse)),
      admission_({threads_, options_.requests_max, options_.wait_max}) {}

Connections::~Connections() { stop(); }

void Connections::start() {
  listen();
  run();
}

void Connections::stop() {
  if (!io_thread_.joinable()) return;
  asio::post(io_, [this] { drain(); });
  io_thread_.join();
  workers_->end();
  draining_ = false;  // connections that were cut end with `io_`, and have nobody to tell
}

std::string Connections::address() const { return to_text(endpoint_); }

void Connections::listen() {
  endpoint_ = allowed_endpoint(io_, options_);
  try {
    acceptor_.open(endpoint_.protocol());
    acceptor_.set_option(tcp::acceptor::reuse_address(true));
    acceptor_.bind(endpoint_);
    acceptor_.listen();
    endpoint_ = acceptor_.local_endpoint();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error(
        fmt::format("cannot listen on {}: {}", to_text(endpoint_), error.code().message()));
  }
}

void Connections::run() {
  workers_.emplace(threads_, [this] { asio::post(io_, [this] { workers_->finish_done(); }); });
  asio::co_spawn(io_, accept(), asio::detached);
  asio::co_spawn(io_, enforce_timeouts(), asio::detached);
  io_thread_ = std::thread([this] {
    name_this_thread("fovea-network");
    io_.run();
  });
}

void Connections::probe(std::function<void()> answered) {
  struct Probe final : Task {
    explicit Probe(std::function<void()> told) : answered(std::move(told)) {}
    void run() noexcept override {}
    void finish() noexcept override { answered(); }
    std::function<void()> answered;
  };
  asio::post(io_, [this, answered = std::move(answered)]() mutable {
    wake_workers_soon();
    workers_->add(std::make_unique<Probe>(std::move(answered)));
  });
}

/// Stops accepting and reading. Connections end when what they have received is answered.
void Connections::drain() {
  draining_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  accept_pause_.cancel();
  for (Connection* connection : connections_) connection->stream.end_reading();
  if (connections_.empty()) {
    io_.stop();
  } else if (options_.drain_timeout.count() > 0) {
    drain_end_.expires_after(options_.drain_timeout);
    drain_end_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      spdlog::warn("{} connections were not done within {} ms and are cut", connections_.size(),
                   options_.drain_timeout.count());
      io_.stop();
    });
  }
}

asio::awaitable<void> Connections::accept() {
  while (!draining_) {
    auto [error, socket] = co_await acceptor_.async_accept(kAsTuple);
    if (draining_) break;
    if (error) {
      accept_errors_.warn(fmt::format("a connection could not be accepted: {}", error.message()));
      accept_pause_.expires_after(kAcceptPause);
      co_await accept_pause_.async_wait(kAsTuple);
    } else if (connections_.size() >= options_.connections_max) {
      too_many_connections_.warn(fmt::format(
          "a connection is closed at once: {} are open, the limit", options_.connections_max));
    } else {
      asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
    }
  }
}

/// One timer for all connections: a timer of its own for each request would cost more than it
/// tells.
asio::awaitable<void> Connections::enforce_timeouts() {
  for (;;) {
    timeouts_.expires_after(kTimeoutResolution);
    co_await timeouts_.async_wait(kAsTuple);
    const auto now = Connection::Clock::now();
    for (Connection* connection : connections_) {
      if (connection->deadline > now && connection->write_deadline > now) continue;
      spdlog::debug("a connection is closed: its {} timeout has passed",
                    connection->reading_request ? "read" : "idle or write");
      if (connection->reading_request && !connection->read_timed_out) {
        connection->read_timed_out = true;
        connection->wait_at_most(kLingerTimeout);
        connection->stream.cancel();
      } else {
        connection->stream.close();
      }
    }
  }
}

asio::awaitable<void> Connections::serve(tcp::socket socket) {
  Connection connection(std::move(socket));
  struct Registration {
    Connections& all;
    Connection& one;
    Registration(Connections& server, Connection& entered) : all(server), one(entered) {
      all.connections_.insert(&one);
      ++all.open_;
    }
    ~Registration() {
      all.connections_.erase(&one);
      --all.open_;
      if (all.draining_ && all.connections_.empty()) all.io_.stop();
    }
  } registration(*this, connection);

  boost::system::error_code ignored;
  connection.stream.socket().set_option(tcp::no_delay(true), ignored);
  try {
    if (options_.tls != nullptr) {
      const bool agreed = co_await handshake(connection);
      if (!agreed) co_return;
    }
    co_await converse_(connection);
    if (options_.tls != nullptr) {
      // A peer takes an end that is not told for one that was forged.
      connection.wait_at_most(kLingerTimeout);
      co_await connection.stream.end_writing();
    }
  } catch (const std::exception& error) {  // no memory, in practice
    faults_.warn(fmt::format("a connection is closed: {}", error.what()));
  }
}

asio::awaitable<bool> Connections::handshake(Connection& connection) {
  Stream& stream = connection.stream;
  if (draining_ && !stream.readable()) co_return false;
  stream.encrypt(options_.tls->context());
  connection.reading_request = true;
  connection.wait_at_most(options_.read_timeout);
  const auto error = co_await stream.handshake(asio::ssl::stream_base::server);
  connection.reading_request = false;
  connection.wait();
  if (!error) co_return true;
  boost::system::error_code unknown;
  const auto peer = stream.socket().remote_endpoint(unknown);
  handshakes_.warn(
      fmt::format("a connection from {} is closed: TLS was not agreed on: {}",
                  unknown ? "a peer that has gone" : peer.address().to_string(),
                  connection.read_timed_out
                      ? fmt::format("it took longer than {} ms", options_.read_timeout.count())
                      : error.message()));
  // So that the peer gets the alert that tells it why.
  co_await linger(connection);
  co_return false;
}

std::optional<Overloaded> Connections::overload() {
  std::optional<Admission::Refusal> refusal;
  {
    const std::lock_guard lock(admission_mutex_);
    refusal = admission_.enter();
    admitted_ = admission_.requests();
  }
  if (!refusal) return std::nullopt;
  Overloaded overloaded;
  overloaded.message = refusal->message;
  overloaded.retry_after_ms = static_cast<std::int32_t>(refusal->retry_after.count());
  ++refused_;
  overloads_.warn(fmt::format("{}: refused as overloaded: {}", address(), overloaded.message));
  return overloaded;
}

void Connections::leave(std::optional<Connection::Clock::duration> worked) {
  const std::lock_guard lock(admission_mutex_);
  admission_.leave(worked);
  admitted_ = admission_.requests();
}

/// What is posted here runs when the events that this thread knows of are dealt with: by then every
/// request that came with them is waiting, and the worker that is awake may have answered it.
void Connections::wake_workers_soon() {
  if (waking_soon_) return;
  asio::post(io_, [this] {
    waking_soon_ = false;
    workers_->wake_more();
  });
  waking_soon_ = true;
}

asio::awaitable<void> Connections::linger(Connection& connection) {
  connection.wait_at_most(kLingerTimeout);
  co_await connection.stream.end_writing();
  co_await drop_what_comes(connection);
}

asio::awaitable<void> Connections::drop_what_comes(Connection& connection) {
  std::array<char, kDropBytes> dropped{};
  for (;;) {
    auto [error, bytes] =
        co_await connection.stream.socket().async_read_some(asio::buffer(dropped), kAsTuple);
    if (error) co_return;
  }
}

}  // namespace fovea::api
