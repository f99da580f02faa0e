#include "engine/backup_target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "engine/files.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;

// A data directory with a file of this name and without a store is refused by whoever opens it.
constexpr const char* kStoreToBe = "store.unfinished";
constexpr const char* kStore = "store";
constexpr const char* kVersions = "versions";

/// Absolute, without links and dots, and without a slash at its end; it need not be there.
fs::path resolved(const fs::path& path) {
  const fs::path whole = fs::weakly_canonical(fs::absolute(path));
  return whole.has_filename() ? whole : whole.parent_path();
}

bool is_inside(const fs::path& path, const fs::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first ==
         directory.end();
}

void check_target(const fs::path& target, const fs::path& data) {
  if (is_inside(target, data)) {
    throw std::invalid_argument(fmt::format(
        "{} is inside the data directory {}: a backup belongs outside of what it is a backup of",
        target.string(), data.string()));
  }
  if (!target.has_relative_path() || !fs::is_directory(target.parent_path())) {
    throw std::invalid_argument(
        fmt::format("there is no directory {} to make the backup in; make it, or name another",
                    target.parent_path().string()));
  }
  if (!fs::exists(fs::symlink_status(target))) return;
  if (!fs::is_directory(target) || !fs::is_empty(target)) {
    throw std::invalid_argument(
        fmt::format("{} is there already and not an empty directory; name another, since a backup "
                    "is written over nothing",
                    target.string()));
  }
  struct stat of_target{};
  struct stat of_parent{};
  if (::stat(target.c_str(), &of_target) == 0 &&
      ::stat(target.parent_path().c_str(), &of_parent) == 0 &&
      of_target.st_dev != of_parent.st_dev) {
    throw std::invalid_argument(
        fmt::format("another disk is mounted on {}, which can therefore not be renamed; name a "
                    "directory in it, such as {}",
                    target.string(), (target / "fovea").string()));
  }
}

/// Versions first: as long as anything is left, so is the name that keeps the folder from being
/// opened.
void remove_unfinished(const fs::path& folder) {
  fs::remove_all(folder / kVersions);
  fs::remove_all(folder);
}

}  // namespace

BackupTarget::BackupTarget(const fs::path& data, const fs::path& target) {
  try {
    target_ = resolved(target);
    unfinished_ = target_.string() + ".unfinished";
    check_target(target_, resolved(data));
    take();
  } catch (const fs::filesystem_error& error) {
    if (lock_ >= 0) ::close(lock_);
    throw std::runtime_error(
        fmt::format("cannot make a backup in {}: {}", target.string(), error.code().message()));
  } catch (...) {
    if (lock_ >= 0) ::close(lock_);
    throw;
  }
}

void BackupTarget::take() {
  const bool was_there = !fs::create_directory(unfinished_);
  lock_ = ::open(unfinished_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) {
    throw fs::filesystem_error("open", unfinished_, {errno, std::generic_category()});
  }
  struct stat locked{};
  struct stat named{};
  // Another backup may have taken the folder, or ended and renamed it, since it was looked at.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 || ::fstat(lock_, &locked) != 0 ||
      ::stat(unfinished_.c_str(), &named) != 0 || locked.st_ino != named.st_ino) {
    throw std::runtime_error(fmt::format("another backup to {} is under way", target_.string()));
  }
  if (was_there) {
    for (const auto& entry : fs::directory_iterator(unfinished_)) {
      if (entry.path().filename() == kStoreToBe || entry.path().filename() == kVersions) continue;
      throw std::invalid_argument(
          fmt::format("{} is not what a killed backup has left, since it holds {}; move it away, "
                      "or name another target",
                      unfinished_.string(), entry.path().filename().string()));
    }
    fs::remove_all(unfinished_ / kVersions);
    fs::remove_all(unfinished_ / kStoreToBe);
  }
  fs::create_directory(unfinished_ / kStoreToBe);
}

BackupTarget::~BackupTarget() {
  if (!unfinished_.empty()) {
    try {
      remove_unfinished(unfinished_);
    } catch (const fs::filesystem_error&) {  // NOLINT(bugprone-empty-catch): nobody opens it
    }
  }
  ::close(lock_);
}

fs::path BackupTarget::store_folder() const { return unfinished_ / kStoreToBe; }

void BackupTarget::check_space(std::uintmax_t bytes) const {
  const auto free = fs::space(unfinished_).available;
  if (free >= bytes) return;
  throw std::runtime_error(
      fmt::format("the backup takes about {} MB and {} has {} MB free; free some, or name a "
                  "directory on another disk",
                  (bytes >> 20) + 1, target_.parent_path().string(), free >> 20));
}

void BackupTarget::finish() {
  // The store's name comes last and at once: before it nobody opens the directory, whatever ends
  // this process.
  sync(unfinished_);
  fs::rename(unfinished_, target_);
  unfinished_ = target_;
  sync(target_.parent_path());
  fs::rename(target_ / kStoreToBe, target_ / kStore);
  sync(target_);
  unfinished_.clear();
}

}  // namespace fovea::engine
