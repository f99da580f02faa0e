// Which experiment of which store is meant, and what counts in it: the flags that report and
// off-policy share. Also names the commands that stand under `fovea experiment` in files of their
// own.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "engine/experiments.h"
#include "storage/db.h"

namespace fovea::api {

void add_report(CLI::App& experiment);
void add_off_policy(CLI::App& experiment);
void add_simulate(CLI::App& experiment);

struct ExperimentFlags {
  std::filesystem::path data;
  std::string experiment;
  std::filesystem::path config;         ///< Empty: what the store keeps.
  std::optional<std::int32_t> version;  ///< Absent: the declared one.
  std::optional<std::string> success;   ///< Absent: the declared one.
  std::optional<double> window_hours;
  std::optional<std::int64_t> now_ms;
  bool json = false;

  /// The store is open for reading only, so a server may have it.
  void add_to(CLI::App& command);
  /// Throws engine::InvalidRequest, which names the experiments that there are.
  engine::Experiment declared(storage::Db& db) const;
  /// Throws std::invalid_argument, which names the flag.
  std::optional<std::int64_t> window_ms() const;
  std::int64_t until_ms() const;
};

}  // namespace fovea::api
