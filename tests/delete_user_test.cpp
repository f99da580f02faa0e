// Claim: once delete_user returns, no file under the data directory holds anything of the user.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "storage/db.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

using ::testing::IsEmpty;

constexpr std::string_view kMarker = "MARKER";
const DbOptions kOptions{.exposure_days_max = 0};

std::string hex(std::string_view bytes, const char* digits) {
  std::string text;
  for (const char byte : bytes) {
    text += digits[static_cast<unsigned char>(byte) >> 4];
    text += digits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

/// Files that hold the marker, as it is or written in hexadecimal.
std::vector<std::string> files_with_marker(const std::filesystem::path& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = file_bytes(entry.path());
    for (const std::string& pattern : {std::string(kMarker), hex(kMarker, "0123456789abcdef"),
                                       hex(kMarker, "0123456789ABCDEF")}) {
      if (bytes.find(pattern) != std::string::npos) files.push_back(entry.path().string());
    }
  }
  return files;
}

void act(Db& db, const std::string& user_id, int from, int to, std::string_view mark) {
  for (int i = from; i < to; ++i) {
    const std::string number = std::to_string(i);
    const std::string event_id = std::string(mark) + "event" + number;
    const std::string request_id = std::string(mark) + "request" + number;
    NewEvent event = view(user_id, "item" + number, i);
    const std::string item_id = "item" + number;
    event.item_id = item_id;
    event.event_id = event_id;
    event.request_id = request_id;
    record(db, event);
    db.exposures().append(user_id, {request_id,
                                    i,
                                    std::string(mark) + "version",
                                    {0},
                                    {{std::string(mark) + "experiment", 1, "treatment", {}, {}}}});
  }
}

class DeleteUser : public ::testing::Test {
 protected:
  void expect_no_trace() {
    EXPECT_THAT(files_with_marker(directory_.path()), IsEmpty());
    EXPECT_THAT(db_->history().read(user_, 10), IsEmpty());
    EXPECT_THAT(db_->history().read_detailed(user_, 10), IsEmpty());
    EXPECT_THAT(db_->exposures().read(user_, 10), IsEmpty());
    db_->exposures().each_in_trials(
        [&](std::string_view user, const Exposure&) { EXPECT_NE(user, user_); });
  }
  void reopen() {
    db_.reset();
    db_ = directory_.open(kOptions);
  }

  const StoreDirectory directory_;
  std::unique_ptr<Db> db_ = directory_.open(kOptions);
  const std::string user_ = "MARKER-user";
};

TEST_F(DeleteUser, LeavesNoTraceInLogOrTables) {
  act(*db_, "A-first", 0, 5, "other");
  act(*db_, user_, 0, 5, kMarker);
  act(*db_, "Z-last", 0, 5, "other");
  EXPECT_THAT(files_with_marker(directory_.path()), Not(IsEmpty()));
  reopen();  // moves the log into a table
  act(*db_, user_, 5, 8, kMarker);
  EXPECT_THAT(files_with_marker(directory_.path()), Not(IsEmpty()));

  db_->delete_user(user_);
  expect_no_trace();
  EXPECT_EQ(db_->history().users(), 2);
  reopen();
  expect_no_trace();
  EXPECT_EQ(db_->history().users(), 2);
  for (const char* other : {"A-first", "Z-last"}) {
    EXPECT_EQ(db_->history().read_detailed(other, 10).at(4).event_id, "otherevent0");
    EXPECT_EQ(db_->exposures().read(other, 10).size(), 5U);
  }
}

// The keys at the ends of a table stand in the manifest too; here the user's are all there is.
TEST_F(DeleteUser, LeavesNoTraceOfTheOnlyUser) {
  for (int round = 0; round < 3; ++round) {
    act(*db_, user_, 0, 3, kMarker);
    reopen();
    act(*db_, user_, 3, 6, kMarker);
    db_->delete_user(user_);
    expect_no_trace();
    EXPECT_EQ(db_->history().users(), 0);
  }
}

TEST_F(DeleteUser, LeavesNoTraceInDeepTables) {
  for (int round = 0; round < 6; ++round) {  // each deletion of another compacts downwards
    act(*db_, user_, round * 3, round * 3 + 3, kMarker);
    act(*db_, "other" + std::to_string(round), 0, 2, "other");
    db_->delete_user("other" + std::to_string(round));
  }
  EXPECT_THAT(files_with_marker(directory_.path()), Not(IsEmpty()));
  db_->delete_user(user_);
  expect_no_trace();
}

TEST_F(DeleteUser, LeavesNoTraceBesideReadersAndWriters) {
  act(*db_, "B-reader", 0, 20, "other");
  std::atomic<bool> stop{false};
  std::vector<std::jthread> others;
  others.emplace_back([&] {
    while (!stop) db_->history().for_each_user([](std::string_view, std::span<const Event>) {});
  });
  others.emplace_back([&] {
    while (!stop) db_->exposures().read("B-reader", 100);
  });
  others.emplace_back([&] {
    for (int i = 0; !stop; ++i) act(*db_, "C-writer", i, i + 1, "other");
  });
  for (int round = 0; round < 5; ++round) {
    act(*db_, user_, 0, 4, kMarker);
    db_->delete_user(user_);
    EXPECT_THAT(files_with_marker(directory_.path()), IsEmpty()) << round;
  }
  stop = true;
}

// RocksDB 7.8 notes a log that was synced in its manifest, and may do so after the log has gone.
TEST_F(DeleteUser, BesideWritersLeavesAStoreThatOpensAgain) {
  for (int round = 0; round < 5; ++round) {
    std::atomic<bool> stop{false};
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer) {
      writers.emplace_back([&, writer] {
        const std::string user = "C-writer-" + std::to_string(round) + std::to_string(writer);
        for (int i = 0; !stop; ++i) act(*db_, user, i, i + 1, "other");
      });
    }
    for (int i = 0; i < 10; ++i) {
      act(*db_, user_, 0, 4, kMarker);
      db_->delete_user(user_);
    }
    stop = true;
    writers.clear();
    ASSERT_NO_THROW(reopen()) << round;
  }
}

// A scan that began before holds the files it reads; the deletion has to outwait it.
TEST_F(DeleteUser, LeavesNoTraceForAScanThatIsUnderWay) {
  act(*db_, user_, 0, 4, kMarker);
  reopen();
  std::atomic<bool> scanning{false};
  const std::jthread scan([&] {
    db_->history().for_each_user([&](std::string_view, std::span<const Event>) {
      scanning = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    });
  });
  while (!scanning) std::this_thread::yield();
  db_->delete_user(user_);
  expect_no_trace();
}

TEST_F(DeleteUser, ForgetsEventIdsSoThatTheUserCanComeBack) {
  act(*db_, user_, 0, 2, kMarker);
  db_->delete_user(user_);
  act(*db_, user_, 0, 2, kMarker);
  EXPECT_EQ(db_->history().read(user_, 10).size(), 2U);
  EXPECT_EQ(db_->history().users(), 1);
}

TEST_F(DeleteUser, IsFineWithAUserWhoIsNotThere) {
  act(*db_, "A", 0, 2, "other");
  db_->delete_user("nobody");
  EXPECT_EQ(db_->history().users(), 1);
  EXPECT_THROW(db_->delete_user(""), std::invalid_argument);
}

}  // namespace
}  // namespace fovea::storage
