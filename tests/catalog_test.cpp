// Claim: an item comes back as it was put, keeps its row for ever, and is absent once removed.
#include "storage/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <limits>

#include "storage/keys.h"
#include "storage/name_table.h"
#include "storage/values.h"
#include "tests/flaky_file_system.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Item everything() {
  Item made = item("film", "A film.\n\"quoted\"");
  made.attributes["genre"] = std::string("Comedy");
  made.attributes["year"] = 1994.0;
  made.attributes["seen"] = true;
  made.attributes["cast"] = std::vector<std::string>{"Anna", "", "Böb"};
  made.attributes["none"] = std::vector<std::string>{};
  made.attributes[""] = std::string(100'000, 'x');
  made.embedding = std::vector<float>{1.5F, -0.0F, 1e-30F};
  return made;
}

void expect_same(const Item& a, const Item& b) {
  EXPECT_EQ(a.item_id, b.item_id);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.attributes, b.attributes);
  EXPECT_EQ(a.embedding, b.embedding);
}

TEST(Catalog, GivesBackWhatWasPut) {
  const StoreDirectory directory;
  Item bare;
  bare.item_id = "bare";
  const std::vector<Item> items{everything(), bare};
  {
    const auto db = directory.open();
    const auto put = db->catalog().put(items);
    EXPECT_THAT(put.rows, ElementsAre(0, 1));
    EXPECT_EQ(put.revision, 2U);
    expect_same(db->catalog().get(0).value(), items[0]);
  }
  const auto db = directory.open();
  expect_same(db->catalog().get(0).value(), items[0]);
  expect_same(db->catalog().get(1).value(), items[1]);
  EXPECT_EQ(db->catalog().get(1)->revision, 2U);
  EXPECT_EQ(db->catalog().get(2), std::nullopt);
  EXPECT_EQ(db->catalog().size(), 2);
  EXPECT_EQ(db->catalog().revision(), 2U);
  EXPECT_EQ(db->catalog().embedding_width(), 3U);
}

TEST(Catalog, ARemovedItemKeepsItsRow) {
  const StoreDirectory directory;
  {
    const auto db = directory.open();
    const std::vector<Item> items{item("a", "1"), item("b", "2"), item("c", "3")};
    db->catalog().put(items);
    const std::vector<std::string_view> gone{"b", "nothing", "b"};
    EXPECT_THAT(db->catalog().remove(gone), ElementsAre(1));
    EXPECT_THAT(db->catalog().remove(gone), ElementsAre());
    const Item fresh = item("d", "4");
    EXPECT_THAT(db->catalog().put({&fresh, 1}).rows, ElementsAre(3));
  }
  const auto db = directory.open();
  EXPECT_EQ(db->catalog().row("b"), 1U);
  EXPECT_EQ(db->catalog().item_id(1), "b");
  EXPECT_FALSE(db->catalog().present(1));
  for (std::uint32_t row = 0; row < db->catalog().rows(); ++row) {
    EXPECT_EQ(db->catalog().present()[row], db->catalog().present(row));
  }
  EXPECT_EQ(db->catalog().get(1), std::nullopt);
  EXPECT_EQ(db->catalog().size(), 3);
  EXPECT_EQ(db->catalog().rows(), 4U);
  const Item again = item("b", "back");
  const auto put = db->catalog().put({&again, 1});
  EXPECT_THAT(put.rows, ElementsAre(1));
  EXPECT_GT(put.revision, 4U) << "revisions go on where they were";
  EXPECT_EQ(db->catalog().get(1)->text, "back");
}

TEST(Catalog, APutReplacesAndTheLastOfACallWins) {
  const StoreDirectory directory;
  const auto db = directory.open();
  const std::vector<Item> items{item("a", "1"), item("b", "2"), item("a", "3")};
  EXPECT_THAT(db->catalog().put(items).rows, ElementsAre(0, 1, 0));
  EXPECT_EQ(db->catalog().get(0)->text, "3");
  EXPECT_EQ(db->catalog().size(), 2);
}

TEST(Catalog, VisitsInRowOrderWhatIsNewerThanARevision) {
  const StoreDirectory directory;
  const auto db = directory.open();
  const std::vector<Item> items{item("a", "1"), item("b", "2"), item("c", "3")};
  const auto before = db->catalog().put(items).revision;
  const Item changed = item("a", "4");
  const Item added = item("d", "5");
  db->catalog().put({&added, 1});
  db->catalog().put({&changed, 1});
  const std::vector<std::string_view> gone{"b"};
  db->catalog().remove(gone);
  const auto visited = [&](std::uint64_t after) {
    std::vector<std::string> ids;
    db->catalog().for_each([&](const StoredItem& each) { ids.push_back(each.item_id); }, after);
    return ids;
  };
  EXPECT_THAT(visited(0), ElementsAre("a", "c", "d"));
  EXPECT_THAT(visited(before), ElementsAre("a", "d"));
  EXPECT_THAT(visited(db->catalog().revision()), ElementsAre());
}

