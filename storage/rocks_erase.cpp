// The part of Rocks that makes deleted keys leave every file.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>
#include <thread>

#include "storage/bytes.h"
#include "storage/keys.h"
#include "storage/rocks.h"

namespace fovea::storage {
namespace {

constexpr std::chrono::seconds kFilesWait{60};

/// Of "000012.sst", "000013.log", "MANIFEST-000014"; absent: a file without number.
std::optional<std::uint64_t> file_number(const std::string& name) {
  const std::size_t begin = name.find_first_of("0123456789");
  if (begin == std::string::npos) return std::nullopt;
  if (begin != 0 && !name.starts_with("MANIFEST-")) return std::nullopt;
  std::uint64_t number = 0;
  std::from_chars(name.data() + begin, name.data() + name.size(), number);
  return number;
}

}  // namespace

void Rocks::erase_traces(std::span<const KeyRange> ranges) {
  const std::lock_guard one_at_a_time(erasing_);
  // The log of writes holds the keys, and so do the tombstones: both end in tables first.
  check_erasure(db_->Flush({}));
  rocksdb::CompactRangeOptions down;
  down.exclusive_manual_compaction = true;
  down.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  for (const KeyRange& range : ranges) {
    const rocksdb::Slice begin(range.begin);
    const rocksdb::Slice end(range.end);
    check_erasure(db_->CompactRange(down, &begin, &end));
  }
  // Scans from before hold the old files; later ones see only the new.
  {
    const std::unique_lock before(scans_);
  }
  // A manifest begins with the files as they were before the change that it records. So one more
  // change: after it, log, manifest and tables are all newer than what they must not show.
  const std::uint64_t newest_number = newest_file_number();
  rocksdb::WriteBatch batch;
  std::string erasure;
  append_number(erasure, newest_number);
  batch.Put(std::string(kErasuresKey), erasure);
  write(batch);
  sync();
  check_erasure(db_->Flush({}));
  // RocksDB removes files behind our back, and a read at the same time can make it leave one.
  const auto deadline = std::chrono::steady_clock::now() + kFilesWait;
  while (true) {
    check_erasure(db_->EnableFileDeletions(/*force=*/true));  // removes what is not in use
    if (!any_left_of(newest_number)) return;
    if (std::chrono::steady_clock::now() > deadline) {
      check_erasure(rocksdb::Status::TimedOut("a file is still being read"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::uint64_t Rocks::newest_file_number() const {
  std::vector<std::string> names;
  check_erasure(db_->GetEnv()->GetChildren(path_.string(), &names));
  std::uint64_t newest = 0;
  for (const std::string& name : names) newest = std::max(newest, file_number(name).value_or(0));
  return newest;
}

bool Rocks::any_left_of(std::uint64_t newest_number) const {
  std::vector<rocksdb::LiveFileMetaData> live;
  db_->GetLiveFilesMetaData(&live);
  std::set<std::uint64_t> live_numbers;
  for (const auto& file : live) live_numbers.insert(file.file_number);
  std::vector<std::string> names;
  check_erasure(db_->GetEnv()->GetChildren(path_.string(), &names));
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const auto number = file_number(name);
    return number && *number <= newest_number && !live_numbers.contains(*number);
  });
}

void Rocks::check_erasure(const rocksdb::Status& status) const {
  if (status.ok()) return;
  throw StoreError(
      fmt::format("the user is deleted, but files in {} still hold traces ({}): delete again",
                  directory_.string(), status.ToString()));
}

}  // namespace fovea::storage
