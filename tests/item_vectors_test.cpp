// What was put is gathered, whatever was put before it, beside readers.
#include "engine/item_vectors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <numeric>
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

TEST(ItemVectorsTest, FindsTheNearestOfSomeRowsWhereverTheyLie) {
  constexpr std::size_t kRows = 300;
  std::mt19937 random(2);
  const auto values = [&](std::size_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> result(n);
    for (float& x : result) x = normal(random);
    return result;
  };
  ItemVectors vectors(values(kRows * 3), 3, values(kRows * 5), 5);
  std::vector<std::uint32_t> put;
  for (std::uint32_t row = 0; row < 2 * kRows; row += 7) put.push_back(row);
  vectors.put(put, values(put.size() * 3), values(put.size() * 5));
  EXPECT_EQ(vectors.rows_end(), put.back() + 1);
  for (const auto part : {ItemVectors::Part::kText, ItemVectors::Part::kItem}) {
    const std::size_t width = vectors.width(part);
    for (const std::size_t every : {1U, 3U, 50U, 1'000U}) {
      index::RowSet allow(3 * kRows);
      std::vector<std::uint32_t> rows;
      for (std::uint32_t row = 1; row < allow.rows(); row += every) {
        allow.insert(row);
        if (row < kRows || std::ranges::binary_search(put, row)) rows.push_back(row);
      }
      const auto query = values(width);
      std::vector<float> gathered(rows.size() * width);
      vectors.gather(part, rows, gathered);
      std::vector<std::pair<float, std::uint32_t>> expected;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto* vector = gathered.data() + i * width;
        expected.emplace_back(-std::inner_product(query.begin(), query.end(), vector, 0.0F),
                              rows[i]);
      }
      std::ranges::sort(expected);
      for (const std::size_t k : {0U, 1U, 20U, 5'000U}) {
        const auto found = vectors.nearest(part, allow, query, k);
        ASSERT_EQ(found.size(), std::min<std::size_t>(k, expected.size()));
        for (std::size_t i = 0; i < found.size(); ++i) {
          EXPECT_EQ(found[i].row, expected[i].second);
          EXPECT_NEAR(found[i].score, -expected[i].first, 1e-5);
        }
      }
    }
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
