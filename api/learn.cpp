// fovea learn: flags, rounds at an interval, low priority, and a gentle end.
#include <fmt/format.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "api/commands.h"
#include "api/duration.h"
#include "api/recipe_flags.h"
#include "engine/relearning.h"

namespace fovea::api {
namespace {

struct LearnFlags {
  std::filesystem::path data;
  std::string every = "1h";
  std::string split = "leave-one-out";
  std::size_t rounds = 0;
  engine::RelearnOptions options;
};

/// Requests to stop from SIGINT and SIGTERM, for as long as it lives.
class StopOnSignal {
 public:
  StopOnSignal() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (!error) stop_.request_stop();
    });
    thread_ = std::jthread([this] { io_.run(); });
  }
  ~StopOnSignal() { io_.stop(); }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_{io_, SIGINT, SIGTERM};
  std::stop_source stop_;
  std::jthread thread_;
};

/// Processor and disk only where nobody else wants them: for every thread that there is, of
/// libraries too, and so for those that they start. Where the kernel or a container refuses,
/// training goes on as any other process.
void take_what_is_left() {
  constexpr int kLowest = 19;
  // Of linux/ioprio.h, which is no C++: a class above 13 bits of level, and one thread by its id.
  constexpr int kIdleClass = 3;
  constexpr int kOfThread = 1;
  const sched_param none{};
  bool refused = false;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const auto thread = static_cast<pid_t>(std::stol(task.path().filename().string()));
    refused |= ::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), kLowest) != 0;
    refused |= ::sched_setscheduler(thread, SCHED_IDLE, &none) != 0;
    refused |= ::syscall(SYS_ioprio_set, kOfThread, thread, kIdleClass << 13) != 0;
  }
  if (refused) spdlog::warn("the lowest priority was refused for processor or disk");
}

/// Returns at once when a stop is requested.
void wait(std::chrono::steady_clock::time_point until, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_until(lock, stop, until, [] { return false; });
}

void learn(LearnFlags flags) {
  const std::chrono::seconds every = parse_duration("--every", flags.every);
  flags.options.learn.split = engine::parse_split(flags.split);
  take_what_is_left();
  const StopOnSignal signals;
  flags.options.learn.stop = signals.token();
  engine::Relearning relearning(flags.data, flags.options);
  spdlog::info("learning from {} every {}", flags.data.string(), flags.every);
  const auto progress = [](const engine::LearnProgress& step) {
    spdlog::debug("{}: {}", step.stage, step.message);
  };
  for (std::size_t round = 1; !signals.token().stop_requested(); ++round) {
    const auto next = std::chrono::steady_clock::now() + every;
    try {
      spdlog::info("round {}: {}", round, relearning.round(progress));
    } catch (const engine::Stopped& stopped) {
      spdlog::info("round {}: {}", round, stopped.what());
      return;
    } catch (const std::exception& error) {  // the disk may have room, or the store items, by then
      spdlog::error("round {}: {}", round, error.what());
    }
    if (round == flags.rounds) return;
    wait(next, signals.token());
  }
  spdlog::info("stopped between rounds");
}

}  // namespace

void add_learn(CLI::App& app) {
  const auto flags = std::make_shared<LearnFlags>();
  engine::RelearnOptions& options = flags->options;
  CLI::App* command =
      app.add_subcommand("learn", "Train again and again, beside the server of a store");
  command->footer(
      "Each round goes on from the version that serves, every so manieth starts from nothing, and\n"
      "one with nothing new to learn is passed over. A version that is worse than the one that\n"
      "serves is not published. It takes processor and disk only where nobody else wants them;\n"
      "SIGTERM ends it after the epoch under way, and the next start goes on there.\n\n"
      "Example:\n  fovea learn --data shop --every 1h");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command
      ->add_option("--every", flags->every,
                   "From the start of a round to the next: 30s, 15m, 1h, 1d")
      ->capture_default_str()
      ->type_name("TIME");
  command
      ->add_option("--full-every", options.full_every,
                   "Every so manieth training starts from nothing; 1: all of them")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  command->add_option("--rounds", flags->rounds, "End after so many; 0: never")
      ->capture_default_str();
  command
      ->add_option("--keep", options.learn.versions_kept,
                   "Versions that stay on the disk, besides the one that served before")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1000}));
  add_recipe(*command, options.learn, flags->split);
  command->callback([flags] { learn(*flags); });
}

}  // namespace fovea::api
