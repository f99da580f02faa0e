#include "api/experiment_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "api/config.h"
#include "api/declarations.h"

namespace fovea::api {
namespace {

constexpr double kWindowHoursMax = 24 * 3660;
constexpr std::int64_t kTimeMsMax = 253'402'300'799'999;  // the end of 9999

}  // namespace

void ExperimentFlags::add_to(CLI::App& command) {
  command.add_option("--data", data, "Data directory")->required()->type_name("DIR");
  command.add_option("--experiment", experiment, "Its name")->required()->type_name("E");
  command
      .add_option("--config", config, "TOML with its declaration; by default what the store keeps")
      ->type_name("FILE");
  command
      .add_option("--version", version, "Exposures of this version; by default the declared one")
      ->type_name("N");
  command.add_option("--success", success, "The action that counts; by default the declared one")
      ->type_name("ACTION");
  command
      .add_option("--window-hours", window_hours,
                  "How long after an exposure behaviours count that name no request; by default "
                  "until now")
      ->type_name("H");
  command.add_option("--now-ms", now_ms, "As of this time, in milliseconds since 1970")
      ->type_name("MS")
      ->check(CLI::Range(std::int64_t{0}, kTimeMsMax));
  command.add_flag("--json", json, "Print all numbers as JSON");
}

engine::Experiment ExperimentFlags::declared(storage::Db& db) const {
  const auto list = config.empty() ? kept_declarations(db) : read_config(config).experiments.list;
  const auto found = std::ranges::find(list, experiment, &engine::Experiment::name);
  if (found != list.end()) return *found;
  std::string names;
  for (const engine::Experiment& other : list) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", other.name);
  }
  const std::string none = config.empty()
                               ? "it has none: a server keeps the experiments of its configuration "
                                 "there, or give the file with --config"
                               : "it declares none, [[experiment]]";
  throw engine::InvalidRequest(
      "experiment",
      fmt::format("{} has no experiment '{}'; {}", config.empty() ? data.string() : config.string(),
                  experiment, names.empty() ? none : "it has these: " + names));
}

std::optional<std::int64_t> ExperimentFlags::window_ms() const {
  if (!window_hours) return std::nullopt;
  if (!(*window_hours > 0 && *window_hours <= kWindowHoursMax)) {
    throw std::invalid_argument(
        fmt::format("--window-hours is {}; more than 0 and at most {} is expected", *window_hours,
                    kWindowHoursMax));
  }
  return std::max<std::int64_t>(1, std::llround(*window_hours * 3'600'000));
}

std::int64_t ExperimentFlags::until_ms() const {
  if (now_ms) return *now_ms;
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace fovea::api
