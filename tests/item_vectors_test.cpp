// What was put is gathered, whatever was put before it, beside readers.
#include "engine/item_vectors.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

namespace fovea::engine {
namespace {

TEST(ItemVectorsTest, GathersTheArraysAndZerosBeyondThem) {
  const ItemVectors vectors({1, 2, 3, 4}, 2, {10, 20}, 1);
  const std::vector<std::uint32_t> rows = {1, 7, 0};
  const auto gathered = vectors.gather(rows);
  EXPECT_EQ(gathered.texts, (std::vector<float>{3, 4, 0, 0, 1, 2}));
  EXPECT_EQ(gathered.items, (std::vector<float>{20, 0, 10}));
}

TEST(ItemVectorsTest, WithoutLearnedVectorsOnlyTextsAreGathered) {
  ItemVectors vectors({1, 2}, 2, {}, 0);
  const std::vector<std::uint32_t> rows = {3};
  vectors.put(rows, std::vector<float>{5, 6}, {});
  const auto gathered = vectors.gather(rows);
  EXPECT_EQ(gathered.texts, (std::vector<float>{5, 6}));
  EXPECT_TRUE(gathered.items.empty());
}

TEST(ItemVectorsTest, AgreesWithAMapThroughRandomPuts) {
  std::mt19937 random(1);
  ItemVectors vectors(std::vector<float>(20, 1), 1, std::vector<float>(40, 1), 2);
  std::map<std::uint32_t, float> expected;
  for (std::uint32_t row = 0; row < 20; ++row) expected[row] = 1;
  for (int step = 0; step < 200; ++step) {
    std::map<std::uint32_t, float> batch;
    for (int i = 0; i < 3; ++i) batch[random() % 60] = static_cast<float>(random() % 1000);
    std::vector<std::uint32_t> rows;
    std::vector<float> texts;
    std::vector<float> items;
    for (auto entry = batch.rbegin(); entry != batch.rend(); ++entry) {
      rows.push_back(entry->first);
      texts.push_back(entry->second);
      items.insert(items.end(), {entry->second, -entry->second});
      expected[entry->first] = entry->second;
    }
    vectors.put(rows, texts, items);
  }
  std::vector<std::uint32_t> rows;
  for (std::uint32_t row = 0; row < 60; ++row) rows.push_back(row);
  const auto gathered = vectors.gather(rows);
  for (std::uint32_t row = 0; row < 60; ++row) {
    const float value = expected.contains(row) ? expected[row] : 0;
    EXPECT_EQ(gathered.texts[row], value);
    EXPECT_EQ(gathered.items[2 * row], value);
    EXPECT_EQ(gathered.items[2 * row + 1], row < 20 && value == 1 ? 1 : -value);
  }
}

TEST(ItemVectorsTest, AReaderNeverSeesHalfOfAPut) {
  ItemVectors vectors({}, 1, {}, 1);
  const std::vector<std::uint32_t> rows = {0, 1};
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (float value = 1; !stop; ++value) {
      vectors.put(rows, std::vector<float>{value, value}, std::vector<float>{value, value});
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto gathered = vectors.gather(rows);
    ASSERT_EQ(gathered.texts[0], gathered.texts[1]);
    ASSERT_EQ(gathered.texts, gathered.items);
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace fovea::engine
