// An evaluation for people and for programs: tables and JSON, of one version or of several seeds.
// Owns the layout; engine/evaluate measures.
#pragma once

#include <boost/json.hpp>
#include <span>
#include <string>

#include "engine/evaluate.h"

namespace fovea::api {

/// Fractions, not percent; the keys are those that `fovea evaluate --json` prints.
boost::json::object to_json(const engine::Evaluation& evaluation);
std::string table(const engine::Evaluation& evaluation);

/// One user as a line of `evaluate --users`.
boost::json::object to_json(const engine::EvaluatedUser& user);

/// Mean, and sample standard deviation as spread, of every number in `runs` (each as to_json()
/// gives it, at least two), in the same tree.
boost::json::object over_seeds(std::span<const std::uint64_t> seeds,
                               std::span<const boost::json::object> runs);
/// Of what over_seeds() gives.
std::string seeds_table(const boost::json::object& over_seeds);

}  // namespace fovea::api
