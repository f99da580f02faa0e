// Generated shops: the one that the store and ranking benchmarks read, made once and gone at exit,
// and others of any size.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/synthetic.h"

namespace fovea::benchmarks {

inline constexpr engine::SyntheticOptions kShop{.users = 5000, .items = 5000, .seed = 1};

/// Fills a data directory with the generated shop of these options; returns its users' ids.
std::vector<std::string> generate(const std::filesystem::path& directory,
                                  const engine::SyntheticOptions& options);

/// A data directory with the shop imported and a model of a few epochs: speed does not depend on
/// how good it is.
const std::filesystem::path& shop_directory();

/// Some user of the shop, another one each time `n` changes.
const std::string& shop_user(std::size_t n);

}  // namespace fovea::benchmarks
