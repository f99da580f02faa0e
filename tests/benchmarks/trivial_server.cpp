// What the server costs without what it serves: one trivial service behind api/server and behind
// Thrift's own TNonblockingServer, each in a process of its own, under the same loads.
//   fovea_trivial [--threads 2] [--rounds 5] [--seconds 2] [--connections 16] [--p99-max-ms 2]
// A closed loop keeps so many requests under way on each connection and tells how many a second are
// answered, and what processor time of the server's process each takes. The open loop is `fovea
// bench`'s own and tells the highest rate whose p99 keeps the bound. Servers take turns, so that a
// machine's mood meets all of them; the median of the rounds counts.
#include <fmt/format.h>
#include <fovea_wire/Fovea.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thrift/TOutput.h>
#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TNonblockingServerSocket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/asio.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "api/framing.h"
#include "api/load.h"
#include "api/server.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
namespace thrift = apache::thrift;
using Clock = std::chrono::steady_clock;
using asio::ip::tcp;
using thrift::transport::TMemoryBuffer;

/// Answers at once: an integer, and the list of a page.
class Trivial final : public FoveaNull {
 public:
  Trivial() {
    for (int i = 0; i < 20; ++i) {
      RankedItem item;
      item.item_id = fmt::format("item-{:06}", i);
      item.score = 1.0 / (1 + i);
      item.source = "vectors";
      response_.items.push_back(std::move(item));
    }
    response_.request_id = "0123456789abcdef";
    response_.model_version = "trivial";
    status_.version = "0";
    status_.device = "cpu";
    status_.ready = true;
  }
  void rank(RankResponse& response, const RankRequest&) override { response = response_; }
  std::int32_t record(const std::vector<Event>&) override { return 1; }
  void status(Status& status) override { status = status_; }

 private:
  RankResponse response_;
  Status status_;
};

// The servers. Each listens on a free port, tells it, and serves until its process is ended.

using TellPort = std::function<void(std::uint16_t)>;

[[noreturn]] void serve_ours(std::size_t threads, const TellPort& tell_port) {
  Trivial service;
  Server server(service, {.port = 0, .threads = threads});
  server.start();
  tell_port(server.port());
  for (;;) ::pause();
}

/// Where `pool`, requests are handed to so many threads and one reads and writes, as ours does it;
/// otherwise each of so many threads reads, answers and writes, which is as fast as it can be.
void serve_nonblocking(std::size_t threads, bool pool, const TellPort& tell_port) {
  struct Listening : thrift::server::TServerEventHandler {
    void preServe() override { tell(static_cast<std::uint16_t>(socket->getListenPort())); }
    std::shared_ptr<thrift::transport::TNonblockingServerSocket> socket;
    TellPort tell;
  };
  thrift::GlobalOutput.setOutputFunction([](const char*) {});  // seven lines for each start
  const auto listening = std::make_shared<Listening>();
  listening->socket = std::make_shared<thrift::transport::TNonblockingServerSocket>("127.0.0.1", 0);
  listening->tell = tell_port;
  std::shared_ptr<thrift::concurrency::ThreadManager> workers;
  if (pool) {
    workers = thrift::concurrency::ThreadManager::newSimpleThreadManager(threads);
    workers->threadFactory(std::make_shared<thrift::concurrency::ThreadFactory>());
    workers->start();
  }
  thrift::server::TNonblockingServer server(
      std::make_shared<FoveaProcessor>(std::make_shared<Trivial>()),
      std::make_shared<thrift::protocol::TBinaryProtocolFactory>(), listening->socket, workers);
  server.setNumIOThreads(pool ? 1 : threads);
  server.setServerEventHandler(listening);
  server.serve();
}

enum Kind { kOurs, kPool, kDirect };
constexpr std::array<const char*, 3> kNames = {"fovea", "TNonblockingServer, workers",
                                               "TNonblockingServer, no workers"};

