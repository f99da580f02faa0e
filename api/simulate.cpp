// fovea experiment simulate: flags, and what was planted, as a table or JSON.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "api/experiment_flags.h"
#include "api/progress.h"
#include "api/simulation.h"
#include "api/tls_flags.h"
#include "storage/db.h"

namespace fovea::api {
namespace {

struct SimulateFlags {
  ExperimentFlags which;  // data and experiment of it
  std::string thrift = "127.0.0.1:7070";
  TlsFiles tls;
  std::string taste = "genre";
  SimulationOptions options;
  bool json = false;
};

boost::json::object to_json(const Simulation& simulation) {
  boost::json::array arms;
  for (std::size_t a = 0; a < simulation.arms.size(); ++a) {
    const Simulation::Arm& arm = simulation.arms[a];
    arms.push_back(boost::json::object{{"variant", arm.variant},
                                       {"users", arm.users},
                                       {"acted", arm.acted},
                                       {"expected", arm.expected},
                                       {"planted_lift", simulation.planted_lift(a)}});
  }
  return {{"arms", std::move(arms)},
          {"outside", simulation.outside},
          {"interleaved", simulation.interleaved}};
}

std::string to_text(const Simulation& simulation) {
  std::string text = fmt::format("{:<24}{:>10}{:>10}{:>16}{:>14}\n", "variant", "users", "acted",
                                 "expected share", "planted lift");
  for (std::size_t a = 0; a < simulation.arms.size(); ++a) {
    const Simulation::Arm& arm = simulation.arms[a];
    text += fmt::format("{:<24}{:>10}{:>10}{:>16.4f}{:>14}\n", arm.variant, arm.users, arm.acted,
                        arm.expected,
                        a == 0 ? "" : fmt::format("{:+.1f} %", 100 * simulation.planted_lift(a)));
  }
  if (simulation.interleaved > 0) {
    text += fmt::format("{} users had a list of both variants\n", simulation.interleaved);
  }
  if (simulation.outside > 0) {
    text += fmt::format("{} users were in no variant\n", simulation.outside);
  }
  return text;
}

void run(const SimulateFlags& flags) {
  const HostPort server = parse_host_port(flags.thrift);
  const auto db = storage::Db::open(flags.which.data, storage::Access::kReadOnly);
  const engine::Experiment experiment = flags.which.declared(*db);
  if (!experiment.success) {
    throw std::runtime_error(fmt::format(
        "experiment '{}' declares no success, so that nobody knows what to act with; add "
        "success = \"ACTION\"",
        experiment.name));
  }
  const Tastes tastes = tastes_of(db->catalog(), flags.taste);
  Progress progress = Progress::to_stderr();
  std::mutex told;
  const auto tell = [&](std::size_t done) {
    const std::lock_guard lock(told);
    progress.bar("playing", done, flags.options.users);
  };
  const Simulation simulation =
      simulate(server, flags.tls, experiment, tastes, flags.options, tell);
  if (flags.json) {
    std::cout << to_json(simulation) << '\n';
    return;
  }
  std::cout << to_text(simulation)
            << fmt::format(
                   "What the experiment shows: fovea experiment report --data {} "
                   "--experiment {}\n",
                   flags.which.data.string(), experiment.name);
}

constexpr const char* kSimulateHelp =
    R"(Each user has a taste, a value of --taste; he acts on a few items of it, asks the server for a
list and goes down it: what he likes he acts on with probability 0.2, other items with 0.02, and
after each place goes on with 0.85. What he does is recorded with the experiment's success action.
His list is also asked for by every variant's name, which is no exposure; the expected shares are
of those lists, so that the planted lift is what the report's interval must cover.

The users stay in the store: play on a copy, and another --seed for other users.

Example:
  fovea demo --data shop && fovea serve --data shop --config fovea.toml &
  fovea experiment simulate --data shop --experiment no-ranker --users 4000
  fovea experiment report --data shop --experiment no-ranker --html report.html)";

}  // namespace

void add_simulate(CLI::App& experiment) {
  const auto flags = std::make_shared<SimulateFlags>();
  CLI::App* command = experiment.add_subcommand(
      "simulate", "Play users of known tastes against a running server, to see an experiment work");
  command->footer(kSimulateHelp);
  command->add_option("--data", flags->which.data, "The directory that is served, read beside it")
      ->required()
      ->type_name("DIR");
  command->add_option("--thrift", flags->thrift, "Where it is served")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  add_client_tls(*command, flags->tls);
  command->add_option("--experiment", flags->which.experiment, "One that the server has")
      ->required()
      ->type_name("NAME");
  command->add_option("--taste", flags->taste, "Attribute whose values are tastes")
      ->capture_default_str()
      ->type_name("NAME");
  command->add_option("--users", flags->options.users, "How many play")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000));
  command->add_option("--behaviours", flags->options.behaviours, "Of each, before his list")
      ->capture_default_str()
      ->check(CLI::Range(0, 500));
  command->add_option("--limit", flags->options.limit, "Items of a list")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--connections", flags->options.connections, "Users that play at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--seed", flags->options.seed, "Of users, tastes and what they do")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Print it as JSON");
  command->callback([flags] { run(*flags); });
}

}  // namespace fovea::api
