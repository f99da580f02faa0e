// Claim: fresh vectors answer as a map does through random puts and removals, and every copy goes
// on answering as it did when it was made, also to threads that read it while the next ones are
// made.
#include "index/fresh_vectors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace fovea::index {
namespace {

constexpr std::size_t kWidth = 3;
using Expected = std::map<std::uint32_t, float>;  // the first float; the others follow from it

std::vector<float> vector_of(float first) { return {first, first + 1, -first}; }

void expect_same(const FreshVectors& fresh, const Expected& expected, std::uint32_t rows_end) {
  ASSERT_EQ(fresh.size(), expected.size());
  Expected seen;
  fresh.for_each([&](std::uint32_t row, const float* vector) {
    EXPECT_TRUE(seen.emplace(row, vector[0]).second) << "row " << row << " twice";
    EXPECT_THAT(std::vector<float>(vector, vector + kWidth), vector_of(vector[0]));
  });
  ASSERT_EQ(seen, expected);
  for (std::uint32_t row = 0; row < rows_end; row += 97) {
    const float* found = fresh.find(row);
    const auto right = expected.find(row);
    ASSERT_EQ(found != nullptr, right != expected.end());
    if (found != nullptr) {
      ASSERT_EQ(found[0], right->second);
    }
  }
}

TEST(FreshVectors, AgreeWithAMapAndKeepWhatACopyHad) {
  constexpr std::uint32_t kRows = 20'000;  // over several pages
  std::mt19937 random(1);
  FreshVectors fresh(kWidth);
  Expected expected;
  std::vector<std::pair<FreshVectors, Expected>> copies;
  for (int step = 0; step < 600; ++step) {
    std::vector<std::uint32_t> rows;
    for (std::size_t n = random() % 20; n > 0; --n) {
      // Some again and again, so that replaced vectors pile up and are packed.
      rows.push_back(random() % 2 == 0 ? random() % 50 : random() % kRows);
    }
    auto next = fresh;
    if (random() % 4 == 0) {
      for (const auto row : rows) expected.erase(row);
      next.remove(rows);
    } else {
      std::vector<float> values;
      for (const auto row : rows) {
        expected[row] = static_cast<float>(random() % 1'000);
        const auto vector = vector_of(expected[row]);
        values.insert(values.end(), vector.begin(), vector.end());
      }
      next.put(rows, values);
    }
    fresh = next;
    if (step % 50 == 0) copies.emplace_back(fresh, expected);
    if (step % 10 == 0) expect_same(fresh, expected, kRows);
  }
  for (const auto& [copy, then] : copies) expect_same(copy, then, kRows);
  EXPECT_LE(fresh.rows_end(), kRows);
  EXPECT_EQ(fresh.find(4'000'000'000U), nullptr);
}

TEST(FreshVectors, ARowGivenTwiceHasTheLast) {
  FreshVectors fresh(1);
  fresh.put(std::vector<std::uint32_t>{5, 5, 5}, std::vector<float>{1, 2, 3});
  EXPECT_EQ(fresh.size(), 1U);
  EXPECT_EQ(fresh.find(5)[0], 3);
  fresh.remove(std::vector<std::uint32_t>{5, 5, 6});
  EXPECT_EQ(fresh.size(), 0U);
  EXPECT_EQ(fresh.find(5), nullptr);
  EXPECT_EQ(fresh.rows_end(), 6U);
}

// All rows are put with one value each time, so a reader that saw half of a put would find two.
TEST(FreshVectors, AreReadWhileTheNextOnesAreMade) {
  std::mutex mutex;
  auto state = std::make_shared<const FreshVectors>(1);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    const std::vector<std::uint32_t> rows = {1, 5'000, 100};
    for (float value = 0; !stop; ++value) {
      auto next = std::make_shared<FreshVectors>(*state);
      next->put(rows, std::vector<float>(3, value));
      const std::lock_guard lock(mutex);
      state = std::move(next);
    }
  });
  for (int i = 0; i < 3'000; ++i) {
    std::shared_ptr<const FreshVectors> now;
    {
      const std::lock_guard lock(mutex);
      now = state;
    }
    std::set<float> values;
    now->for_each([&](std::uint32_t, const float* vector) { values.insert(*vector); });
    ASSERT_LE(values.size(), 1U);
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace fovea::index
