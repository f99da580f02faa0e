// Claim: ranking metrics are what their definitions say, worked out by hand.
#include "ranking/metrics.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace fovea::ranking {
namespace {

constexpr std::array<std::uint32_t, 12> kTop = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

TEST(Metrics, AreZeroWithoutUsers) {
  const Metrics metrics = MetricsCollector().metrics(10);
  EXPECT_EQ(metrics.users, 0U);
  EXPECT_EQ(metrics.ndcg_10, 0);
  EXPECT_EQ(metrics.coverage_10, 0);
}

TEST(Metrics, OfFourUsersAreTheMeansWorkedOutByHand) {
  MetricsCollector collector;
  collector.add(0, kTop);             // first: every gain is 1
  collector.add(2, kTop);             // third: 1 / log2(4) = .5, 1 / 3
  collector.add(6, kTop);             // seventh: 1 / log2(8) = 1/3 within ten only, 1 / 7
  collector.add(std::nullopt, kTop);  // not ranked
  const Metrics metrics = collector.metrics(40);
  EXPECT_EQ(metrics.users, 4U);
  EXPECT_DOUBLE_EQ(metrics.hr_5, 2.0 / 4);
  EXPECT_DOUBLE_EQ(metrics.hr_10, 3.0 / 4);
  EXPECT_DOUBLE_EQ(metrics.ndcg_5, 1.5 / 4);
  EXPECT_DOUBLE_EQ(metrics.ndcg_10, (1.5 + 1.0 / 3) / 4);
  EXPECT_DOUBLE_EQ(metrics.mrr, (1 + 1.0 / 3 + 1.0 / 7) / 4);
  EXPECT_DOUBLE_EQ(metrics.coverage_10, 10.0 / 40) << "the eleventh and twelfth are not shown";
}

TEST(Metrics, CutAtTheirRank) {
  MetricsCollector collector;
  collector.add(5, {});
  collector.add(10, {});
  const Metrics metrics = collector.metrics(1);
  EXPECT_EQ(metrics.hr_5, 0);
  EXPECT_DOUBLE_EQ(metrics.hr_10, 0.5);
  EXPECT_DOUBLE_EQ(metrics.mrr, (1.0 / 6 + 1.0 / 11) / 2) << "the reciprocal rank is not cut";
}

TEST(Metrics, CoverageCountsAnItemOnceWhoeverSawIt) {
  MetricsCollector collector;
  collector.add(0, std::array<std::uint32_t, 2>{1, 2});
  collector.add(0, std::array<std::uint32_t, 2>{2, 3});
  EXPECT_DOUBLE_EQ(collector.metrics(6).coverage_10, 0.5);
}

}  // namespace
}  // namespace fovea::ranking
