// Claim: any calls may run at once: nothing is lost, counted twice or seen half-written.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "storage/db.h"
#include "tests/flaky_file_system.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

constexpr int kThreads = 4;
constexpr std::chrono::microseconds kSync{300};

template <typename Work>
void in_threads(const Work& work) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back([&work, t] { work(t); });
}

TEST(StoreThreads, AnEventIdRecordedByAllIsKeptOnce) {
  const StoreDirectory directory;
  FlakyDisk disk;
  disk.files->slow_syncs(kSync);
  const auto db = directory.open({.env = disk.env.get()});
  std::atomic<std::size_t> fresh{0};
  constexpr int kEvents = 60;
  in_threads([&](int) {
    for (int i = 0; i < kEvents; ++i) {
      const std::string event_id = "e" + std::to_string(i);
      const std::string item_id = "item" + std::to_string(i);
      NewEvent identified = view("shared", item_id, i);
      identified.event_id = event_id;
      const std::vector<NewEvent> events{identified, view("also", item_id, i)};
      fresh += db->record(events);
    }
  });
  EXPECT_EQ(fresh, 2U * kEvents);
  EXPECT_EQ(db->history().read("shared", SIZE_MAX).size(), static_cast<std::size_t>(kEvents));
  EXPECT_EQ(db->history().read("also", SIZE_MAX).size(), static_cast<std::size_t>(kEvents));
  EXPECT_EQ(db->history().users(), 2);
  EXPECT_EQ(db->catalog().rows(), static_cast<std::uint32_t>(kEvents));
}

TEST(StoreThreads, CallsForManyUsersInAnyOrderDoNotWaitForEachOther) {
  const StoreDirectory directory;
  FlakyDisk disk;
  disk.files->slow_syncs(kSync);
  const auto db = directory.open({.env = disk.env.get()});
  in_threads([&](int t) {
    for (int i = 0; i < 40; ++i) {
      std::vector<NewEvent> events{view("a", "x", t * 1000 + i), view("b", "x", t * 1000 + i),
                                   view("c", "x", t * 1000 + i)};
      std::rotate(events.begin(), events.begin() + (t + i) % 3, events.end());
      db->record(events);
    }
  });
  for (const char* user : {"a", "b", "c"}) {
    EXPECT_EQ(db->history().read(user, SIZE_MAX).size(), 40U * kThreads);
  }
}

TEST(StoreThreads, WhatIsShownIsNotedWhileAnotherWaitsForTheDisk) {
  const StoreDirectory directory;
  FlakyDisk disk;
  const auto db = directory.open({.env = disk.env.get()});
  disk.files->hold_syncs();
  std::atomic<bool> recorded{false};
  std::jthread recorder([&] {
    record(*db, view("u", "a", 1));
    recorded = true;
  });
  disk.files->await_held_sync();
  db->exposures().append("u", {"r1", 1, "v", {0}});
  EXPECT_EQ(db->exposures().read("u", 10).size(), 1U);
  EXPECT_EQ(items_of(*db, "u"), std::vector<std::string>{"a"}) << "read, though not acknowledged";
  EXPECT_FALSE(recorded) << "acknowledged before it was on the disk";
  disk.files->let_syncs_end();
  recorder.join();
  EXPECT_TRUE(recorded);
}

TEST(StoreThreads, ThoseWhoWaitForTheDiskShareItsSyncs) {
  const StoreDirectory directory;
  FlakyDisk disk;
  disk.files->slow_syncs(kSync);
  const auto db = directory.open({.env = disk.env.get()});
  constexpr int kEvents = 50;
  const auto before = disk.files->syncs();
  in_threads([&](int t) {
    for (int i = 0; i < kEvents; ++i) record(*db, view("u" + std::to_string(t), "a", i));
  });
  EXPECT_LT(disk.files->syncs() - before, kThreads * kEvents);
}

TEST(StoreThreads, EverythingAtOnce) {
  const StoreDirectory directory;
  FlakyDisk disk;
  disk.files->slow_syncs(kSync);
  const auto db = directory.open({.env = disk.env.get()});
  std::atomic<bool> stop{false};
  std::vector<std::jthread> others;
  others.emplace_back([&] {  // every event's item has a name, and the one it was recorded with
    while (!stop) {
      for (int t = 0; t < kThreads; ++t) {
        for (const Event& event : db->history().read("user" + std::to_string(t), 10)) {
          const std::string name = db->catalog().item_id(event.row);
          EXPECT_EQ(name, "item" + std::to_string(t) + "-" + std::to_string(event.time_ms / 2));
        }
      }
    }
  });
  others.emplace_back([&] {
    while (!stop) {
      db->history().for_each_user([&](std::string_view, std::span<const Event> events) {
        for (std::size_t i = 1; i < events.size(); ++i) {
          EXPECT_GE(events[i - 1].time_ms, events[i].time_ms);
        }
      });
      db->catalog().for_each(
          [](const StoredItem& each) { EXPECT_EQ(each.text, "text " + each.item_id); });
    }
  });
  others.emplace_back([&] {
    for (int i = 0; !stop; ++i) {
      const std::string shown = "r" + std::to_string(i);
      db->exposures().append("passer-by", {shown, i, "v", {1, 2}});
      record(*db, view("passer-by", "x", i));
      if (i % 20 == 0) db->delete_user("passer-by");
      db->exposures().read("passer-by", 3);
      db->catalog().declare_action("view", i % 5);
    }
  });
  constexpr int kEvents = 80;
  in_threads([&](int t) {
    const std::string user = "user" + std::to_string(t);
    for (int i = 0; i < kEvents; ++i) {
      const std::string id = "item" + std::to_string(t) + "-" + std::to_string(i / 2);
      EXPECT_EQ(record(*db, view(user, id, i)), 1U);
      const auto row = db->catalog().row(id);
      EXPECT_TRUE(row.has_value());
      EXPECT_EQ(db->history().read(user, 1).at(0).row, row) << "read what was just written";
      const Item put = item(id, "text " + id);
      EXPECT_EQ(db->catalog().put({&put, 1}).rows.at(0), row);
      const std::string_view gone = id;
      if (i % 4 == 3) {
        EXPECT_EQ(db->catalog().remove({&gone, 1}).size(), 1U);
      }
    }
  });
  stop = true;
  others.clear();
  db->delete_user("passer-by");
  EXPECT_EQ(db->history().users(), kThreads);
  EXPECT_EQ(db->catalog().size(), kThreads * kEvents / 4);
  for (int t = 0; t < kThreads; ++t) {
    EXPECT_EQ(db->history().read("user" + std::to_string(t), SIZE_MAX).size(),
              static_cast<std::size_t>(kEvents));
  }
}

}  // namespace
}  // namespace fovea::storage
