// Declarations of experiments kept in the store, as the same TOML that people write: what was kept
// is read by the parser and the rules of api/experiments_config. Owns the way there and back.
#pragma once

#include <string>
#include <vector>

#include "engine/experiments.h"
#include "storage/db.h"

namespace fovea::api {

/// One [[experiment]] that reads as `experiment` does, key by key.
std::string to_toml(const engine::Experiment& experiment);

/// A [holdout] that reads as `holdout` does.
std::string to_toml(const engine::Holdout& holdout);

/// Keeps each, durably, in the place of an earlier version of it; what is kept already is not
/// written again. Experiments that are declared no more stay, for their reports.
void keep_declarations(storage::Db& db, const engine::Experiments& experiments);

/// In the order of their names. Throws std::runtime_error, led by the experiment's name, for one
/// that this program cannot read.
std::vector<engine::Experiment> kept_declarations(storage::Db& db);

}  // namespace fovea::api
