// Claim: a live index answers as an index built anew from its live items would, while they come and
// go.
#include "index/live_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

namespace fovea::index {
namespace {

constexpr std::size_t kWidth = 8;
using Items = std::map<std::uint32_t, std::vector<float>>;

std::vector<float> random_vector(std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> vector(kWidth);
  for (float& value : vector) value = normal(random);
  return vector;
}

std::unique_ptr<const VectorIndex> build(const Items& items, const IndexOptions& options = {}) {
  std::vector<std::uint32_t> rows;
  std::vector<float> values;
  for (const auto& [row, vector] : items) {
    rows.push_back(row);
    values.insert(values.end(), vector.begin(), vector.end());
  }
  return build_index(rows, values, kWidth, options);
}

std::vector<Neighbour> nearest(const Items& items, const std::vector<float>& query, std::size_t k,
                               const RowSet* allow) {
  std::vector<Neighbour> all;
  for (const auto& [row, vector] : items) {
    if (allow != nullptr && !allow->contains(row)) continue;
    all.push_back({row, std::inner_product(vector.begin(), vector.end(), query.begin(), 0.0F)});
  }
  std::ranges::sort(all, std::ranges::greater{}, &Neighbour::score);
  all.resize(std::min(k, all.size()));
  return all;
}

class LiveIndexOver : public testing::TestWithParam<std::size_t> {};  // items of main

TEST_P(LiveIndexOver, AgreesWithBruteForceThroughRandomChanges) {
  std::mt19937 random(static_cast<unsigned>(GetParam()) + 1);
  Items live;
  while (live.size() < GetParam()) live[random() % 400] = random_vector(random);
  LiveIndex index(GetParam() == 0 ? nullptr : build(live), kWidth);
  for (int step = 0; step < 400; ++step) {
    std::vector<std::uint32_t> rows;
    for (std::size_t n = 1 + random() % 4; n > 0; --n) rows.push_back(random() % 400);
    if (random() % 2 == 0) {
      std::vector<float> vectors;
      for (const std::uint32_t row : rows) {
        live[row] = random_vector(random);  // of a row given twice the last stays
        vectors.insert(vectors.end(), live[row].begin(), live[row].end());
      }
      index.put(rows, vectors);
    } else {
      for (const std::uint32_t row : rows) live.erase(row);
      index.remove(rows);
    }
    ASSERT_EQ(index.size(), live.size());
    const auto query = random_vector(random);
    const std::size_t k = random() % 2 == 0 ? 10 : 1000;
    RowSet some(300 + random() % 200);
    for (std::uint32_t row = 0; row < some.rows(); row += 3) some.insert(row);
    const RowSet* allow = random() % 3 == 0 ? &some : nullptr;
    const auto got = index.search(query, k, allow);
    const auto expected = nearest(live, query, k, allow);
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].row, expected[i].row);
      ASSERT_NEAR(got[i].score, expected[i].score, 1e-4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Items, LiveIndexOver, testing::Values(0, 1, 60, 300));

TEST(LiveIndex, LeavesReplacedVectorsOutOfAnApproximateMain) {
  std::mt19937 random(5);
  Items live;
  for (std::uint32_t row = 0; row < 500; ++row) live[row] = random_vector(random);
  IndexOptions options;
  options.exact_items_max = 0;
  options.probes = 1000;  // every list
  LiveIndex index(build(live, options), kWidth);
  EXPECT_EQ(index.kind(), "ivf-sq8");
  const std::vector<float> query(kWidth, 1), far(kWidth, -5), near(kWidth, 5);
  const std::uint32_t best = index.search(query, 1)[0].row;
  index.put(std::vector{best}, far);
  EXPECT_NE(index.search(query, 1)[0].row, best);
  EXPECT_EQ(index.search(query, 500).back().row, best);
  EXPECT_EQ(index.search(query, 500).size(), 500U);
  index.put(std::vector{best}, near);
  EXPECT_EQ(index.search(query, 1)[0].row, best);
  index.remove(std::vector{best});
  EXPECT_EQ(index.search(query, 600).size(), 499U);
}

TEST(LiveIndex, SearchesExactlyBesideAnApproximateMainWhenAsked) {
  std::mt19937 random(6);
  Items live;
  for (std::uint32_t row = 0; row < 500; ++row) live[row] = random_vector(random);
  const Items main = live;
  IndexOptions options;
  options.exact_items_max = 0;
  options.probes = 1;
  LiveIndex index(build(main, options), kWidth,
                  [&](const RowSet& rows, std::span<const float> query, std::size_t k) {
                    return nearest(main, {query.begin(), query.end()}, k, &rows);
                  });
  for (std::uint32_t row = 0; row < 600; row += 7) {
    live[row] = random_vector(random);
    index.put(std::vector{row}, live[row]);
  }
  for (std::uint32_t row = 0; row < 600; row += 11) {
    live.erase(row);
    index.remove(std::vector{row});
  }
  RowSet some(400);
  for (std::uint32_t row = 0; row < some.rows(); row += 2) some.insert(row);
  bool missed = false;
  for (int i = 0; i < 20; ++i) {
    const auto query = random_vector(random);
    for (const RowSet* allow :
         {static_cast<const RowSet*>(nullptr), static_cast<const RowSet*>(&some)}) {
      const auto expected = nearest(live, query, 50, allow);
      const auto got = index.search_exact(query, 50, allow);
      ASSERT_EQ(got.size(), expected.size());
      for (std::size_t n = 0; n < got.size(); ++n) {
        ASSERT_EQ(got[n].row, expected[n].row);
        ASSERT_NEAR(got[n].score, expected[n].score, 1e-4);
      }
      const auto approximate = index.search(query, 50, allow);
      missed = missed || approximate.size() < 50 || approximate[49].row != expected[49].row;
    }
  }
  EXPECT_TRUE(missed) << "main reads everything";
}

TEST(LiveIndex, RefusesSizesThatDoNotFit) {
  const std::vector<std::uint32_t> rows = {1};
  LiveIndex index(nullptr, kWidth);
  EXPECT_EQ(index.kind(), "exact");
  EXPECT_THROW(index.put(rows, std::vector<float>(kWidth + 1)), std::invalid_argument);
  EXPECT_THROW(index.put(rows, {}), std::invalid_argument);
  EXPECT_THROW(LiveIndex(build({{1, std::vector<float>(kWidth)}}), kWidth + 1),
               std::invalid_argument);
  index.put({}, {});
  index.remove({});
  index.remove(rows);
  EXPECT_EQ(index.size(), 0U);
  EXPECT_TRUE(index.search(std::vector<float>(kWidth), 5).empty());
}

// Two writers own the even and the odd fresh rows. A put writes all rows of its writer with one new
// value, so a search that saw half of a put would find two values among the rows of one writer.
TEST(LiveIndex, ShowsEverySearchAWholeStateWhileOthersWrite) {
  constexpr std::uint32_t kMain = 50, kFresh = 20;
  Items main;
  for (std::uint32_t row = 0; row < kMain; ++row) main[row] = std::vector<float>(kWidth, -1);
  LiveIndex index(build(main), kWidth);
  std::atomic<int> searches_left = 600;
  const std::vector<float> query(kWidth, 1.0F / kWidth);
  std::vector<std::jthread> threads;
  for (std::uint32_t writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      std::vector<std::uint32_t> rows;
      for (std::uint32_t row = writer; row < kFresh; row += 2) rows.push_back(row);
      for (int round = 1; searches_left > 0; ++round) {
        index.put(rows, std::vector<float>(rows.size() * kWidth, static_cast<float>(round)));
        if (round % 10 == 0) index.remove(rows);
      }
      index.remove(rows);
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (searches_left-- > 0) {
        const auto found = index.search(query, 1000);
        EXPECT_GE(found.size(), kMain - kFresh);
        std::set<std::uint32_t> rows;
        std::array<std::set<float>, 2> values;
        for (const Neighbour& n : found) {
          EXPECT_TRUE(rows.insert(n.row).second) << "row " << n.row << " twice";
          if (n.row < kFresh && n.score > 0) values[n.row % 2].insert(n.score);
        }
        EXPECT_LE(values[0].size(), 1U);
        EXPECT_LE(values[1].size(), 1U);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(index.size(), kMain - kFresh);
}

}  // namespace
}  // namespace fovea::index
