// Claim: a store that was opened for reading stays as it was at that moment, and so does a copy
// made of it, whatever its writer writes, compacts and deletes meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "storage/db.h"
#include "storage/merge.h"
#include "storage/store_copy.h"
#include "tests/flaky_file_system.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kUsers = 60;
constexpr int kItems = 40;
const DbOptions kOptions{.exposure_days_max = 0};
// Nothing that was read once is remembered: every read goes to the files.
const DbOptions kNoCache{.exposure_days_max = 0, .memory_bytes = 0};

std::string user_of(int number) { return "user" + std::to_string(number); }
std::string item_of(int number) { return "item" + std::to_string(number); }

/// Everything that can be read of a store, a line for each.
std::vector<std::string> contents_of(Db& db) {
  std::vector<std::string> lines{"users " + std::to_string(db.history().users())};
  for (const Action& action : db.catalog().actions()) {
    lines.push_back("action " + action.name + " " + std::to_string(action.weight));
  }
  db.catalog().for_each([&](const StoredItem& each) {
    lines.push_back("item " + std::to_string(each.row) + each.item_id + each.text.value_or("-") +
                    std::to_string(each.revision));
  });
  std::vector<std::string> users;
  db.history().for_each_user(
      [&](std::string_view user, std::span<const Event>) { users.emplace_back(user); });
  for (const std::string& user : users) {
    for (const DetailedEvent& event : db.history().read_detailed(user, SIZE_MAX)) {
      lines.push_back("event " + user + " " + db.catalog().item_id(event.row) + " " +
                      std::to_string(event.time_ms) + event.event_id.value_or("-") +
                      event.request_id.value_or("-"));
    }
    for (const Exposure& exposure : db.exposures().read(user, SIZE_MAX)) {
      lines.push_back("exposure " + user + exposure.request_id + exposure.model_version +
                      std::to_string(exposure.rows.size()));
    }
  }
  return lines;
}

void act(Db& db, const std::string& user, int number, const std::string& text) {
  const std::string item_id = item_of(number % kItems);
  const std::string event_id = "e" + std::to_string(number);
  NewEvent event = view(user, item_id, number);
  event.event_id = event_id;
  record(db, event);
  const Item put = item(item_id, text);
  db.catalog().put({&put, 1});
  db.exposures().append(user, {"r" + std::to_string(number), number, text, {0, 1}});
}

std::set<std::string> tables_in(const fs::path& directory) {
  std::set<std::string> tables;
  for (const auto& entry : fs::directory_iterator(directory / "store")) {
    if (entry.path().extension() == ".sst") tables.insert(entry.path().filename());
  }
  return tables;
}

bool any_left(const fs::path& directory, const std::set<std::string>& tables) {
  const auto now = tables_in(directory);
  return std::ranges::any_of(tables, [&](const auto& table) { return now.contains(table); });
}

class View : public ::testing::Test {
 protected:
  std::unique_ptr<Db> writer() {
    return directory_.open({.exposure_days_max = 0, .env = disk_.env.get()});
  }

  /// Rewrites the store into many small tables, as a large one has many: more than a reader would
  /// keep open by itself.
  void split_tables() const {
    rocksdb::Options options;
    options.merge_operator = std::make_shared<StoreMerge>(512);
    options.target_file_size_base = 1024;
    options.compression = rocksdb::kNoCompression;
    rocksdb::BlockBasedTableOptions table;
    table.block_size = 256;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    options.level_compaction_dynamic_level_bytes = true;
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, directory_.path() / "store", &raw).ok());
    const std::unique_ptr<rocksdb::DB> owned(raw);
    rocksdb::CompactRangeOptions all;
    all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    ASSERT_TRUE(raw->CompactRange(all, nullptr, nullptr).ok());
  }

  /// Many tables and a log, for a view to be opened on.
  std::unique_ptr<Db> filled() {
    auto db = writer();
    for (int round = 0; round < 4; ++round) {
      for (int user = 0; user < kUsers; ++user) {
        act(*db, user_of(user), round * kUsers + user, "first " + std::to_string(round));
      }
      if (round == 3) continue;
      db.reset();  // the log becomes a table
      if (round == 1) split_tables();
      db = writer();
    }
    return db;
  }

  /// Changes all there is until none of `tables` is left.
  void change_all(Db& db, const std::set<std::string>& tables) {
    for (int round = 0; any_left(directory_.path(), tables); ++round) {
      ASSERT_LT(round, 50) << "the writer keeps its old files";
      for (int user = 0; user < kUsers; user += 2) {
        act(db, user_of(user), 1000 + round * kUsers + user, "second");
      }
      for (int i = 0; i < kItems; i += 4) {
        const std::string gone = item_of(i);
        const std::string_view id = gone;
        db.catalog().remove({&id, 1});
      }
      db.delete_user(user_of(round % kUsers));
    }
  }

  FlakyDisk disk_;  // never fails here; without syncs the files change sooner
  const StoreDirectory directory_;
};

