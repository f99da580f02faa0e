// What stands behind Db, Catalog, History and Exposures: the private state they share. Owns the
// order of its locks: users first, then catalogue changes, then what is published in memory; a
// later one is never held while an earlier one is taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "storage/catalog.h"
#include "storage/db.h"
#include "storage/declarations.h"
#include "storage/exposures.h"
#include "storage/history.h"
#include "storage/keys.h"
#include "storage/name_table.h"
#include "storage/rocks.h"
#include "storage/user_locks.h"

namespace fovea::storage {

struct Catalog::State {
  explicit State(Rocks& store);  ///< Loads names, presence and actions.

  Rocks& rocks;

  /// One change at a time, from looking at what is known to the sync of what is new. That is
  /// published once it is written and acknowledged once it is synced, so that whoever reads it from
  /// the store finds it here too. Where a sync fails nothing more is written.
  std::mutex changing;

  mutable std::shared_mutex published;  // guards all below
  NameTable names;
  std::vector<bool> present;
  std::int64_t items = 0;
  std::uint64_t revision = 0;
  std::optional<std::size_t> embedding_width;
  std::vector<Action> actions;
  std::map<std::string, std::uint16_t, std::less<>> action_indexes;

  std::optional<std::uint32_t> row(std::string_view item_id) const;
  /// The name of a row that was read from the disk: waits where its writer has not yet published
  /// it, and throws StoreError where nobody will.
  std::string name_of_stored(std::uint32_t row);
  /// The same check alone.
  void await_row(std::uint32_t row);

 private:
  void load_names();
  void load_actions();
  void load_numbers();
};

/// Rows for names that may be new, inside one change of the catalogue (`changing` is held).
class NewRows {
 public:
  explicit NewRows(Catalog::State& catalog) : catalog_(catalog) {}

  /// Known, given earlier in this change, or given now.
  std::uint32_t row(std::string_view item_id);
  void add_to(rocksdb::WriteBatch& batch, bool present) const;
  /// After the batch is written. The caller holds `published` exclusively.
  void publish() const;

 private:
  Catalog::State& catalog_;
  std::vector<std::string> names_;  // of the rows from names.size() on
  std::unordered_map<std::string, std::uint32_t> given_;
};

struct History::State {
  State(Rocks& store, Catalog::State& items, std::uint32_t history_events_max);

  Rocks& rocks;
  Catalog::State& catalog;
  const std::uint32_t events_max;
  std::atomic<std::int64_t> users{0};

  /// Newest first, with what exceeds events_max where a fold has not cut it yet. Absent `value`:
  /// unknown user.
  std::vector<PackedEvent> unpack(std::string_view user_id,
                                  const std::optional<std::string_view>& value,
                                  std::size_t limit) const;
};

struct Exposures::State {
  Rocks& rocks;
};

struct Declarations::State {
  Rocks& rocks;
};

struct Db::State {
  State(std::unique_ptr<Rocks> store, const DbOptions& options);

  const std::unique_ptr<Rocks> rocks;
  UserLocks users;
  Catalog::State catalog_state;
  History::State history_state;
  Exposures::State exposures_state;
  Declarations::State declarations_state;
  Catalog catalog;
  History history;
  Exposures exposures;
  Declarations declarations;
};

/// Throws std::invalid_argument unless 1 .. kIdBytesMax bytes. `what`: "item id".
void check_id(std::string_view id, std::string_view what);

}  // namespace fovea::storage
