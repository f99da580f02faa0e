// The generated shop that the store and ranking benchmarks read: one data directory, made once,
// gone at exit.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "engine/synthetic.h"

namespace fovea::benchmarks {

inline constexpr engine::SyntheticOptions kShop{.users = 5000, .items = 5000, .seed = 1};

/// A data directory with the shop imported and a model of a few epochs: speed does not depend on
/// how good it is.
const std::filesystem::path& shop_directory();

/// Some user of the shop, another one each time `n` changes.
const std::string& shop_user(std::size_t n);

}  // namespace fovea::benchmarks
