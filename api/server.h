// The Thrift port: reads frames, has them answered, writes the answers, in order. Sockets, threads
// and most limits are connections', what a frame says is dispatch's, what is answered the
// service's. Boost.Asio stays inside the source.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/request_log.h"
#include "engine/engine.h"

namespace fovea::api {

class FoveaIf;
class Tls;
class Tokens;

struct ServerOptions {
  // Behaviour.
  /// An IP address or a name; a loopback one unless `insecure`, or with `tls`.
  std::string host = "127.0.0.1";
  std::uint16_t port = 7070;  ///< 0: any that is free; port() tells.
  bool insecure = false;      ///< True: other machines may connect, without encryption.
  /// What connections are encrypted with; null: with nothing.
  std::shared_ptr<const Tls> tls;
  /// What changes the store needs one of these; over Thrift, which has no place for one, a client's
  /// certificate. Null: it needs nothing.
  std::shared_ptr<const Tokens> tokens;
  std::size_t frame_bytes_max = std::size_t{1} << 20;  ///< A longer frame is refused, then closed.
  std::size_t reply_bytes_max = 16'384'000;  ///< A longer answer becomes an error; below 2^31.
  std::size_t connections_max = 1024;        ///< Further ones are closed at once.
  /// Requests being answered or waiting for a worker, over all connections; further ones are
  /// answered with Overloaded.
  std::size_t requests_max = 512;
  /// So are those that would wait longer for a worker, by what requests took lately. 0: no limit.
  std::chrono::milliseconds wait_max{100};
  /// Of a request that names no deadline; 0: none.
  std::chrono::milliseconds deadline_default{0};
  /// Requests of one connection being answered or waiting, and bytes of answers that it has not
  /// taken; beyond, no more is read from it. Answers come in the order of the requests.
  std::size_t pipelined_max = 8;
  std::size_t unsent_bytes_max = std::size_t{1} << 20;
  RequestLogOptions log_requests;  ///< Which requests have a line in the log.
  // Timeouts are kept to within a tenth of a second. 0: none.
  std::chrono::milliseconds idle_timeout{600'000};  ///< Between frames.
  std::chrono::milliseconds read_timeout{10'000};   ///< From a frame's first byte to its last.
  std::chrono::milliseconds write_timeout{10'000};  ///< Until a whole answer is taken.
  std::chrono::milliseconds drain_timeout{10'000};  ///< How long stop() waits for answers.
  // Performance.
  std::size_t threads = 0;  ///< That answer requests; 0: one per hardware thread.
};

/// Throws as Server::start() does for an address that may not be listened on, without listening.
void check_listen_address(const ServerOptions& options);

/// start() and stop() from one thread at a time; the rest from any.
class Server {
 public:
  /// The engine, or the service, must outlive the server.
  Server(engine::Engine& engine, ServerOptions options);
  Server(FoveaIf& service, ServerOptions options);
  ~Server();  ///< Stops.
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Listens and returns. Throws std::runtime_error with a sentence: the address is in use, is not
  /// this machine's, or not loopback without `tls` or `insecure`.
  void start();
  /// Stops accepting, answers what is being answered (at most drain_timeout), closes, returns when
  /// all threads are gone. Frames that were not being answered yet are not. Does nothing twice.
  void stop();

  std::uint16_t port() const;       ///< The one listened on; 0 before start().
  std::string address() const;      ///< HOST:PORT, for people and clients.
  std::size_t connections() const;  ///< Open ones.
  std::size_t requests() const;     ///< Being answered or waiting for a worker.
  std::uint64_t refused() const;    ///< Requests not let in, since the start.
  /// Has a worker call `answered`, asked by way of the network thread: where either hangs, it is
  /// never called. Between start() and stop().
  void probe(std::function<void()> answered);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea::api
