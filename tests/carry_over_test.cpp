// Claim: a ranker carried over computes on the new vectors the products it learned on the old ones.
#include "ranking/carry_over.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/ops_arrays.h"

namespace fovea::ranking {
namespace {

constexpr std::size_t kWidth = 8;
constexpr std::size_t kItems = 40;

std::vector<float> product(const float* matrix, const float* vector) {
  std::vector<float> result(kWidth);
  for (std::size_t r = 0; r < kWidth; ++r) {
    for (std::size_t c = 0; c < kWidth; ++c) result[r] += matrix[r * kWidth + c] * vector[c];
  }
  return result;
}

RankerWeights random_ranker() { return RankerWeights::initial({.width = kWidth, .heads = 2}, 5); }

TEST(CarryOver, KeepsProductsWhereTheVectorsWereTurned) {
  const auto to = draw(kItems * kWidth, 1);
  const auto turn = draw(kWidth * kWidth, 2);
  std::vector<float> from;
  for (std::size_t i = 0; i < kItems; ++i) {
    const auto turned = product(turn.data(), to.data() + i * kWidth);
    from.insert(from.end(), turned.begin(), turned.end());
  }
  std::vector<float> log_popularity(kItems, 1);
  // An item nobody acted on says nothing of the map.
  log_popularity[7] = 0;
  for (std::size_t c = 0; c < kWidth; ++c) from[7 * kWidth + c] = 100;

  const RankerWeights before = random_ranker();
  RankerWeights after = before;
  carry_over(from, to, log_popularity, after);
  for (std::size_t i = 0; i < kItems; ++i) {
    if (i == 7) continue;
    const auto wanted = product(before.query.data(), from.data() + i * kWidth);
    const auto got = product(after.query.data(), to.data() + i * kWidth);
    const auto wanted_key = product(before.key.data(), from.data() + i * kWidth);
    const auto got_key = product(after.key.data(), to.data() + i * kWidth);
    for (std::size_t c = 0; c < kWidth; ++c) {
      EXPECT_NEAR(got[c], wanted[c], 0.05) << "item " << i;
      EXPECT_NEAR(got_key[c], wanted_key[c], 0.05) << "item " << i;
    }
  }
}

TEST(CarryOver, LeavesLittleWhereTheVectorsHaveNothingInCommon) {
  constexpr std::size_t kMany = 4000;
  const auto from = draw(kMany * kWidth, 3);
  const auto to = draw(kMany * kWidth, 4);
  RankerWeights ranker = random_ranker();
  double before = 0;
  for (const float x : ranker.query.values()) before += std::fabs(x);
  carry_over(from, to, std::vector<float>(kMany, 1), ranker);
  double after = 0;
  for (const float x : ranker.query.values()) after += std::fabs(x);
  EXPECT_GT(before, 0);
  EXPECT_LT(after, before / 10);
}

TEST(CarryOver, WithoutItemsChangesNothing) {
  RankerWeights ranker = random_ranker();
  const Tensor query = ranker.query;
  carry_over({}, {}, {}, ranker);
  EXPECT_TRUE(std::ranges::equal(ranker.query.values(), query.values()));
}

}  // namespace
}  // namespace fovea::ranking
