// The store's folder before RocksDB sees it: made where there is none, refused where it holds
// something else. Owns no byte of the store.
#pragma once

#include <filesystem>

namespace fovea::storage {

std::filesystem::path store_path(const std::filesystem::path& directory);

/// Whether a store was once created in `directory`, whole or damaged.
bool holds_store(const std::filesystem::path& directory);

/// Makes `directory` and the folder of the store, durably, unless they are there. Throws
/// StoreError when they cannot be made or hold files that are not ours.
void prepare_directory(const std::filesystem::path& directory);

/// The names in `directory` are on the disk when this returns. Throws StoreError.
void sync_directory(const std::filesystem::path& directory);

}  // namespace fovea::storage