/// A server in a process of its own, which ends with this object. Made while this process has one
/// thread only: the child goes on from a fork.
class Served {
 public:
  Served(Kind kind, std::size_t threads) {
    std::array<int, 2> pipe{};
    if (::pipe(pipe.data()) != 0) throw std::runtime_error("no pipe can be made");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("no process can be made");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // who measures may be killed
      const auto tell_port = [&](std::uint16_t port) {
        if (::write(pipe[1], &port, sizeof port) != sizeof port) ::_exit(1);
      };
      try {
        if (kind == kOurs) serve_ours(threads, tell_port);
        serve_nonblocking(threads, kind == kPool, tell_port);
      } catch (const std::exception& error) {
        fmt::print(stderr, "{} ended: {}\n", kNames[kind], error.what());
      }
      ::_exit(1);
    }
    ::close(pipe[1]);
    const auto read = ::read(pipe[0], &port_, sizeof port_);
    ::close(pipe[0]);
    if (read != sizeof port_) {
      end();
      throw std::runtime_error(fmt::format("{} did not start", kNames[kind]));
    }
    // Thrift's server listens before its threads are ready, and ends what comes in between.
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
  }
  ~Served() { end(); }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  std::uint16_t port() const { return port_; }

  double processor_s() const {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(pid_, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }

 private:
  void end() const {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

// The closed loop.

/// A framed binary call.
std::string framed_call(std::string_view method) {
  const auto memory = std::make_shared<TMemoryBuffer>();
  FoveaClient client(std::make_shared<thrift::protocol::TBinaryProtocol>(memory));
  if (method == "rank") {
    RankRequest request;
    request.__set_user_id("user-000001");
    client.send_rank(request);
  } else if (method == "record") {
    Event event;
    event.user_id = "user-000001";
    event.item_id = "item-000001";
    event.action = "view";
    client.send_record({event});
  } else {
    client.send_status();
  }
  const std::string message = memory->getBufferAsString();
  const auto header = frame_header(message.size());
  return std::string(header.begin(), header.end()) + message;
}

/// Throws what was answered in place of the method's result.
void check_answer(std::string_view method, std::span<const std::uint8_t> payload) {
  const auto memory = std::make_shared<TMemoryBuffer>(const_cast<std::uint8_t*>(payload.data()),
                                                      static_cast<std::uint32_t>(payload.size()));
  FoveaClient client(std::make_shared<thrift::protocol::TBinaryProtocol>(memory));
  if (method == "rank") {
    RankResponse response;
    client.recv_rank(response);
    if (response.items.size() != 20) throw std::runtime_error("the list is not of 20 items");
  } else if (method == "record") {
    if (client.recv_record() != 1) throw std::runtime_error("not one event was new");
  } else {
    Status status;
    client.recv_status(status);
    if (!status.ready) throw std::runtime_error("the status is not ready");
  }
}

struct ClosedLoop {
  std::size_t connections = 16;
  std::size_t pipelined = 1;
  std::string method;
};

/// One connection that sends a request for each answer. Answers are equal but for errors, so that
/// every one is compared in length with the first, which is read.
class Peer {
 public:
  Peer(asio::io_context& io, const tcp::endpoint& endpoint, const ClosedLoop& loop)
      : socket_(io), loop_(loop), call_(framed_call(loop.method)) {
    socket_.connect(endpoint);
    socket_.set_option(tcp::no_delay(true));
    send(loop.pipelined);
    receive();
  }

  std::size_t answered() const { return answered_; }

 private:
  void send(std::size_t count) {
    std::string calls;
    for (std::size_t i = 0; i < count; ++i) calls += call_;
    // Some hundred bytes, and at most `pipelined` calls are unread: they fit the socket's buffer.
    asio::write(socket_, asio::buffer(calls));
  }

  void receive() {
    const auto room = buffer_.room(1);
    socket_.async_read_some(asio::buffer(room.data(), room.size()),
                            [this](const boost::system::error_code& error, std::size_t bytes) {
                              if (error)
                                throw std::runtime_error("a connection ended: " + error.message());
                              buffer_.received(bytes);
                              take();
                              receive();
                            });
  }

  void take() {
    std::size_t frames = 0;
    for (;;) {
      const ParsedFrame parsed = reader_.next(buffer_.data());
      const auto* frame = std::get_if<Frame>(&parsed);
      if (frame == nullptr) break;
      if (answer_bytes_ == 0 || frame->payload.size() != answer_bytes_) {
        check_answer(loop_.method, frame->payload);
        answer_bytes_ = frame->payload.size();
      }
      buffer_.consume(frame->bytes());
      ++frames;
    }
    answered_ += frames;
    if (frames > 0) send(frames);
  }

  tcp::socket socket_;
  ClosedLoop loop_;
  std::string call_;
  ReceiveBuffer buffer_;
  FrameReader reader_{std::size_t{1} << 20};
  std::size_t answer_bytes_ = 0;
  std::size_t answered_ = 0;
};

struct Figures {
  double per_s = 0;         // answers
  double processor_us = 0;  // of the server's process, an answer
};

Figures measure(const Served& served, const ClosedLoop& loop, double seconds) {
  asio::io_context io{1};
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), served.port());
  std::deque<Peer> peers;
  for (std::size_t i = 0; i < loop.connections; ++i) peers.emplace_back(io, endpoint, loop);
  const auto answered = [&] {
    std::size_t sum = 0;
    for (const Peer& peer : peers) sum += peer.answered();
    return static_cast<double>(sum);
  };
  io.run_for(std::chrono::milliseconds{300});  // warm
  const double before = answered();
  const double processor_before_s = served.processor_s();
  const auto begin = Clock::now();
  io.run_for(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds)));
  const double taken_s = std::chrono::duration<double>(Clock::now() - begin).count();
  const double count = answered() - before;
  if (count < 1) throw std::runtime_error("nothing was answered");
  return {count / taken_s, (served.processor_s() - processor_before_s) / count * 1e6};
}

// The open loop.

