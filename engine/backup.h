// A data directory copied beside the server that writes to it. Owns what belongs to a backup, in
// which order it is read and when it gets its name; how keys are copied is storage/store_copy, how
// versions are engine/models.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace fovea::engine {

struct BackupResult {
  std::uint64_t keys = 0;             ///< Of the store.
  std::uint64_t store_bytes = 0;      ///< Of the store's tables in the backup.
  std::vector<std::string> versions;  ///< Oldest first.
  std::string current_version;        ///< Empty: the data directory has none to serve.
};

/// Keys of the store so far, and about how many there are.
using BackupProgress = std::function<void(std::uint64_t done, std::uint64_t of)>;

/// Writes to `target` a data directory that can be served from there: every event, item and
/// exposure that was acknowledged before the call, whatever writes to `data` meanwhile, no user who
/// had been deleted before, and the versions published before, each whole. `target` must not be
/// there or be an empty directory, and it is filled under the name of `target` + ".unfinished",
/// which is never taken for a data directory; what a killed backup leaves under that name the next
/// one removes. When this returns the backup is on the disk.
///
/// Throws std::invalid_argument for a target that cannot be one, storage::StoreError and
/// VersionError for data that is not there or damaged, std::runtime_error where the disk is full or
/// refuses; what was written is removed then.
BackupResult back_up(const std::filesystem::path& data, const std::filesystem::path& target,
                     const BackupProgress& told);

}  // namespace fovea::engine
