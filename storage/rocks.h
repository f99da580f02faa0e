// RocksDB as this store uses it: options, opening beside or instead of other processes, reads,
// writes and the erasure of files. Owns what happens when the disk fails; knows no item and no
// user. RocksDB's headers stay in here and in the folder's .cpp files.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/db.h"
#include "storage/expiry.h"
#include "storage/store_copy.h"

namespace fovea::storage {

struct KeyRange {
  std::string begin;
  std::string end;
};

class Rocks;

/// Keys from `begin` to before `end` in order, as they were when the scan was made. Holds the
/// store's files: an erasure waits for it.
class Scan {
 public:
  Scan(const Rocks& rocks, const std::string& begin, std::string end);

  bool valid() const;  ///< Throws StoreError when the scan has ended for an error.
  std::string_view key() const { return iterator_->key().ToStringView(); }
  std::string_view value() const { return iterator_->value().ToStringView(); }
  void next() { iterator_->Next(); }

 private:
  const Rocks& rocks_;
  std::shared_lock<std::shared_mutex> held_;
  std::string end_;
  rocksdb::Slice upper_bound_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

/// Thread-safe, every method. Whatever the disk refuses or has damaged is a StoreError.
class Rocks {
 public:
  static std::unique_ptr<Rocks> open(const std::filesystem::path& directory, Access access,
                                     const DbOptions& options);

  bool get(std::string_view key, rocksdb::PinnableSlice& value) const;  ///< False: not there.
  /// In the keys' order; absent: not there.
  std::vector<std::optional<rocksdb::PinnableSlice>> get_many(
      std::span<const std::string> keys) const;

  /// All of the batch or nothing; with the operating system when it returns: it survives this
  /// process, and the machine from the next sync() on. After a write or sync that failed the disk
  /// may hold some of it without anybody knowing, so no later write is taken until the store is
  /// opened again.
  void write(rocksdb::WriteBatch& batch);
  /// What was written before the call is on the disk when this returns; calls at the same time
  /// share one sync. Writes go on meanwhile.
  void sync();
  /// Throws StoreError after a write or sync that failed: what is read may not be on the disk, and
  /// must not be acknowledged.
  void check_not_failed() const;

  /// Removes every file that holds an older state of the ranges: flushes, compacts them down to
  /// the bottom, and returns when the files before are gone. The ranges' keys must have been
  /// deleted one by one (a range tombstone can outlive its keys at the bottom level).
  void erase_traces(std::span<const KeyRange> ranges);

  /// About what the keys that can be read take on the disk.
  std::uint64_t bytes() const;
  /// A new database in `folder` with those keys and no others; see StoreCopy::write.
  StoreCopy::Figures copy_to(
      const std::filesystem::path& folder, const DbOptions& options,
      const std::function<void(std::uint64_t done, std::uint64_t of)>& told) const;

  /// The error for a value or key that cannot be what it should be.
  [[nodiscard]] StoreError damaged(std::string_view what) const;

 private:
  friend class Scan;

  Rocks(const std::filesystem::path& directory, Access access, const DbOptions& options);
  rocksdb::Options rocks_options(const DbOptions& options) const;
  void open_writer(rocksdb::Options options);
  void open_reader(const rocksdb::Options& options);
  void check_format();
  void check_read(const rocksdb::Status& status) const;
  void check_erasure(const rocksdb::Status& status) const;
  bool any_left_of(std::uint64_t newest_number) const;
  std::uint64_t newest_file_number() const;
  void fail(const rocksdb::Status& status);

  const std::filesystem::path directory_;  // the data directory, for messages
  const std::filesystem::path path_;       // the store in it
  const Access access_;
  const ExposureExpiry expiry_;

  mutable std::shared_mutex scans_;  // shared by scans; an erasure waits for those before it
  std::mutex erasing_;               // one erasure at a time
  mutable std::mutex failure_mutex_;
  std::optional<std::string> failure_;  // why writes are refused

  // Syncs that writers wait for, by number.
  std::mutex sync_mutex_;
  std::condition_variable synced_;
  std::uint64_t syncs_wanted_ = 0;
  std::uint64_t syncs_done_ = 0;
  bool syncing_ = false;

  std::unique_ptr<rocksdb::DB> db_;  // last: closes before what it calls goes
};

}  // namespace fovea::storage
