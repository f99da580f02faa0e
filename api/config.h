// The configuration file, TOML: what a server is told beside its flags. Knows every key there is,
// so that a misspelt one is an error and not a silence.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "storage/catalog.h"

namespace fovea::engine {
class Engine;
}

namespace fovea::api {

struct Config {
  std::vector<storage::Action> actions;  ///< [actions.NAME] weight, 1 where it is left out.
  std::set<std::string> not_seen;        ///< [actions.NAME] seen = false
};

/// Throws std::runtime_error with file, line and what is expected there.
Config read_config(const std::filesystem::path& file);

/// Declares the actions, or changes their weights.
void declare_actions(engine::Engine& engine, const Config& config);

}  // namespace fovea::api
