#include "engine/backup.h"

#include <fmt/format.h>

#include <stdexcept>

#include "engine/backup_target.h"
#include "engine/models.h"
#include "storage/store_copy.h"

namespace fovea::engine {

namespace fs = std::filesystem;

BackupResult back_up(const fs::path& data, const fs::path& target, const BackupProgress& told) {
  try {
    // Whoever may not read it is told so, and not that it holds no store.
    const fs::directory_iterator readable(data);
    BackupTarget backup(data, target);
    BackupResult result;
    // Versions before the store: rows are only added, so that the store knows every row of a
    // version that was there before it was read.
    result.versions = Versions(data).copy_to(backup.folder());
    result.current_version = Versions(backup.folder()).current().value_or("");
    const storage::StoreCopy store(data);
    backup.check_space(store.bytes());
    const auto figures = store.write(backup.store_folder(), told);
    backup.finish();
    result.keys = figures.keys;
    result.store_bytes = figures.bytes;
    return result;
  } catch (const fs::filesystem_error& error) {
    throw std::runtime_error(fmt::format("cannot back up {} to {}: {}: {}", data.string(),
                                         target.string(), error.path1().string(),
                                         error.code().message()));
  }
}

}  // namespace fovea::engine