TEST_F(View, StaysAsItWasWhenEveryFileUnderItIsGone) {
  const auto db = filled();
  const auto expected = contents_of(*db);
  const auto view = directory_.read_only(kNoCache);
  const auto tables = tables_in(directory_.path());
  ASSERT_GT(tables.size(), 12U);
  change_all(*db, tables);
  ASSERT_FALSE(HasFatalFailure());

  EXPECT_NE(contents_of(*db), expected);
  EXPECT_EQ(contents_of(*view), expected);
}

TEST_F(View, IsCopiedAsItWasWhenEveryFileUnderItIsGone) {
  const auto db = filled();
  const auto expected = contents_of(*db);
  const StoreCopy copy(directory_.path());
  change_all(*db, tables_in(directory_.path()));
  ASSERT_FALSE(HasFatalFailure());

  const StoreDirectory target;
  fs::create_directory(target.path() / "store");
  std::uint64_t told = 0;
  const auto figures =
      copy.write(target.path() / "store", [&](std::uint64_t done, std::uint64_t of) {
        EXPECT_EQ(done, ++told);
        EXPECT_LE(done, of);
      });
  EXPECT_EQ(figures.keys, told);
  EXPECT_EQ(contents_of(*Db::open(target.path(), Access::kReadOnly, kOptions)), expected);
  EXPECT_EQ(contents_of(*Db::open(target.path(), Access::kReadWrite, kOptions)), expected);
}

class Copy : public View {
 protected:
  void copy() const {
    fs::create_directory(target_.path() / "store");
    StoreCopy(directory_.path()).write(target_.path() / "store", [](auto, auto) {});
  }
  std::vector<std::string> files_with(std::string_view marker) const {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(target_.path())) {
      if (entry.is_regular_file() && file_bytes(entry.path()).find(marker) != std::string::npos) {
        files.push_back(entry.path());
      }
    }
    return files;
  }
  const StoreDirectory target_;
};

TEST_F(Copy, HoldsNothingOfAUserDeletedBefore) {
  const auto db = writer();
  act(*db, "other", 1, "text");
  act(*db, "MARKER", 2, "text");
  db->delete_user("MARKER");
  copy();
  EXPECT_THAT(files_with("MARKER"), IsEmpty());
  EXPECT_THAT(files_with("other"), Not(IsEmpty()));
}

TEST_F(Copy, IsAStoreThatForgetsAUserAsAnyDoes) {
  const auto db = writer();
  act(*db, "MARKER", 1, "text");
  act(*db, "other", 2, "text");
  copy();
  ASSERT_THAT(files_with("MARKER"), Not(IsEmpty()));
  const auto restored = Db::open(target_.path(), Access::kReadWrite, kOptions);
  restored->delete_user("MARKER");
  EXPECT_THAT(files_with("MARKER"), IsEmpty());
  EXPECT_EQ(restored->history().users(), 1);
  // Event ids are known as before, and rows go on where they were.
  const std::string known = item_of(2);
  NewEvent again = view("other", known, 2);
  again.event_id = "e2";
  EXPECT_EQ(record(*restored, again), 0U);
  EXPECT_EQ(record(*restored, view("other", "new item", 3)), 1U);
  EXPECT_EQ(restored->catalog().row("new item"), 2U);
}

TEST_F(Copy, OfHistoriesLongerThanTheDefaultIsWhole) {
  constexpr int kEvents = 700;
  const auto db = directory_.open({.history_events_max = 1000, .env = disk_.env.get()});
  for (int i = 0; i < kEvents; ++i) record(*db, view("u", "a", i));
  copy();
  const auto restored = Db::open(target_.path(), Access::kReadOnly, {.history_events_max = 1000});
  EXPECT_EQ(restored->history().read("u", SIZE_MAX).size(), static_cast<std::size_t>(kEvents));
}

TEST_F(Copy, OfADamagedStoreIsWholeOrRefused) {
  filled().reset();
  const auto expected = contents_of(*directory_.read_only(kOptions));
  const auto tables = tables_in(directory_.path());
  ASSERT_GT(tables.size(), 12U);
  int refused = 0;
  // A table of the bottom level and the newest, a byte of each in its keys and in its filter.
  for (const std::string& table : {*tables.begin(), *tables.rbegin()}) {
    const fs::path file = directory_.path() / "store" / table;
    const std::string whole = file_bytes(file);
    for (const double part : {0.0, 0.3, 0.6}) {
      std::string damaged = whole;
      damaged[static_cast<std::size_t>(part * static_cast<double>(whole.size())) + 3] ^= 0x55;
      std::ofstream(file, std::ios::binary) << damaged;
      fs::remove_all(target_.path() / "store");
      if (store_error([&] { copy(); }).empty()) {  // then nobody reads that byte
        EXPECT_EQ(contents_of(*Db::open(target_.path(), Access::kReadOnly, kOptions)), expected)
            << table << " at " << part;
      } else {
        ++refused;
      }
    }
    std::ofstream(file, std::ios::binary) << whole;
  }
  EXPECT_GT(refused, 0);
}

TEST_F(Copy, OverAStoreThatIsThereIsRefused) {
  const auto db = writer();
  copy();
  EXPECT_THAT(store_error([&] {
                StoreCopy(directory_.path()).write(target_.path() / "store", [](auto, auto) {});
              }),
              ::testing::HasSubstr(target_.path().string()));
}

}  // namespace
}  // namespace fovea::storage
