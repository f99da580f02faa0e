// Claim: however RocksDB groups the operands of a history, the newest events remain in one order:
// by time, equal times newest arrival first; and what is no history fails instead of crashing.
#include "storage/merge.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <random>

#include "storage/keys.h"
#include "storage/rocks.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

PackedEvent event(std::int64_t time_ms, std::uint32_t row) {
  PackedEvent made;
  made.time_ms = time_ms;
  made.row = row;
  return made;
}

std::string pack(const std::vector<PackedEvent>& events) {
  std::string bytes;
  for (const PackedEvent& each : events) pack_event(each, bytes);
  return bytes;
}

std::vector<std::uint32_t> rows(const std::string& bytes) {
  std::vector<std::uint32_t> result;
  const auto events = unpack_events(bytes);
  for (const PackedEvent& each : events.value()) result.push_back(each.row);
  return result;
}

std::string partial(const StoreMerge& merge, const std::vector<std::string>& operands) {
  std::string merged;
  const std::deque<rocksdb::Slice> slices(operands.begin(), operands.end());
  EXPECT_TRUE(merge.PartialMergeMulti(history_key("u"), slices, &merged, nullptr));
  return merged;
}

bool full(const StoreMerge& merge, const std::string* existing,
          const std::vector<std::string>& operands, std::string& merged) {
  const std::string key = history_key("u");
  const rocksdb::Slice key_slice(key);
  const rocksdb::Slice base = existing ? rocksdb::Slice(*existing) : rocksdb::Slice();
  const std::vector<rocksdb::Slice> slices(operands.begin(), operands.end());
  const rocksdb::MergeOperator::MergeOperationInput in(key_slice, existing ? &base : nullptr,
                                                       slices, nullptr);
  rocksdb::Slice unused;
  rocksdb::MergeOperator::MergeOperationOutput out(merged, unused);
  return merge.FullMergeV2(in, &out);
}

TEST(Merge, PutsALateEventWhereItsTimeBelongs) {
  const StoreMerge merge(10);
  std::string merged;
  const std::string base = pack({event(30, 3), event(10, 1)});
  ASSERT_TRUE(full(merge, &base, {pack({event(20, 2)})}, merged));
  EXPECT_EQ(rows(merged), (std::vector<std::uint32_t>{3, 2, 1}));
}

TEST(Merge, PutsTheNewestArrivalFirstAmongEqualTimes) {
  const StoreMerge merge(10);
  std::string merged;
  const std::string base = pack({event(10, 1)});
  ASSERT_TRUE(full(merge, &base, {pack({event(10, 2)}), pack({event(10, 3)})}, merged));
  EXPECT_EQ(rows(merged), (std::vector<std::uint32_t>{3, 2, 1}));
}

TEST(Merge, KeepsTheNewestInFullAndPartialFolds) {
  const StoreMerge merge(2);
  std::string merged;
  const std::string base = pack({event(30, 3), event(20, 2)});
  ASSERT_TRUE(full(merge, &base, {pack({event(40, 4)}), pack({event(10, 1)})}, merged));
  EXPECT_EQ(rows(merged), (std::vector<std::uint32_t>{4, 3}));
  EXPECT_EQ(rows(partial(merge, {base, pack({event(25, 5)}), pack({event(1, 6)})})),
            (std::vector<std::uint32_t>{3, 5}));
}

// Every way to bracket the same arrivals, against a list that is sorted and cut at the end.
TEST(Merge, GivesTheSameHistoryHoweverOperandsAreGrouped) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const std::size_t events_max = 1 + random() % 6;
    const StoreMerge merge(events_max);
    std::vector<PackedEvent> expected;  // every arrival in its place
    std::string history;                // folded so far
    bool any = false;
    std::vector<std::string> pending;
    const auto fold = [&] {
      std::string merged;
      ASSERT_TRUE(full(merge, any ? &history : nullptr, pending, merged));
      history = merged;
      any = true;
      pending.clear();
    };
    const std::uint32_t arrivals = 1 + random() % 30;
    for (std::uint32_t row = 0; row < arrivals; ++row) {
      const PackedEvent arrived = event(static_cast<std::int64_t>(random() % 5) - 2, row);
      auto place = expected.begin();
      while (place != expected.end() && place->time_ms > arrived.time_ms) ++place;
      expected.insert(place, arrived);
      pending.push_back(pack({arrived}));
      if (pending.size() > 1 && random() % 3 == 0) {  // fold a run of neighbours into one operand
        const std::size_t first = random() % (pending.size() - 1);
        const std::size_t count = 2 + random() % (pending.size() - first - 1);
        const auto begin = pending.begin() + static_cast<std::ptrdiff_t>(first);
        const auto end = begin + static_cast<std::ptrdiff_t>(count);
        const std::string merged = partial(merge, {begin, end});
        pending.insert(pending.erase(begin, end), merged);
      }
      if (random() % 7 == 0) fold();
    }
    fold();
    expected.resize(std::min(expected.size(), events_max));
    ASSERT_EQ(rows(history), rows(pack(expected)));
  }
}

TEST(Merge, FailsOnWhatIsNoHistory) {
  const StoreMerge merge(10);
  std::string merged;
  const std::string whole = pack({event(1, 1)});
  const std::string torn = whole.substr(1);
  EXPECT_FALSE(full(merge, &whole, {torn}, merged));
  EXPECT_FALSE(full(merge, &torn, {whole}, merged));
  EXPECT_FALSE(
      merge.PartialMergeMulti(history_key("u"), {rocksdb::Slice(whole), torn}, &merged, nullptr));
  EXPECT_FALSE(merge.PartialMergeMulti("format", {rocksdb::Slice(whole), whole}, &merged, nullptr));
}

TEST(Merge, ADamagedHistoryIsAnErrorThatNamesTheStore) {
  const StoreDirectory directory;
  directory.open().reset();
  {
    rocksdb::Options options;
    options.merge_operator = std::make_shared<StoreMerge>(10);
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, directory.path() / "store", &raw).ok());
    const std::unique_ptr<rocksdb::DB> owned(raw);
    ASSERT_TRUE(raw->Put({}, history_key("torn"), "not 32 bytes").ok());
    ASSERT_TRUE(raw->Merge({}, history_key("torn-operand"), "nor this").ok());
    ASSERT_TRUE(raw->Put({}, history_key("no-item"), pack({event(1, 77)})).ok());
  }
  const auto db = directory.open();
  for (const char* user : {"torn", "torn-operand", "no-item"}) {
    const std::string error = store_error([&] { db->history().read(user, 10); });
    EXPECT_NE(error.find(directory.path().string()), std::string::npos) << user << ": " << error;
    EXPECT_NE(error.find("damaged"), std::string::npos) << user << ": " << error;
  }
  EXPECT_NE(store_error([&] { record(*db, view("torn", "a", 1)); }), "");
  EXPECT_EQ(record(*db, view("whole", "a", 1)), 1U);
}

}  // namespace
}  // namespace fovea::storage
