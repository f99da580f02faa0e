// Attributes agree with a plain evaluator over maps through puts, replacements and removals, beside
// readers too.
#include "engine/attributes.h"

#include <gmock/gmock.h>

#include <atomic>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/plain_filter.h"
#include "tests/store_directory.h"

namespace fovea::engine {
namespace {

using storage::AttributeValue;
using storage::Item;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Map = std::map<std::string, AttributeValue>;
using Texts = std::vector<std::string>;

Item item(Map attributes) { return {.attributes = std::move(attributes)}; }

void put(Attributes& attributes, std::uint32_t row, Map map) {
  const Item made = item(std::move(map));
  const Item* const pointer = &made;
  attributes.put({&row, 1}, {&pointer, 1});
}

std::vector<std::uint32_t> rows_of(const Attributes& attributes, std::string_view filter) {
  std::vector<std::uint32_t> rows;
  attributes.matching(Filter::parse(filter, "filter")).for_each([&](std::uint32_t row) {
    rows.push_back(row);
  });
  return rows;
}

/// A filter of up to four comparisons over a .. f, most of them with something to find.
class RandomFilters {
 public:
  explicit RandomFilters(std::mt19937& random) : random_(random) {}

  std::string next() { return expression(static_cast<int>(random_() % 3)); }

 private:
  std::string expression(int depth) {
    if (depth == 0) return comparison();
    switch (random_() % 4) {
      case 0:
        return "not (" + expression(depth - 1) + ")";
      case 1:
        return expression(depth - 1) + " or " + expression(depth - 1);
      case 2:
        return "(" + expression(depth - 1) + ") and (" + expression(depth - 1) + ")";
      default:
        return expression(depth - 1) + " and " + expression(depth - 1);
    }
  }
  std::string comparison() {
    static constexpr const char* kOperators[] = {"=", "!=", "<", "<=", ">", ">="};
    const std::string name(1, static_cast<char>('a' + random_() % 7));  // g: nobody's
    switch (random_() % 8) {
      case 0:
        return "has(" + name + ")";
      case 1: {
        std::string list = name + " in (" + value(true);
        for (auto more = random_() % 30; more > 0; --more) list += ", " + value(true);
        return list + ")";
      }
      default: {
        const auto which = random_() % 6;
        return name + " " + kOperators[which] + " " + value(which < 2);
      }
    }
  }
  std::string value(bool flags) {
    switch (random_() % (flags ? 4 : 3)) {
      case 0:
        return std::to_string(static_cast<int>(random_() % 12) - 2);
      case 1:
        return "'t" + std::to_string(random_() % 12) + "'";
      case 2:
        return "'u" + std::to_string(random_() % 3000) + "'";
      default:
        return random_() % 2 == 0 ? "true" : "false";
    }
  }

