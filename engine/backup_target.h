// Where a backup is written: a folder beside the target until all of it is on the disk. Owns the
// names, and that at no moment anything but a whole backup can be opened as a data directory; what
// is in it is engine/backup's.
#pragma once

#include <filesystem>

namespace fovea::engine {

/// Removes what was written unless it was finished. One thread.
class BackupTarget {
 public:
  /// Makes the unfinished folder; takes the place of one that a killed backup left. Throws
  /// std::invalid_argument: `target` is neither absent nor an empty directory, is inside `data`, or
  /// is where another disk is mounted; std::runtime_error: cannot be made, or another backup is
  /// writing it.
  BackupTarget(const std::filesystem::path& data, const std::filesystem::path& target);
  ~BackupTarget();
  BackupTarget(const BackupTarget&) = delete;
  BackupTarget& operator=(const BackupTarget&) = delete;

  /// The data directory to be, for everything but the store.
  const std::filesystem::path& folder() const { return unfinished_; }
  /// Empty: where the store is to be made, under a name by which nobody opens it.
  std::filesystem::path store_folder() const;

  /// Throws std::runtime_error unless so many bytes are free there.
  void check_space(std::uintmax_t bytes) const;
  /// Gives folder and store their names, durably. Both must be on the disk.
  void finish();

 private:
  void take();

  std::filesystem::path target_;
  std::filesystem::path unfinished_;
  int lock_ = -1;  // the folder, opened; locked for as long as this process writes it
};

}  // namespace fovea::engine
