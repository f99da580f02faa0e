// The configuration file, TOML: what a server is told beside its flags. Knows every table there is
// and every key of an action, so that a misspelt one is an error and not a silence; which keys
// [server] has is serve_settings'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "engine/experiments.h"
#include "storage/catalog.h"

namespace fovea::engine {
class Engine;
}

namespace fovea::api {

/// A key of [server], as the file has it.
struct FileSetting {
  std::string key;
  std::size_t line = 0;
  /// Nothing: of a type that no setting has.
  std::variant<std::monostate, std::string, std::int64_t, double, bool, std::vector<std::string>>
      value;
  std::string shown;  ///< For people: the string "4", the number 1.5, a list.
};

struct Config {
  std::vector<storage::Action> actions;  ///< [actions.NAME] weight, 1 where it is left out.
  std::set<std::string> not_seen;        ///< [actions.NAME] seen = false
  engine::Experiments experiments;       ///< [[experiment]] and [holdout]
  std::vector<FileSetting> server;       ///< In the order of the file.
};

/// Reads on behind a mistake: each becomes a sentence with file, line and what is expected there.
Config read_config(const std::filesystem::path& file, std::vector<std::string>& complaints);
/// Throws std::runtime_error with those sentences, one a line.
Config read_config(const std::filesystem::path& file);

/// Declares the actions, or changes their weights.
void declare_actions(engine::Engine& engine, const Config& config);

}  // namespace fovea::api
