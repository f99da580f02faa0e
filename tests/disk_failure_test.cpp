// Claim: a disk that fills up, breaks or loses power at any write loses nothing acknowledged, and
// the store says which directory it was and goes on reading.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "storage/db.h"
#include "tests/flaky_file_system.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using Fault = FlakyFileSystem::Fault;

/// Every event has an item of its own, so that a row given twice would show.
std::string item_of(std::int64_t number) { return "item" + std::to_string(number); }

class Trial {
 public:
  explicit Trial(std::uint64_t seed) : random_(seed) {
    options_.env = disk_.env.get();
    options_.history_events_max = 100'000;
  }

  /// Lives through one failure and returns after the store was opened again.
  void fail_once() {
    const auto fault = random_() % 2 == 0 ? Fault::kFull : Fault::kBroken;
    {
      std::unique_ptr<Db> db;
      if (random_() % 4 == 0) {  // already while it opens
        disk_.files->fail_after(static_cast<std::int64_t>(random_() % 40), fault);
        const std::string error = store_error([&] { db = directory_.open(options_); });
        if (!error.empty()) {
          ASSERT_THAT(error, HasSubstr(directory_.path().string()));
        }
      } else {
        db = directory_.open(options_);
        disk_.files->fail_after(static_cast<std::int64_t>(random_() % 120), fault);
      }
      if (db) work_until_it_fails(*db);
      disk_.files->cut_power();
    }
    disk_.files->restore_power();
    const auto db = directory_.open(options_);
    check(*db);
  }

 private:
  void work_until_it_fails(Db& db) {
    std::string error;
    while (error.empty()) {
      error = store_error([&] { do_something(db); });
    }
    ASSERT_THAT(error, HasSubstr(directory_.path().string()));
    // What was acknowledged is still read, and nothing more is taken.
    check(db);
    if (error.find("cannot write") != std::string::npos) {
      disk_.files->mend();  // even now: nobody knows what the disk holds of the failed write
      ASSERT_THAT(store_error([&] { record(db, view("u0", "late", 1)); }),
                  AllOf(HasSubstr(directory_.path().string()), HasSubstr("start again")));
    }
  }

  void do_something(Db& db) {
    const std::int64_t number = next_++;
    const std::string user = "u" + std::to_string(number % 3);
    const std::string item_id = item_of(number);
    switch (random_() % 8) {
      case 0: {
        const Item put = item(item_id, "text" + item_id);
        db.catalog().put({&put, 1});
        items_.insert(item_id);
        break;
      }
      case 1:
        db.exposures().append(user, {"r" + std::to_string(number), number, "v", {}});
        break;
      case 2:
        db.delete_user("somebody");
        break;
      default:
        record(db, view(user, item_id, number));
        events_[user].insert(number);
    }
  }

  void check(Db& db) {
    for (const auto& [user, numbers] : events_) {
      std::set<std::int64_t> kept;
      for (const Event& event : db.history().read(user, SIZE_MAX)) {
        ASSERT_EQ(db.catalog().item_id(event.row), item_of(event.time_ms));
        kept.insert(event.time_ms);
      }
      for (const std::int64_t number : numbers) ASSERT_THAT(kept, Contains(number));
    }
    for (const std::string& item_id : items_) {
      const auto row = db.catalog().row(item_id);
      ASSERT_TRUE(row.has_value()) << item_id;
      const auto got = db.catalog().get(*row);
      ASSERT_TRUE(got.has_value()) << item_id;
      ASSERT_EQ(got->text, "text" + item_id);
    }
  }

  std::mt19937_64 random_;
  StoreDirectory directory_;
  FlakyDisk disk_;
  DbOptions options_;
  std::int64_t next_ = 0;
  std::map<std::string, std::set<std::int64_t>> events_;  // acknowledged
  std::set<std::string> items_;
};

TEST(DiskFailure, LosesNothingAcknowledged) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    Trial trial(seed);
    for (int round = 0; round < 8; ++round) {
      SCOPED_TRACE(round);
      trial.fail_once();
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(DiskFailure, SaysThatTheDiskIsFullAndWhere) {
  const StoreDirectory directory;
  FlakyDisk disk;
  const auto db = directory.open({.env = disk.env.get()});
  record(*db, view("u", "a", 1));
  disk.files->fail_after(0, Fault::kFull);
  const std::string error = store_error([&] { record(*db, view("u", "b", 2)); });
  EXPECT_THAT(error, AllOf(HasSubstr(directory.path().string()), HasSubstr("No space left")));
  EXPECT_THAT(items_of(*db, "u"), ::testing::ElementsAre("a"));
  EXPECT_EQ(db->catalog().row("b"), std::nullopt) << "a row that the disk does not have";
  EXPECT_EQ(db->history().users(), 1);
}

// The event is there to read when its sync fails; a second try must not take that for recorded.
TEST(DiskFailure, WhatWasNotSyncedIsNotAcknowledgedWhenItIsSentAgain) {
  const StoreDirectory directory;
  FlakyDisk disk;
  const auto db = directory.open({.env = disk.env.get()});
  const Item put = item("a", "text");
  db->catalog().put({&put, 1});
  NewEvent identified = view("u", "a", 2);
  identified.event_id = "e";
  disk.files->fail_after(1, Fault::kBroken);  // the log takes it, and is not synced
  EXPECT_THAT(store_error([&] { record(*db, identified); }), HasSubstr("cannot write"));
  disk.files->mend();
  EXPECT_THAT(items_of(*db, "u"), ::testing::ElementsAre("a"));
  EXPECT_THAT(store_error([&] { record(*db, identified); }), HasSubstr("cannot write"));
}

}  // namespace
}  // namespace fovea::storage