/// The highest rate, in steps of a tenth, whose p99 keeps the bound; 0: none did.
double highest_rate(const Served& served, std::size_t connections, double seconds,
                    double p99_max_ms, double first_rate) {
  Population population;
  for (int i = 0; i < 1000; ++i) population.users.push_back(fmt::format("user-{:06}", i));
  double best = 0;
  int misses = 0;
  for (double rate = first_rate; misses < 2; rate *= 1.1) {
    Workload workload(population, {});
    const auto target = connect_target({"127.0.0.1", served.port()}, connections);
    const LoadResult result = run_load(
        *target, workload,
        {.rate_per_s = rate, .seconds = seconds, .warm_up_s = 0.3, .drain_s_max = 2, .seed = 1});
    const bool kept = result.failed() == 0 &&
                      static_cast<double>(result.latency.at_us(0.99)) <= p99_max_ms * 1000;
    if (kept) best = rate;
    misses = kept ? 0 : misses + 1;
  }
  return best;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Flags {
  std::size_t threads = 2;
  std::size_t rounds = 5;
  double seconds = 2;
  std::size_t connections = 16;
  double p99_max_ms = 2;
  double first_rate = 5000;
  bool open_loop = true;
};

void print_row(const std::string& load, Kind kind, const std::vector<double>& per_s,
               const std::vector<double>& processor_us, double ours) {
  const auto [least, most] = std::ranges::minmax(per_s);
  fmt::print("{:<26} {:<31} {:>9.0f} {:>9.0f} {:>9.0f} {:>12} {:>7}\n", load, kNames[kind],
             median(per_s), least, most,
             processor_us.empty() ? "" : fmt::format("{:.1f}", median(processor_us)),
             median(per_s) > 0 ? fmt::format("{:.2f}", ours / median(per_s)) : "-");
  std::fflush(stdout);
}

void compare(const Flags& flags) {
  constexpr std::array kKinds = {kOurs, kPool, kDirect};
  fmt::print(
      "{} threads each, {} connections, {} rounds of {:g} s, {} cores\n\n{:<26} {:<31} "
      "{:>9} {:>9} {:>9} {:>12} {:>7}\n",
      flags.threads, flags.connections, flags.rounds, flags.seconds,
      std::thread::hardware_concurrency(), "load", "server", "per s", "least", "most",
      "cpu us each", "fovea x");
  const auto turns = [&](const std::string& load, const auto& measured) {
    std::array<std::vector<double>, 3> per_s;
    std::array<std::vector<double>, 3> processor_us;
    for (std::size_t round = 0; round < flags.rounds; ++round) {
      for (const Kind kind : kKinds) {
        const Served served(kind, flags.threads);
        Figures figures;
        try {
          figures = measured(served);
        } catch (const std::exception& error) {
          throw std::runtime_error(
              fmt::format("{}, {}, round {}: {}", load, kNames[kind], round + 1, error.what()));
        }
        per_s[kind].push_back(figures.per_s);
        if (figures.processor_us > 0) processor_us[kind].push_back(figures.processor_us);
      }
    }
    for (const Kind kind : kKinds) {
      print_row(load, kind, per_s[kind], processor_us[kind], median(per_s[kOurs]));
    }
  };
  for (const char* method : {"status", "record", "rank"}) {
    for (const std::size_t pipelined : {1, 8}) {
      const ClosedLoop loop{
          .connections = flags.connections, .pipelined = pipelined, .method = method};
      turns(fmt::format("{}, {} a connection", method, pipelined),
            [&](const Served& served) { return measure(served, loop, flags.seconds); });
    }
  }
  if (!flags.open_loop) return;
  turns(fmt::format("rank, p99 within {:g} ms", flags.p99_max_ms), [&](const Served& served) {
    return Figures{.per_s = highest_rate(served, flags.connections, flags.seconds, flags.p99_max_ms,
                                         flags.first_rate)};
  });
}

}  // namespace
}  // namespace fovea::api

int main(int count, char** values) {
  CLI::App app(
      "Compares api/server with Thrift's TNonblockingServer, the same service behind both");
  fovea::api::Flags flags;
  app.add_option("--threads", flags.threads, "Of each server")->capture_default_str();
  app.add_option("--rounds", flags.rounds)->capture_default_str()->check(CLI::Range(1, 100));
  app.add_option("--seconds", flags.seconds, "Of each measurement")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 600.0));
  app.add_option("--connections", flags.connections)
      ->capture_default_str()
      ->check(CLI::Range(1, 500));
  app.add_option("--p99-max-ms", flags.p99_max_ms, "Of the open loop")->capture_default_str();
  app.add_option("--first-rate", flags.first_rate, "Of the open loop, requests a second")
      ->capture_default_str();
  app.add_flag("!--no-open-loop", flags.open_loop);
  CLI11_PARSE(app, count, values);
  try {
    fovea::api::compare(flags);
  } catch (const std::exception& error) {
    fmt::print(stderr, "fovea_trivial: {}\n", error.what());
    return 1;
  }
  return 0;
}
