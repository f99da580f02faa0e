// The part of Rocks that writes what it reads into a new database. Tables are written once, in the
// order of their keys, and linked into the bottom level: no log, no compaction, and a key that was
// deleted or written over is in none of them.
#include <fmt/format.h>
#include <rocksdb/sst_file_writer.h>

#include <algorithm>
#include <string>
#include <utility>

#include "storage/directory.h"
#include "storage/rocks.h"

namespace fovea::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kTableBytes = std::uint64_t{64} << 20;

void check(const rocksdb::Status& status, const fs::path& folder) {
  if (status.ok()) return;
  throw StoreError(fmt::format("cannot write the copy of the store in {}: {}", folder.string(),
                               status.ToString()));
}

/// Tables of one database to be, each of the keys after those of the one before.
class Tables {
 public:
  Tables(fs::path folder, const rocksdb::Options& options)
      : folder_(std::move(folder)), options_(options) {}

  void put(std::string_view key, std::string_view value) {
    if (!writer_) begin();
    check(writer_->Put({key.data(), key.size()}, {value.data(), value.size()}), folder_);
    if (writer_->FileSize() >= kTableBytes) end();
  }
  /// The files, in the order of their keys; all are on the disk.
  const std::vector<std::string>& finish() {
    if (writer_) end();
    return files_;
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void begin() {
    // A name that RocksDB takes for none of its own.
    files_.push_back(folder_ / fmt::format("copied-{}", files_.size()));
    writer_.emplace(rocksdb::EnvOptions(), options_);
    check(writer_->Open(files_.back()), folder_);
  }
  void end() {
    rocksdb::ExternalSstFileInfo info;
    check(writer_->Finish(&info), folder_);
    bytes_ += info.file_size;
    writer_.reset();
  }

  const fs::path folder_;
  const rocksdb::Options& options_;
  std::optional<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> files_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t Rocks::bytes() const {
  std::uint64_t tables = 0;
  std::uint64_t in_memory = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kLiveSstFilesSize, &tables);
  db_->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &in_memory);
  return tables + in_memory;
}

StoreCopy::Figures Rocks::copy_to(
    const fs::path& folder, const DbOptions& options,
    const std::function<void(std::uint64_t done, std::uint64_t of)>& told) const {
  std::uint64_t expected = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kEstimateNumKeys, &expected);
  rocksdb::Options made = rocks_options(options);
  Tables tables(folder, made);
  StoreCopy::Figures figures;
  for (Scan scan(*this, "", "\xff"); scan.valid(); scan.next()) {
    tables.put(scan.key(), scan.value());
    ++figures.keys;
    told(figures.keys, std::max(expected, figures.keys));
  }

  made.create_if_missing = true;
  made.error_if_exists = true;
  rocksdb::IngestExternalFileOptions linked;
  linked.move_files = true;
  linked.write_global_seqno = false;
  linked.fail_if_not_bottommost_level = true;
  rocksdb::DB* opened = nullptr;
  check(rocksdb::DB::Open(made, folder, &opened), folder);
  const std::unique_ptr<rocksdb::DB> db(opened);
  check(db->IngestExternalFile(tables.finish(), linked), folder);
  check(db->Close(), folder);
  sync_directory(folder);
  figures.bytes = tables.bytes();
  return figures;
}

}  // namespace fovea::storage
