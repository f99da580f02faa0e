// The connections of one port: listens, accepts, keeps timeouts, drains, and hands what takes time
// to workers. Owns sockets, threads and every limit on them; what is said over a connection is its
// owner's (api/server: Thrift, api/http_server: HTTP). One io thread runs whatever is not a
// worker's, so that owners need no lock. Only sources include this: Boost.Asio stays out of their
// headers.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <atomic>
#include <boost/asio.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>

#include "api/admission.h"
#include "api/call.h"
#include "api/server.h"
#include "api/stream.h"
#include "api/workers.h"

namespace fovea::api {

/// How long a peer may take to read the last answer before its connection is reset.
inline constexpr std::chrono::milliseconds kLingerTimeout{1000};

/// Lets one line a second through, so that whoever misbehaves cannot fill the log's disk. Not
/// thread-safe.
class LogLimit {
 public:
  void warn(const std::string& line);

 private:
  std::chrono::steady_clock::time_point next_;
  std::size_t suppressed_ = 0;
};

/// One connection; lives in its coroutine.
struct Connection {
  using Clock = std::chrono::steady_clock;

  explicit Connection(boost::asio::ip::tcp::socket connected) : stream(std::move(connected)) {}

  /// The connection is closed when this has passed, to within a tenth of a second; 0: never. While
  /// a request is read, reading ends with an error first, and what is written within kLingerTimeout
  /// still goes out.
  void wait_at_most(std::chrono::milliseconds timeout) { deadline = after(timeout); }
  void wait() { deadline = Clock::time_point::max(); }
  /// The same for one who writes while another reads.
  void write_at_most(std::chrono::milliseconds timeout) { write_deadline = after(timeout); }
  void written() { write_deadline = Clock::time_point::max(); }

  static Clock::time_point after(std::chrono::milliseconds timeout) {
    return timeout.count() > 0 ? Clock::now() + timeout : Clock::time_point::max();
  }

  Stream stream;
  bool reading_request = false;  ///< Its read timeout runs.
  bool read_timed_out = false;
  Clock::time_point deadline = Clock::time_point::max();
  Clock::time_point write_deadline = Clock::time_point::max();
};

/// start() and stop() from one thread at a time; port(), address(), open(), requests() and
/// refused() from any; the rest from the io thread.
class Connections {
 public:
  using Converse = std::function<boost::asio::awaitable<void>(Connection&)>;

  /// `converse` serves one connection; it ends, and closes it, when its coroutine does. What it
  /// works with must outlive this object.
  Connections(ServerOptions options, Converse converse);
  ~Connections();  ///< Stops.
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  void start();  ///< As Server::start().
  void stop();   ///< As Server::stop().

  std::uint16_t port() const { return endpoint_.port(); }
  std::string address() const;
  std::size_t open() const { return open_; }
  std::size_t requests() const { return admitted_; }  ///< Being answered or waiting for a worker.
  std::uint64_t refused() const { return refused_; }  ///< Requests, since the start.

  void probe(std::function<void()> answered);  ///< As Server::probe(), from any thread.

  bool draining() const { return draining_; }
  /// Whether none but this machine can connect.
  bool loopback() const { return endpoint_.address().is_loopback(); }

  /// What a request is to be refused with; absent: it is let in, and begin() or on_worker() must
  /// follow.
  std::optional<Overloaded> overload();

  /// Runs `work()` on a worker, then `done(result)` here. Where `wanted()`, asked on the worker, is
  /// false by then, nothing is run and the result is Result(). None of them may throw.
  template <typename Result, typename Wanted, typename Work, typename Done>
  void begin(Wanted wanted, Work work, Done done) {
    struct Request final : Task {
      Request(Connections& of, Wanted asked, Work worked_on, Done told)
          : all(of), wanted(std::move(asked)), work(std::move(worked_on)), done(std::move(told)) {}

      void run() noexcept override {
        std::optional<Connection::Clock::duration> worked;
        if (wanted()) {
          const CurrentCall call(received);
          const auto start = Connection::Clock::now();
          result = work();
          worked = Connection::Clock::now() - start;
        }
        // Here and not in finish(): under overload the io thread has hundreds to refuse before it
        // comes to this answer, and the worker is free now.
        all.leave(worked);
      }
      void finish() noexcept override { std::move(done)(std::move(result)); }

      Connections& all;
      Wanted wanted;
      Work work;
      Done done;
      Connection::Clock::time_point received = Connection::Clock::now();
      Result result;
    };
    try {
      wake_workers_soon();
      workers_->add(
          std::make_unique<Request>(*this, std::move(wanted), std::move(work), std::move(done)));
    } catch (...) {  // no memory
      leave({});
      throw;
    }
  }

  /// The same for one who waits for the result. What `work` refers to must stay where it is until
  /// then.
  template <typename Result>
  boost::asio::awaitable<Result> on_worker(const std::function<Result()>& work) {
    return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&, void(Result)>(
        [this, &work](auto done) {
          this->begin<Result>([] { return true; }, [&work] { return work(); }, std::move(done));
        },
        boost::asio::use_awaitable);
  }

  /// A socket that is closed while bytes are unread is reset, and the peer may lose the last
  /// answer; so what still comes is read and dropped until the peer closes.
  boost::asio::awaitable<void> linger(Connection& connection);
  /// The second half of that, until the peer closes or the connection's time is over. What comes is
  /// not deciphered: nothing else can be read afterwards.
  boost::asio::awaitable<void> drop_what_comes(Connection& connection);

 private:
  void listen();
  void run();
  void drain();
  boost::asio::awaitable<void> accept();
  boost::asio::awaitable<void> enforce_timeouts();
  boost::asio::awaitable<void> serve(boost::asio::ip::tcp::socket socket);
  boost::asio::awaitable<bool> handshake(Connection& connection);

  void leave(std::optional<Connection::Clock::duration> worked);
  void wake_workers_soon();

  const ServerOptions options_;
  const std::size_t threads_;
  const Converse converse_;

  // The io thread's. They outlive `io_`, which destroys the coroutines that a drain has cut short.
  std::unordered_set<Connection*> connections_;
  bool draining_ = false;
  bool waking_soon_ = false;
  LogLimit accept_errors_;
  LogLimit too_many_connections_;
  LogLimit overloads_;
  LogLimit handshakes_;
  LogLimit faults_;

  std::mutex admission_mutex_;  // the io thread lets in, workers let go
  Admission admission_;
  std::atomic<std::size_t> open_{0};
  std::atomic<std::size_t> admitted_{0};  // what admission_ counts, for any thread
  std::atomic<std::uint64_t> refused_{0};
  boost::asio::ip::tcp::endpoint endpoint_;  // written before the threads start

  boost::asio::io_context io_{1};
  boost::asio::ip::tcp::acceptor acceptor_{io_};
  boost::asio::steady_timer accept_pause_{io_};
  boost::asio::steady_timer timeouts_{io_};
  boost::asio::steady_timer drain_end_{io_};
  std::optional<Workers> workers_;
  std::thread io_thread_;
};

}  // namespace fovea::api
