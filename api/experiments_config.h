// Experiments as people declare them in the configuration file: [[experiment]], its
// [[experiment.variant]]s with what each sets, and [holdout]. Owns the keys; what their values must
// keep is engine/experiments'.
#pragma once

#include <filesystem>

#include "api/toml.h"
#include "engine/experiments.h"

namespace fovea::api {

// Both throw std::runtime_error with file, line and what is expected there: a key that is not
// known, a value of another type, or what engine::validate refuses.

/// `node` is what stands under `experiment`. All of them or none.
std::vector<engine::Experiment> read_experiments(const std::filesystem::path& file,
                                                 const toml::node& node);

/// `node` is what stands under `holdout`.
engine::Holdout read_holdout(const std::filesystem::path& file, const toml::node& node);

}  // namespace fovea::api