TEST(Catalog, LooksPresentItemsUpByWhatTheirIdsBeginWith) {
  const StoreDirectory directory;
  const auto db = directory.open();
  const std::vector<Item> items{item("ab", "1"), item("b", "2"), item("a", "3"), item("abc", "4")};
  db->catalog().put(items);
  record(*db, view("u", "abandoned", 1));  // a name, and no item
  const auto rows = [&](std::string_view prefix, std::size_t limit = 100) {
    return db->catalog().rows_with_prefix(prefix, limit);
  };
  EXPECT_THAT(rows("ab"), ElementsAre(0, 3));
  EXPECT_THAT(rows("a"), ElementsAre(0, 2, 3));
  EXPECT_THAT(rows("", 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(rows("abcd"), ElementsAre());
  const std::vector<std::string_view> gone{"ab"};
  db->catalog().remove(gone);
  EXPECT_THAT(rows("ab"), ElementsAre(3));
}

TEST(Catalog, RefusesASecondEmbeddingWidthAndKeepsNothingOfTheCall) {
  const StoreDirectory directory;
  auto db = directory.open();
  Item first = item("first", "");
  first.embedding = std::vector<float>{1, 2};
  db->catalog().put({&first, 1});
  Item other = item("other", "");
  other.embedding = std::vector<float>{1, 2, 3};
  const std::vector<Item> call{item("innocent", ""), other};
  EXPECT_THAT([&] { db->catalog().put(call); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("other")));
  EXPECT_EQ(db->catalog().row("innocent"), std::nullopt);
  const std::vector<std::string_view> gone{"first"};
  db->catalog().remove(gone);
  db.reset();
  EXPECT_THAT([&] { directory.open()->catalog().put({&other, 1}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("have 2")));
}

TEST(Catalog, KeepsActionsAndTheirWeights) {
  const StoreDirectory directory;
  {
    const auto db = directory.open();
    EXPECT_EQ(db->catalog().declare_action("skip", -1), 1);
    EXPECT_EQ(db->catalog().declare_action("buy", 3), 2);
    EXPECT_EQ(db->catalog().declare_action("skip", -2), 1);
    EXPECT_THROW(db->catalog().declare_action("nan", std::numeric_limits<double>::quiet_NaN()),
                 std::invalid_argument);
  }
  const auto db = directory.open();
  const auto actions = db->catalog().actions();
  ASSERT_EQ(actions.size(), 3U);
  EXPECT_EQ(actions[1].name, "skip");
  EXPECT_EQ(actions[1].weight, -2);
  EXPECT_EQ(db->catalog().action("buy"), 2);
  EXPECT_EQ(db->catalog().action("stare"), std::nullopt);
}

TEST(Catalog, TakesAThousandActions) {
  const StoreDirectory directory;
  FlakyDisk disk;  // never fails here; it saves the wait for syncs
  const auto db = directory.open({.env = disk.env.get()});  // declares one
  for (int i = 1; i < 1000; ++i) db->catalog().declare_action("a" + std::to_string(i), 1);
  EXPECT_THROW(db->catalog().declare_action("one more", 1), std::length_error);
  EXPECT_EQ(db->catalog().declare_action("a999", 2), 999);
}

TEST(Catalog, ADamagedRecordIsAnError) {
  const std::string whole = encode_item(everything(), 7);
  expect_same(decode_item(whole).value(), [] {
    Item without_id = everything();
    without_id.item_id.clear();
    return without_id;
  }());
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += bytes < 200 ? 1 : 997) {
    EXPECT_EQ(decode_item(whole.substr(0, bytes)), std::nullopt) << bytes;
  }
  EXPECT_EQ(decode_item(whole + "x"), std::nullopt);

  const StoreDirectory directory;
  {
    const auto db = directory.open();
    const Item good = item("a", "1");
    db->catalog().put({&good, 1});
  }
  {
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, directory.path() / "store", &raw).ok());
    const std::unique_ptr<rocksdb::DB> owned(raw);
    ASSERT_TRUE(raw->Put({}, item_key(0), "garbage").ok());
  }
  const auto db = directory.open();
  EXPECT_THAT(store_error([&] { db->catalog().get(0); }), HasSubstr("item a"));
  EXPECT_THAT(store_error([&] { db->catalog().for_each([](const StoredItem&) {}); }),
              HasSubstr("damaged"));
}

TEST(NameTable, FindsEachOfManyNames) {
  NameTable names;
  const std::uint32_t count = 20'000;
  for (std::uint32_t row = 0; row < count; ++row) names.append("item-" + std::to_string(row));
  names.append("");
  for (std::uint32_t row = 0; row < count; ++row) {
    ASSERT_EQ(names.find("item-" + std::to_string(row)), row);
    ASSERT_EQ(names.name(row), "item-" + std::to_string(row));
  }
  EXPECT_EQ(names.find(""), count);
  EXPECT_EQ(names.find("item-"), std::nullopt);
}

}  // namespace
}  // namespace fovea::storage
