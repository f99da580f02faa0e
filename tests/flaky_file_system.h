// A file system that fills up, breaks, and loses what was not synced, on order. Files are real;
// a sync only notes how much of a file would survive, so that tests need not wait for the disk.
#pragma once

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace fovea::storage {

class FlakyFileSystem : public rocksdb::FileSystemWrapper {
 public:
  enum class Fault { kFull, kBroken };

  FlakyFileSystem() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FlakyFileSystem"; }

  /// After `writes` more writes and syncs, every one fails; a write may leave half its bytes.
  void fail_after(std::int64_t writes, Fault fault) {
    fault_ = fault;
    writes_left_ = writes;
  }

  /// Every sync takes this long, as on a disk, so that threads meet in the middle of a write.
  void slow_syncs(std::chrono::microseconds each) { sync_us_ = each.count(); }

  std::int64_t syncs() const { return syncs_; }

  /// Syncs begin and do not end until they may.
  void hold_syncs() {
    const std::lock_guard lock(hold_mutex_);
    holding_ = true;
  }
  void await_held_sync() {
    std::unique_lock lock(hold_mutex_);
    hold_changed_.wait(lock, [&] { return held_ > 0; });
  }
  void let_syncs_end() {
    const std::lock_guard lock(hold_mutex_);
    holding_ = false;
    hold_changed_.notify_all();
  }

  /// From here on nothing reaches the disk: closing a store is then like losing its machine.
  void cut_power() {
    fail_after(0, Fault::kBroken);
    power_ = false;
  }

  /// The machine is back: what was not synced is gone, and nothing fails any more.
  void restore_power() {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, bytes] : synced_) {
      std::error_code gone;
      if (std::filesystem::exists(name, gone)) std::filesystem::resize_file(name, bytes);
    }
    synced_.clear();
    power_ = true;
    mend();
  }
  void mend() { writes_left_ = INT64_MAX; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* debug) override {
    if (const auto status = spend(); !status.ok()) return status;
    rocksdb::FileOptions plain = options;
    plain.use_mmap_writes = false;
    std::unique_ptr<rocksdb::FSWritableFile> file;
    const auto status = target()->NewWritableFile(name, plain, &file, debug);
    if (!status.ok()) return status;
    note_synced(name, 0);
    *result = std::make_unique<File>(*this, name, std::move(file));
    return status;
  }

  rocksdb::IOStatus NewDirectory(const std::string& name, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* result,
                                 rocksdb::IODebugContext* debug) override {
    const auto status = target()->NewDirectory(name, options, result, debug);
    if (status.ok()) *result = std::make_unique<Directory>();  // names are taken as synced
    return status;
  }

  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override {
    if (const auto status = spend(); !status.ok()) return status;
    const auto status = target()->RenameFile(from, to, options, debug);
    const std::lock_guard lock(mutex_);
    if (const auto known = synced_.extract(from); status.ok() && known) {
      synced_[to] = known.mapped();
    }
    return status;
  }

  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override {
    if (!power_) return rocksdb::IOStatus::IOError("no power");
    return target()->DeleteFile(name, options, debug);
  }

 private:
  class Directory : public rocksdb::FSDirectory {
   public:
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
      return rocksdb::IOStatus::OK();
    }
  };

  class File : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(FlakyFileSystem& system, std::string name, std::unique_ptr<rocksdb::FSWritableFile> file)
        : rocksdb::FSWritableFileOwnerWrapper(std::move(file)),
          system_(system),
          name_(std::move(name)) {}

    using rocksdb::FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      auto fault = system_.spend();
      const rocksdb::Slice written(data.data(), fault.ok() ? data.size() : data.size() / 2);
      if (!fault.ok() && !system_.tears()) return fault;
      const auto status = rocksdb::FSWritableFileOwnerWrapper::Append(written, options, debug);
      if (status.ok()) written_ += written.size();
      return fault.ok() ? status : fault;
    }
    using rocksdb::FSWritableFileOwnerWrapper::PositionedAppend;
    rocksdb::IOStatus Sync(const rocksdb::IOOptions&, rocksdb::IODebugContext*) override {
      ++system_.syncs_;
      const auto fault = system_.spend();
      const std::uint64_t written = written_;  // others may append meanwhile
      system_.wait_while_held();
      if (system_.sync_us_ > 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(system_.sync_us_));
      }
      if (fault.ok()) system_.note_synced(name_, written);
      return fault;
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* debug) override {
      return Sync(options, debug);
    }
    rocksdb::IOStatus Allocate(std::uint64_t, std::uint64_t, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override {
      return rocksdb::IOStatus::OK();
    }
    rocksdb::IOStatus RangeSync(std::uint64_t, std::uint64_t, const rocksdb::IOOptions&,
                                rocksdb::IODebugContext*) override {
      return rocksdb::IOStatus::OK();
    }

   private:
    FlakyFileSystem& system_;
    std::string name_;
    std::atomic<std::uint64_t> written_ = 0;
  };

  rocksdb::IOStatus spend() {
    if (writes_left_.load() == INT64_MAX || writes_left_.fetch_sub(1) > 0) {
      return rocksdb::IOStatus::OK();
    }
    return fault_ == Fault::kFull ? rocksdb::IOStatus::NoSpace("No space left on device")
                                  : rocksdb::IOStatus::IOError("Input/output error");
  }
  bool tears() { return writes_left_ == -1; }  // only the first write to fail leaves a torn end

  void wait_while_held() {
    std::unique_lock lock(hold_mutex_);
    ++held_;
    hold_changed_.notify_all();
    hold_changed_.wait(lock, [&] { return !holding_; });
    --held_;
  }

  void note_synced(const std::string& name, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    synced_[name] = bytes;
  }

  std::atomic<std::int64_t> writes_left_{INT64_MAX};
  std::atomic<Fault> fault_{Fault::kBroken};
  std::atomic<bool> power_{true};
  std::atomic<std::int64_t> sync_us_{0};
  std::atomic<std::int64_t> syncs_{0};
  std::mutex hold_mutex_;
  std::condition_variable hold_changed_;
  bool holding_ = false;
  int held_ = 0;
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> synced_;  // bytes that survive a loss of power
};

/// With the Env that a store takes.
struct FlakyDisk {
  std::shared_ptr<FlakyFileSystem> files = std::make_shared<FlakyFileSystem>();
  std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(files);
};

}  // namespace fovea::storage
