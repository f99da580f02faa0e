// The HTTP port: reads requests, has them answered, writes the answers, in order. Sockets, threads
// and most limits are connections', what is asked and answered http_dispatch's. Boost.Beast stays
// inside the source.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/console.h"
#include "api/server.h"

namespace fovea::api {

/// Longest request line and headers together, in bytes; 431 is answered beyond.
inline constexpr std::uint32_t kHttpHeaderBytesMax = 8 * 1024;

/// start(), drain() and stop() from one thread at a time; the rest from any.
class HttpServer {
 public:
  /// As Server's; the longest body is `frame_bytes_max`. `service`, the console's, and what
  /// `metrics` reads, must outlive the server; `metrics` answers /metrics, on the network thread:
  /// it must not wait for a disk.
  HttpServer(FoveaIf& service, std::function<std::string()> metrics, ServerOptions options,
             Console console = {});
  ~HttpServer();  ///< Stops.
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();  ///< As Server::start().
  /// From now on /readyz says that no further requests are wanted; all are answered as before.
  void drain();
  /// Drains, then as Server::stop().
  void stop();

  std::uint16_t port() const;                  ///< The one listened on; 0 before start().
  std::string address() const;                 ///< HOST:PORT, for people and clients.
  std::size_t connections() const;             ///< Open ones.
  std::size_t requests() const;                ///< Being answered or waiting for a worker.
  std::uint64_t refused() const;               ///< Requests not let in, since the start.
  void probe(std::function<void()> answered);  ///< As Server::probe().

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea::api
