#include "storage/rocks.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include "storage/bytes.h"
#include "storage/directory.h"
#include "storage/keys.h"
#include "storage/merge.h"

namespace fovea::storage {
namespace {

constexpr std::size_t kSuccessiveMerges = 32;
/// A smaller arena of memtables would be full after a few writes.
constexpr std::size_t kWriteBufferBytesMin = std::size_t{8} << 20;
constexpr int kOpenAttempts = 100;
constexpr std::chrono::milliseconds kOpenRetry{10};

/// RocksDB's own log names keys, and a deleted user must not be found in it. What goes wrong comes
/// back as the status of a call.
class NoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::CompressionType fast_compression() {
  const auto known = rocksdb::GetSupportedCompressions();
  return std::find(known.begin(), known.end(), rocksdb::kLZ4Compression) != known.end()
             ? rocksdb::kLZ4Compression
             : rocksdb::kNoCompression;
}

bool held_by_another(const rocksdb::Status& status) {
  const std::string text = status.ToString();
  return status.IsIOError() && text.find("LOCK: ") != std::string::npos &&
         (text.find("lock hold by current process") != std::string::npos ||
          text.find("temporarily unavailable") != std::string::npos);
}

std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

Rocks::Rocks(const std::filesystem::path& directory, Access access, const DbOptions& options)
    : directory_(directory),
      path_(store_path(directory)),
      access_(access),
      expiry_(options.exposure_days_max, options.trial_days_max) {}

std::unique_ptr<Rocks> Rocks::open(const std::filesystem::path& directory, Access access,
                                   const DbOptions& options) {
  std::unique_ptr<Rocks> rocks(new Rocks(directory, access, options));
  if (access == Access::kReadWrite) {
    rocks->open_writer(rocks->rocks_options(options));
  } else {
    rocks->open_reader(rocks->rocks_options(options));
  }
  rocks->check_format();
  return rocks;
}

rocksdb::Options Rocks::rocks_options(const DbOptions& options) const {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.memory_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.block_size = std::size_t{16} << 10;  // about one full history
  table.format_version = 5;

  rocksdb::Options rocks;
  rocks.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  // What memtables take is charged to the cache, so that one number bounds both.
  rocks.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(
      std::max(options.memory_bytes / 4, kWriteBufferBytesMin), table.block_cache);
  rocks.merge_operator = std::make_shared<StoreMerge>(options.history_events_max);
  rocks.max_successive_merges = kSuccessiveMerges;
  rocks.compaction_filter = &expiry_;
  rocks.compression = fast_compression();
  rocks.level_compaction_dynamic_level_bytes = true;
  rocks.bytes_per_sync = std::size_t{1} << 20;
  rocks.max_open_files = -1;
  rocks.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // No track_and_verify_wals_in_manifest: 7.8 may note that a log was synced after it noted that
  // the log has gone, and then refuses to open a store that lacks nothing. Every change of the set
  // of files starts a manifest of its own: an older one would still name the keys at the ends of
  // files that are gone, a deleted user's among them. It also tells a reader, by CURRENT's content,
  // that nothing changed while it opened.
  rocks.max_manifest_file_size = 0;
  rocks.max_bgerror_resume_count = 0;  // write() takes nothing after a failure
  rocks.info_log = std::make_shared<NoLog>();
  rocks.stats_dump_period_sec = 0;
  rocks.stats_persist_period_sec = 0;
  if (options.env != nullptr) rocks.env = options.env;
  return rocks;
}

void Rocks::open_writer(rocksdb::Options options) {
  options.create_if_missing = !holds_store(directory_);  // never over a damaged one
  prepare_directory(directory_);
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, path_.string(), &db);
  db_.reset(db);
  if (status.ok()) return;
  if (held_by_another(status)) {
    throw StoreError(
        fmt::format("the store in {} is in use by another process: one at a time may write to it; "
                    "stop that one first",
                    directory_.string()));
  }
  if (status.IsCorruption()) throw damaged(status.ToString());
  throw StoreError(
      fmt::format("cannot open the store in {}: {}", directory_.string(), status.ToString()));
}

void Rocks::open_reader(const rocksdb::Options& options) {
  if (!holds_store(directory_)) {
    throw StoreError(fmt::format("{} holds no store to read: import items or events into it first",
                                 directory_.string()));
  }
  rocksdb::Status status;
  for (int attempt = 0; attempt < kOpenAttempts; ++attempt) {
    // The writer may remove a log or table between our reading of the manifest and of that file,
    // and RocksDB passes over a log that is gone; only an unchanged CURRENT proves we have it all.
    const std::string before = contents(path_ / "CURRENT");
    rocksdb::DB* db = nullptr;
    // Every table stays open (max_open_files), so that the view outlives its files. The folder is
    // for a log file, which NoLog does not write.
    status = rocksdb::DB::OpenAsSecondary(options, path_.string(), path_.string(), &db);
    db_.reset(db);
    if (status.ok() && contents(path_ / "CURRENT") == before) return;
    db_.reset();
    std::this_thread::sleep_for(kOpenRetry);
  }
  if (status.IsCorruption()) throw damaged(status.ToString());
  throw StoreError(fmt::format(
      "cannot read the store in {}: {}", directory_.string(),
      status.ok() ? "its writer kept changing files; try again in a while" : status.ToString()));
}

void Rocks::check_format() {
  rocksdb::PinnableSlice stored;
  if (get(kFormatKey, stored)) {
    ByteReader reader(stored.ToStringView());
    const auto format = reader.number<std::uint32_t>();
    if (!reader.ended_well()) throw damaged("its format number");
    if (format == kFormatVersion) return;
    throw StoreError(fmt::format(
        "the store in {} has format {} and this program reads format {}: use the program that "
        "wrote it, or import again into a new directory",
        directory_.string(), format, kFormatVersion));
  }
  if (Scan(*this, "", "\xff").valid() || access_ == Access::kReadOnly) {
    throw StoreError(fmt::format(
        "the database in {} is not a Fovea store (it has no format number): name an empty or new "
        "directory",
        path_.string()));
  }
  rocksdb::WriteBatch batch;
  std::string format;
  append_number(format, kFormatVersion);
  batch.Put(std::string(kFormatKey), format);
  write(batch);
  sync();
}

bool Rocks::get(std::string_view key, rocksdb::PinnableSlice& value) const {
  value.Reset();
  const auto status = db_->Get({}, db_->DefaultColumnFamily(), {key.data(), key.size()}, &value);
  if (status.IsNotFound()) return false;
  check_read(status);
  return true;
}

std::vector<std::optional<rocksdb::PinnableSlice>> Rocks::get_many(
    std::span<const std::string> keys) const {
  const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet({}, db_->DefaultColumnFamily(), keys.size(), slices.data(), values.data(),
                statuses.data());
  std::vector<std::optional<rocksdb::PinnableSlice>> found(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    check_read(statuses[i]);
    found[i] = std::move(values[i]);
  }
  return found;
}

void Rocks::write(rocksdb::WriteBatch& batch) {
  if (access_ == Access::kReadOnly) {
    throw StoreError(
        fmt::format("the store in {} was opened for reading only", directory_.string()));
  }
  check_not_failed();
  if (const rocksdb::Status status = db_->Write({}, &batch); !status.ok()) fail(status);
}

// Beside RocksDB's queue of writers, where everyone waits behind one who syncs, those too who need
// not: a rank that notes what it showed must not wait for the disk.
void Rocks::sync() {
  std::unique_lock lock(sync_mutex_);
  const std::uint64_t mine = ++syncs_wanted_;  // any sync that begins from here on will do
  while (syncs_done_ < mine) {
    if (syncing_) {
      synced_.wait(lock);
      continue;
    }
    syncing_ = true;
    const std::uint64_t covered = syncs_wanted_;
    lock.unlock();
    const rocksdb::Status status = db_->SyncWAL();
    lock.lock();
    syncing_ = false;
    synced_.notify_all();
    if (!status.ok()) fail(status);
    check_not_failed();  // by another's write, of which this sync may have been a part
    syncs_done_ = covered;
  }
}

void Rocks::check_not_failed() const {
  const std::lock_guard lock(failure_mutex_);
  if (failure_) throw StoreError(*failure_);
}

void Rocks::fail(const rocksdb::Status& status) {
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) {
    failure_ = fmt::format(
        "cannot write to the store in {}: {}; free space there or mend the disk, then start again: "
        "until then nothing more is recorded",
        directory_.string(), status.ToString());
  }
  throw StoreError(*failure_);
}

void Rocks::check_read(const rocksdb::Status& status) const {
  if (status.ok()) return;
  if (status.IsCorruption()) throw damaged(status.ToString());
  throw StoreError(
      fmt::format("cannot read the store in {}: {}", directory_.string(), status.ToString()));
}

StoreError Rocks::damaged(std::string_view what) const {
  return StoreError(
      fmt::format("the store in {} is damaged ({}): restore a copy of the directory, or import "
                  "again into a new one",
                  directory_.string(), what));
}

Scan::Scan(const Rocks& rocks, const std::string& begin, std::string end)
    : rocks_(rocks), held_(rocks.scans_), end_(std::move(end)), upper_bound_(end_) {
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper_bound_;
  // There are none, and where tables may hold some RocksDB 7.8 goes on behind a block or table that
  // it cannot read as if that were empty.
  options.ignore_range_deletions = true;
  options.fill_cache = false;  // a scan of everything must not push out what requests read
  iterator_.reset(rocks_.db_->NewIterator(options));
  iterator_->Seek(begin);
}

bool Scan::valid() const {
  if (iterator_->Valid()) return true;
  rocks_.check_read(iterator_->status());
  return false;
}

}  // namespace fovea::storage