  std::mt19937& random_;
};

/// Attributes a .. f: of each item some, mostly of one type, and of few and of many texts.
Map random_map(std::mt19937& random) {
  const auto few = [&] { return "t" + std::to_string(random() % 10); };
  const auto many = [&] { return "u" + std::to_string(random() % 3000); };
  Map map;
  if (random() % 8 != 0) map["a"] = static_cast<double>(static_cast<int>(random() % 12) - 2);
  if (random() % 8 != 0) map["b"] = few();
  if (random() % 8 != 0) map["c"] = many();
  if (random() % 2 != 0) map["d"] = random() % 2 == 0;
  if (random() % 8 != 0) {
    Texts texts;
    for (auto n = random() % 4; n > 0; --n) texts.push_back(random() % 2 == 0 ? few() : many());
    map["e"] = texts;
  }
  switch (random() % 40) {  // of few items, in every type
    case 0:
      map["f"] = few();
      break;
    case 1:
      map["f"] = 3.0;
      break;
    case 2:
      map["f"] = true;
      break;
    case 3:
      map["f"] = Texts{few(), few()};
      break;
    default:
      break;
  }
  return map;
}

void expect_agreement(const Attributes& attributes, const std::map<std::uint32_t, Map>& expected,
                      const std::string& text, std::uint32_t rows) {
  const auto filter = Filter::parse(text, "filter");
  const auto matching = attributes.matching(filter);
  ASSERT_LE(matching.rows(), rows);
  std::vector<std::uint32_t> asked;
  for (std::uint32_t row = 0; row < rows + 10; ++row) asked.push_back(row);
  const auto matches = attributes.matches(filter, asked);
  for (const std::uint32_t row : asked) {
    const auto present = expected.find(row);
    const bool wanted = present != expected.end() && plain_matches(filter, present->second);
    ASSERT_EQ(matching.contains(row), wanted) << text << " of row " << row;
    ASSERT_EQ(matches[row] != 0, wanted) << text << " of row " << row;
  }
}

void agrees_through_changes(std::uint32_t rows, int steps, unsigned seed) {
  std::mt19937 random(seed);
  RandomFilters filters(random);
  Attributes attributes;
  std::map<std::uint32_t, Map> expected;
  for (int step = 0; step < steps; ++step) {
    std::vector<std::uint32_t> changed;
    const bool all = step == 0;
    for (std::uint32_t i = 0; i < (all ? rows : 1 + random() % 50); ++i) {
      changed.push_back(all ? i : random() % rows);
    }
    if (step % 4 == 3) {
      attributes.remove(changed);
      for (const std::uint32_t row : changed) expected.erase(row);
    } else {
      std::vector<Item> items;
      for (const std::uint32_t row : changed) {
        items.push_back(item(random_map(random)));
        expected[row] = items.back().attributes;
      }
      std::vector<const Item*> pointers;
      for (const Item& each : items) pointers.push_back(&each);
      attributes.put(changed, pointers);
    }
    for (int i = 0; i < 5; ++i) expect_agreement(attributes, expected, filters.next(), rows);
  }
}

TEST(AttributesTest, AgreeWithMapsInAFewRows) { agrees_through_changes(40, 200, 1); }
TEST(AttributesTest, AgreeWithMapsInOneChunk) { agrees_through_changes(3000, 60, 2); }
TEST(AttributesTest, AgreeWithMapsInSeveralChunks) { agrees_through_changes(10'000, 40, 3); }

TEST(AttributesTest, WithoutItemsNothingMatches) {
  const Attributes attributes;
  EXPECT_THAT(rows_of(attributes, "not has(a)"), IsEmpty());
  EXPECT_FALSE(attributes.matches(Filter::parse("not has(a)", "filter"), 0));
  EXPECT_THAT(attributes.values(0, "a"), IsEmpty());
}

TEST(AttributesTest, WhatIsMissingOrOfAnotherTypeComparesAsFalse) {
  Attributes attributes;
  put(attributes, 0, {{"a", 1.0}});
  put(attributes, 1, {{"a", "1"}});
  put(attributes, 2, {{"a", true}});
  put(attributes, 3, {{"a", Texts{"0", "1"}}});
  put(attributes, 4, {{"a", Texts{}}});
  put(attributes, 5, {});
  put(attributes, 7, {{"b", -0.0}});
  EXPECT_THAT(rows_of(attributes, "a = 1"), ElementsAre(0));
  EXPECT_THAT(rows_of(attributes, "a != 1"), ElementsAre(1, 2, 3, 4, 5, 7));
  EXPECT_THAT(rows_of(attributes, "a = '1'"), ElementsAre(1, 3));
  EXPECT_THAT(rows_of(attributes, "a <= '0'"), ElementsAre(3));
  EXPECT_THAT(rows_of(attributes, "a in (true, 1)"), ElementsAre(0, 2));
  EXPECT_THAT(rows_of(attributes, "not a < 5"), ElementsAre(1, 2, 3, 4, 5, 7));
  EXPECT_THAT(rows_of(attributes, "has(a)"), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(rows_of(attributes, "b = 0"), ElementsAre(7));
}

TEST(AttributesTest, OfARowGivenTwiceTheLastCounts) {
  Attributes attributes;
  const Item first = item({{"a", 1.0}, {"b", 1.0}});
  const Item second = item({{"a", 2.0}});
  const std::vector<std::uint32_t> rows = {4, 4};
  attributes.put(rows, std::vector<const Item*>{&first, &second});
  EXPECT_THAT(rows_of(attributes, "a = 2 and not has(b)"), ElementsAre(4));
  EXPECT_THAT(rows_of(attributes, "a = 1"), IsEmpty());
}

TEST(AttributesTest, RowsFarApartCostLittle) {
  Attributes attributes;
  put(attributes, 3'000'000, {{"a", 1.0}});
  put(attributes, 5, {{"a", 1.0}});
  EXPECT_THAT(rows_of(attributes, "a = 1"), ElementsAre(5, 3'000'000));
  EXPECT_LT(attributes.bytes(), 200'000U);
}

TEST(AttributesTest, AnAttributeOfOneItemCostsLittle) {
  Attributes attributes;
  constexpr std::uint32_t kRows = 2000;
  for (std::uint32_t row = 0; row < kRows; ++row) {
    put(attributes, row, {{"n" + std::to_string(row), 1.0}});
  }
  EXPECT_LT(attributes.bytes() / kRows, 400U);
  EXPECT_THAT(rows_of(attributes, "n17 = 1 or n1999 = 1"), ElementsAre(17, 1999));
}

TEST(AttributesTest, WhatIsRemovedGivesItsMemoryBack) {
  Attributes attributes;
  const auto empty = attributes.bytes();
  std::vector<std::uint32_t> rows;
  for (std::uint32_t row = 0; row < 5000; ++row) {
    rows.push_back(row);
  }
  const Item made = item({{"a", 1.0}, {"b", true}});
  attributes.put(rows, std::vector<const Item*>(rows.size(), &made));
  attributes.remove(rows);
  EXPECT_LT(attributes.bytes(), empty + 1000);
}

TEST(AttributesTest, KeysAreEqualWhereValuesAre) {
  Attributes attributes;
  put(attributes, 0, {{"a", Texts{"x", "y", "x"}}, {"n", 1.0}, {"f", false}, {"g", Texts{}}});
  put(attributes, 1, {{"a", "y"}, {"n", -0.0}, {"f", false}});
  put(attributes, 2, {{"a", true}, {"n", 0.0}});
  const auto listed = attributes.values(0, "a");
  ASSERT_THAT(listed, SizeIs(2));
  EXPECT_NE(listed[0], listed[1]);
  EXPECT_THAT(attributes.values(1, "a"), ElementsAre(testing::AnyOf(listed[0], listed[1])));
  EXPECT_THAT(attributes.values(2, "a"), SizeIs(1));
  EXPECT_NE(attributes.values(1, "a"), attributes.values(2, "a"));
  EXPECT_NE(attributes.values(0, "n"), attributes.values(1, "n"));
  EXPECT_EQ(attributes.values(1, "n"), attributes.values(2, "n"));
  EXPECT_EQ(attributes.values(0, "f"), attributes.values(1, "f"));
  EXPECT_THAT(attributes.values(0, "g"), IsEmpty());
  EXPECT_THAT(attributes.values(0, "h"), IsEmpty());
  EXPECT_THAT(attributes.values(9, "a"), IsEmpty());
  const auto before = attributes.values(1, "a");
  put(attributes, 1, {{"a", "z"}});
  put(attributes, 1, {{"a", "y"}});
  EXPECT_EQ(attributes.values(1, "a"), before);
}

/// What many rows share lies in another form; keys must not depend on it.
TEST(AttributesTest, KeysOfManyRowsAreThoseOfTheItems) {
  Attributes attributes;
  std::mt19937 random(5);
  std::vector<std::uint32_t> rows;
  std::vector<Item> items;
  for (std::uint32_t row = 0; row < 4000; ++row) {
    rows.push_back(row);
    items.push_back(item(random_map(random)));
  }
  std::vector<const Item*> pointers;
  for (const Item& each : items) pointers.push_back(&each);
  attributes.put(rows, pointers);
  std::map<std::string, AttributeKey> keys;  // of single texts
  for (const std::uint32_t row : rows) {
    const auto& map = items[row].attributes;
    ASSERT_EQ(attributes.values(row, "b").size(), map.count("b"));
    ASSERT_EQ(attributes.values(row, "a").size(), map.count("a"));
    if (!map.contains("b")) continue;
    const auto key = attributes.values(row, "b").front();
    ASSERT_EQ(keys.try_emplace(std::get<std::string>(map.at("b")), key).first->second, key);
  }
  EXPECT_THAT(keys, SizeIs(10));
}

TEST(AttributesTest, TextsAreOrderedHoweverManyCameLate) {
  Attributes attributes;
  std::mt19937 random(6);
  std::map<std::uint32_t, Map> expected;
  for (std::uint32_t row = 0; row < 3000; row += 100) {
    std::vector<std::uint32_t> rows;
    std::vector<Item> items;
    for (std::uint32_t i = row; i < row + 100; ++i) {
      rows.push_back(i);
      items.push_back(item({{"c", "u" + std::to_string(random() % 100'000)}}));
      expected[i] = items.back().attributes;
    }
    std::vector<const Item*> pointers;
    for (const Item& each : items) pointers.push_back(&each);
    attributes.put(rows, pointers);
    for (const char* filter : {"c < 'u5'", "c >= 'u7'", "c <= 'u1' or c > 'u98'", "c < ''"}) {
      expect_agreement(attributes, expected, filter, row + 100);
    }
  }
}

TEST(AttributesTest, TheCatalogueFillsThem) {
  const storage::StoreDirectory directory;
  const auto db = directory.open();
  std::vector<Item> items;
  for (int i = 0; i < 5000; ++i) {
    items.push_back(item({{"i", static_cast<double>(i)}}));
    items.back().item_id = "item" + std::to_string(i);
  }
  db->catalog().put(items);
  const std::vector<std::string_view> gone = {"item7", "item4500"};
  db->catalog().remove(gone);
  Attributes attributes;
  put_all(db->catalog(), attributes);
  EXPECT_EQ(attributes.matching(Filter::parse("has(i)", "filter")).count(), 4998U);
  EXPECT_THAT(rows_of(attributes, "i in (6, 7, 8, 4499, 4500)"), ElementsAre(6, 8, 4499));
}

TEST(AttributesTest, ReadersSeeEveryPutWholeOrNotAtAll) {
  Attributes attributes;
  // Each put gives all of these rows, over three chunks, one round and its text.
  const std::vector<std::uint32_t> rows = {1, 2, 3, 5000, 5001, 9000};
  const auto put_round = [&](int round) {
    const Item made = item({{"round", static_cast<double>(round)},
                            {"name", "r" + std::to_string(round)},
                            {"tags", Texts{"all", "t" + std::to_string(round)}}});
    attributes.put(rows, std::vector<const Item*>(rows.size(), &made));
  };
  put_round(0);
  std::atomic<bool> done{false};
  std::atomic<int> started{0};
  std::vector<std::jthread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      int newest = 0;
      ++started;
      while (!done) {
        const auto has = attributes.matching(Filter::parse("tags = 'all'", "filter")).count();
        ASSERT_TRUE(has == 0 || has == rows.size()) << has;
        const std::string name = "r" + std::to_string(newest);
        const auto filter =
            Filter::parse("name = '" + name + "' and round = " + std::to_string(newest), "filter");
        const auto count = attributes.matching(filter).count();
        ASSERT_TRUE(count == 0 || count == rows.size()) << count;
        const auto matches = attributes.matches(filter, rows);
        ASSERT_THAT(matches, testing::Each(matches.front()));
        // Texts are known as soon as their rows are: some round's text holds for every row seen.
        const auto later = attributes.matching(Filter::parse("name >= 'r'", "filter")).count();
        ASSERT_TRUE(later == 0 || later == rows.size()) << later;
        newest = (newest + 1) % 400;
      }
    });
  }
  while (started < 2) std::this_thread::yield();
  for (int round = 1; round < 1500; ++round) {
    put_round(round % 400);
    if (round % 10 == 0) attributes.remove(rows);
  }
  done = true;
}

}  // namespace
}  // namespace fovea::engine
