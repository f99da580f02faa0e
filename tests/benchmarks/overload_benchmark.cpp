// What is left of a server under three times what it can do: raises the rate until no more is
// answered, then asks for three times that. The server is a process of its own, so that its memory
// can be told; the generator is that of `fovea bench`, on the same machine, whose share it takes.
//   fovea_overload DATA [SECONDS 5] [ROUNDS 3]
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "api/load.h"
#include "api/server.h"
#include "engine/engine.h"

namespace {

using fovea::api::LoadResult;
using fovea::api::Outcome;

constexpr std::size_t kConnections = 900;  // below what a server takes by default
constexpr double kFirstRate = 100;
constexpr double kRateFactor = 1.5;
constexpr double kGrowth = 1.03;  // less than that is no more
constexpr double kOverload = 3;

/// A server in a child process; ended with this object.
class Served {
 public:
  explicit Served(const std::filesystem::path& data) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) throw std::runtime_error("there is no pipe");
    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("there is no process");
    if (process_ == 0) serve(data, ends[1]);
    ::close(ends[1]);
    const bool told = ::read(ends[0], &port_, sizeof port_) == sizeof port_;
    ::close(ends[0]);
    if (!told) throw std::runtime_error("the server did not start");
  }
  ~Served() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  std::uint16_t port() const { return port_; }
  /// Of all its threads.
  double processor_s() const {
    std::ifstream file("/proc/" + std::to_string(process_) + "/stat");
    std::string stat;
    std::getline(file, stat);
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));  // a name may hold spaces
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  double resident_mib() const {
    std::ifstream status("/proc/" + std::to_string(process_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
    }
    return 0;
  }

 private:
  [[noreturn]] static void serve(const std::filesystem::path& data, int tell) {
    try {
      const auto engine = fovea::engine::Engine::open(data);
      fovea::api::Server server(*engine, {.port = 0});
      server.start();
      const std::uint16_t port = server.port();
      if (::write(tell, &port, sizeof port) == sizeof port) {
        for (;;) ::pause();
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "fovea_overload: %s\n", error.what());
    }
    ::_exit(1);
  }

  pid_t process_ = 0;
  std::uint16_t port_ = 0;
};

class Bench {
 public:
  Bench(const std::filesystem::path& data, double seconds)
      : served_(data),
        population_(fovea::api::population_of(
            *fovea::storage::Db::open(data, fovea::storage::Access::kReadOnly), 1)),
        workload_(population_, {}),
        target_(fovea::api::connect_target({"127.0.0.1", served_.port()}, kConnections)),
        seconds_(seconds) {}

  struct Measured {
    double answered_per_s = 0;
    double answered_per_processor_s = 0;  ///< Of the server: what others take is not its doing.
  };

  Measured at(double rate) {
    const double before_s = served_.processor_s();
    // Without a warm-up all that the server works for is counted.
    const LoadResult result =
        fovea::api::run_load(*target_, workload_, {.rate_per_s = rate, .seconds = seconds_});
    const double server_s = served_.processor_s() - before_s;
    const auto refusal_ms = [&](double share) {
      return static_cast<double>(result.refusal.at_us(share)) / 1000;
    };
    const auto answered = static_cast<double>(result.of(Outcome::kAnswered));
    std::printf("%8.0f %10.0f %10.0f %9zu %8zu %8.1f %8.2f %8.2f %8.2f %8.1f %8.2f %8.2f %8.1f\n",
                rate, result.answered_per_s, answered / server_s, result.of(Outcome::kOverloaded),
                result.failed() - result.of(Outcome::kOverloaded),
                static_cast<double>(result.latency.at_us(.99)) / 1000, refusal_ms(.5),
                refusal_ms(.99), static_cast<double>(result.refusal.most_us()) / 1000,
                static_cast<double>(result.lateness.at_us(.99)) / 1000, result.generator_s,
                server_s, served_.resident_mib());
    std::fflush(stdout);
    return {result.answered_per_s, answered / server_s};
  }

  /// The most that is answered a second at any rate.
  double peak() {
    double most = 0;
    double rate = kFirstRate;
    for (int misses = 0; misses < 2; rate = std::round(rate * kRateFactor)) {
      const double answered = at(rate).answered_per_s;
      misses = answered > most * kGrowth ? 0 : misses + 1;
      most = std::max(most, answered);
    }
    return most;
  }

 private:
  Served served_;
  fovea::api::Population population_;
  fovea::api::Workload workload_;
  std::unique_ptr<fovea::api::Target> target_;
  double seconds_;
};

void run(int count, char** values) {
  if (count < 2) throw std::invalid_argument("fovea_overload DATA [SECONDS] [ROUNDS]");
  const double seconds = count > 2 ? std::atof(values[2]) : 5;
  const int rounds = count > 3 ? std::atoi(values[3]) : 3;
  if (seconds <= 0 || rounds <= 0) throw std::invalid_argument("SECONDS and ROUNDS are above 0");
  Bench bench(values[1], seconds);
  std::printf("%8s %10s %10s %9s %8s %8s %26s %8s %8s %8s %8s\n", "rate", "answered/s", "/server s",
              "refused", "failed", "p99 ms", "refusal ms p50, p99, most", "late p99", "gen s",
              "server s", "RSS MiB");
  const double rate = bench.peak();
  // In turns: a machine that is busy elsewhere is so for both.
  for (int round = 0; round < rounds; ++round) {
    const auto peak = bench.at(rate);
    const auto overloaded = bench.at(kOverload * rate);
    std::printf("under %.0f times the load %.0f %% as many a second, %.0f %% a processor second\n",
                kOverload, 100 * overloaded.answered_per_s / peak.answered_per_s,
                100 * overloaded.answered_per_processor_s / peak.answered_per_processor_s);
  }
}

}  // namespace

int main(int count, char** values) {
  try {
    run(count, values);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fovea_overload: %s\n", error.what());
    return 1;
  }
  return 0;
}
