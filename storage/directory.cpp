#include "storage/directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>

#include "storage/db.h"

namespace fovea::storage {
namespace {

namespace fs = std::filesystem;

/// What a creation that was cut short leaves behind, and RocksDB takes over by itself.
bool of_unfinished_creation(std::string_view name) {
  return name == "LOCK" || name == "IDENTITY" || name.starts_with("MANIFEST-") ||
         name.starts_with("OPTIONS-") || name.ends_with(".dbtmp");
}

void create(const fs::path& directory) {
  std::error_code error;
  if (fs::is_directory(directory, error)) return;
  const fs::path parent = fs::absolute(directory).parent_path();
  if (parent != fs::absolute(directory)) create(parent);
  fs::create_directory(directory, error);
  if (error) {
    throw StoreError(
        fmt::format("cannot create the directory {}: {}", directory.string(), error.message()));
  }
  sync_directory(parent);
}

template <typename Ours>
void refuse_others(const fs::path& directory, const Ours& ours) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (ours(name)) continue;
    throw StoreError(
        fmt::format("{} holds no store, and {} is not part of one: name an empty or new directory",
                    directory.string(), name));
  }
  if (error) {
    throw StoreError(
        fmt::format("cannot read the directory {}: {}", directory.string(), error.message()));
  }
}

}  // namespace

void sync_directory(const fs::path& directory) {
  const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int failed = file < 0 || ::fsync(file) != 0 ? errno : 0;
  if (file >= 0) ::close(file);
  if (failed == 0) return;
  throw StoreError(fmt::format("cannot make the directory {} durable: {}", directory.string(),
                               std::strerror(failed)));
}

fs::path store_path(const fs::path& directory) { return directory / "store"; }

bool holds_store(const fs::path& directory) {
  std::error_code error;
  return fs::exists(store_path(directory) / "CURRENT", error);
}

void prepare_directory(const fs::path& directory) {
  if (holds_store(directory)) return;
  create(directory);
  // Versions are not ours, but they may stand there before the store does.
  refuse_others(directory,
                [](std::string_view name) { return name == "store" || name == "versions"; });
  create(store_path(directory));
  refuse_others(store_path(directory), of_unfinished_creation);
}

}  // namespace fovea::storage
