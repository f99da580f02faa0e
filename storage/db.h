// The store of one data directory: opens RocksDB, checks the format, and hands out what lives in
// it. Owns the database handle, durability and the writes that cross histories and catalogue
// (record, delete_user). Leaves to history, catalog and exposures what their bytes mean; knows
// nothing of models or requests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "storage/catalog.h"
#include "storage/declarations.h"
#include "storage/exposures.h"
#include "storage/history.h"

namespace rocksdb {
class Env;
}

namespace fovea::storage {

/// The store cannot be opened, read or written: the message names the directory or file and what to
/// do.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Access {
  kReadWrite,  ///< One process at a time.
  kReadOnly,   ///< Beside a process that writes; sees what was durable when it opened.
};

struct DbOptions {
  // Behaviour.
  std::uint32_t history_events_max = 512;  ///< Newest behaviours kept per user; at least 1.
  std::uint32_t exposure_days_max =
      30;                              ///< Older exposures are dropped at compaction; 0 keeps all.
  std::uint32_t trial_days_max = 180;  ///< The same for those that were part of experiments.
  // Performance.
  /// For blocks that were read and writes that are not in a table yet, together; the latter may
  /// take a quarter of it, and 8 MiB at least.
  std::size_t memory_bytes = std::size_t{256} << 20;
  /// The file system, injectable so that tests can fill it, break it or lose what was not synced.
  /// Absent: the machine's own. Not owned.
  rocksdb::Env* env = nullptr;
};

/// One behaviour on its way in. Views must outlive the call only.
struct NewEvent {
  std::string_view user_id;
  std::string_view item_id;
  std::string_view action;  ///< One that was declared; undeclared throws std::invalid_argument.
  std::int64_t time_ms = 0;
  std::optional<double> value;
  std::optional<std::string_view> event_id;
  std::optional<std::string_view> request_id;
};

/// Thread-safe, every method.
class Db {
 public:
  /// Creates `directory` and the store in it where missing (kReadWrite only).
  /// Throws StoreError: in use by another process, other format version, damaged, missing
  /// (kReadOnly).
  static std::unique_ptr<Db> open(const std::filesystem::path& directory, Access access,
                                  const DbOptions& options = {});
  ~Db();
  Db(const Db&) = delete;
  Db& operator=(const Db&) = delete;

  /// Records behaviours; durable (synced) when it returns. An item nobody has put yet gets its row
  /// now and is kept. Not recorded: an event_id that its user has, an event equal in item, action,
  /// time and value to one kept without an id, and an event older than all that a full history
  /// keeps. Returns how many were new. All or nothing: throws StoreError; after a failed write the
  /// store takes no more until it is opened again, and still reads. std::invalid_argument: an
  /// action that is not declared, an id that is empty or longer than kIdBytesMax.
  std::size_t record(std::span<const NewEvent> events);

  /// Erases every trace of the user from every file: behaviours, event ids, exposures. Durable when
  /// it returns, which takes a compaction of the files that held them (seconds) and waits for scans
  /// that are under way. After a StoreError call it again.
  void delete_user(std::string_view user_id);

  History& history();
  Catalog& catalog();
  Exposures& exposures();
  Declarations& declarations();

 private:
  struct State;
  explicit Db(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fovea::storage
