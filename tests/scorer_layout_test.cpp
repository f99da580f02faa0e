// The fused scorer's arithmetic, piece by piece: work lists, fragments, shared memory, tables,
// sorts.
#include "ranking/scorer_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "ranking/scorer_pack.h"
#include "ranking/scorer_tile.h"
#include "tests/scorer_host.h"

namespace fovea::ranking::scorer {
namespace {

constexpr std::size_t kSharedOfAnH200 = 227 * 1024;

TEST(ScorerLayout, RunsCoverAllWorkOnceAndAreEven) {
  for (const std::uint32_t work : {0U, 1U, 131U, 132U, 133U, 512U, 100'003U}) {
    for (const std::uint32_t blocks : {1U, 2U, 132U, 200U}) {
      std::uint32_t next = 0;
      for (std::uint32_t block = 0; block < blocks; ++block) {
        const TileRun run = run_of(work, block, blocks);
        EXPECT_EQ(run.begin, next);
        EXPECT_LE(run.end - run.begin, work / blocks + 1);
        next = run.end;
      }
      EXPECT_EQ(next, work);
    }
  }
}

TEST(ScorerLayout, LanesOfABlockHoldEachPairOfATileOnce) {
  for (const unsigned heads : {2U, 4U, 8U}) {
    std::multiset<std::pair<unsigned, unsigned>> pairs;
    for (unsigned warp = 0; warp < kWarps; ++warp) {
      for (unsigned lane = 0; lane < 32; ++lane) {
        for (unsigned r = 0; r < kLaneRows; ++r) {
          for (unsigned c = 0; c < 2 * column_blocks(heads); ++c) {
            pairs.emplace(warp_candidate(warp) + lane_row(lane, r),
                          warp_column(heads, warp) + pass_column(lane, c));
          }
        }
      }
    }
    ASSERT_EQ(pairs.size(), kTile * pass_columns(heads));
    for (unsigned i = 0; i < kTile; ++i) {
      for (unsigned j = 0; j < pass_columns(heads); ++j) ASSERT_EQ(pairs.count({i, j}), 1U);
    }
  }
}

TEST(ScorerLayout, EachCandidateIsFinishedByOneLane) {
  std::set<unsigned> rows;
  for (unsigned warp = 0; warp < kWarps / 2; ++warp) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      rows.insert(warp_candidate(warp) + lane_row(lane, lane % 4));
    }
  }
  EXPECT_EQ(rows.size(), kTile);
  EXPECT_EQ(*rows.rbegin(), kTile - 1);
}

// mma.sync.m16n8k16 as its definition says, on the registers of 32 lanes: A's pairs (row g or g +
// 8, columns 2t or 2t + 8), B's pairs (column g), with g = lane / 4 and t = lane % 4.
struct Registers {
  std::array<std::array<float, 2>, 4> a{};
  std::array<std::array<float, 2>, 2> b{};
  std::array<float, 4> c{};
};
void matrix_unit(std::array<Registers, 32>& lanes) {
  float a[16][16], b[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned g = lane / 4;
    const unsigned t = lane % 4;
    for (unsigned e = 0; e < 2; ++e) {
      a[g][2 * t + e] = lanes[lane].a[0][e];
      a[g + 8][2 * t + e] = lanes[lane].a[1][e];
      a[g][2 * t + 8 + e] = lanes[lane].a[2][e];
      a[g + 8][2 * t + 8 + e] = lanes[lane].a[3][e];
      b[2 * t + e][g] = lanes[lane].b[0][e];
      b[2 * t + 8 + e][g] = lanes[lane].b[1][e];
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4 + 8 * (i / 2);
      const unsigned column = 2 * (lane % 4) + i % 2;
      for (unsigned k = 0; k < 16; ++k) lanes[lane].c[i] += a[row][k] * b[k][column];
    }
  }
}

using Row = std::vector<float>;

// One call of multiply_add() in scorer_tile.cuh: 16 bytes of two rows and of one column a lane.
void multiply_add(std::array<Registers, 32>& lanes, const std::vector<Row>& a,
                  const std::vector<Row>& b, unsigned first) {
  for (unsigned s = 0; s < 2; ++s) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned p = 0; p < 2; ++p) {
        for (unsigned e = 0; e < 2; ++e) {
          const unsigned channel = first + step_channel(lane, s, p, e);
          lanes[lane].a[2 * p][e] = a[lane / 4][channel];
          lanes[lane].a[2 * p + 1][e] = a[lane / 4 + 8][channel];
          lanes[lane].b[p][e] = b[lane / 4][channel];
        }
      }
    }
    matrix_unit(lanes);
  }
}

std::vector<Row> random_rows(Random& random, std::size_t n, std::size_t width) {
  std::vector<Row> rows(n);
  for (Row& row : rows) row = random_values(random, width, 1);
  return rows;
}

TEST(ScorerLayout, SixteenBytesALaneGiveTheProductOfRows) {
  Random random(7);
  const auto a = random_rows(random, 16, 64);
  const auto b = random_rows(random, 8, 64);
  std::array<Registers, 32> lanes{};
  for (unsigned d = 0; d < 64; d += kChannels) multiply_add(lanes, a, b, d);
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 4; ++i) {
      double expected = 0;
      for (unsigned d = 0; d < 64; ++d) {
        expected += static_cast<double>(a[lane_row(lane, i / 2)][d]) * b[lane_column(lane, i)][d];
      }
      EXPECT_NEAR(lanes[lane].c[i], expected, 1e-4);
    }
  }
}

TEST(ScorerLayout, ResultsOfTheFirstLayerAreFactorsOfTheSecondWhereTheyAre) {
  Random random(8);
  const auto features = random_rows(random, 16, kFeaturesMax);
  const auto weights1 = random_rows(random, 32, kFeaturesMax);
  const auto weights2 = random_rows(random, 8, 32);  // by unit
  std::array<std::array<Registers, 32>, 4> hidden{};
  for (unsigned q = 0; q < 4; ++q) {
    multiply_add(hidden[q], features, {weights1.begin() + 8 * q, weights1.begin() + 8 * (q + 1)},
                 0);
  }
  // As the kernel packs them: step s has blocks 2s and 2s + 1.
  std::array<Registers, 32> result{};
  for (unsigned s = 0; s < 2; ++s) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned p = 0; p < 2; ++p) {
        for (unsigned e = 0; e < 2; ++e) {
          result[lane].a[2 * p][e] = hidden[2 * s + p][lane].c[e];
          result[lane].a[2 * p + 1][e] = hidden[2 * s + p][lane].c[2 + e];
          const unsigned place = step_channel(lane, s, p, e);
          result[lane].b[p][e] = weights2[lane / 4][hidden_unit(place)];
        }
      }
    }
    matrix_unit(result);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 4; ++i) {
      double expected = 0;
      for (unsigned unit = 0; unit < 32; ++unit) {
        double value = 0;
        for (unsigned f = 0; f < kFeaturesMax; ++f) {
          value += static_cast<double>(features[lane_row(lane, i / 2)][f]) * weights1[unit][f];
        }
        expected += value * weights2[lane_column(lane, i)][unit];
      }
      EXPECT_NEAR(result[lane].c[i], expected, 1e-3);
    }
  }
}

TEST(ScorerLayout, SharedMemoryIsWithinTheLimitAndItsRowsOnDifferentBanks) {
  for (const std::size_t width : {32UL, 64UL, 128UL, 256UL, 384UL}) {
    for (const std::size_t heads : {1UL, 2UL, 4UL, 6UL, 8UL}) {
      for (const std::size_t text : {0UL, 24UL, 128UL, 384UL}) {
        for (const std::size_t size : {2UL, 4UL}) {
          const BankShape shape = bank_shape(width, heads, text);
          const SharedPlan plan = shared_plan(shape, size, kSharedOfAnH200);
          EXPECT_LE(plan.bytes, kSharedOfAnH200);
          EXPECT_EQ(plan.staged, plan.columns > 0);
          EXPECT_EQ(plan.columns % pass_columns(shape.heads), 0U);
          EXPECT_GE(plan.behaviours, kMlpBytes);
          EXPECT_GE(plan.behaviours, std::size_t{kTile} * sums_floats(shape.heads) * 4);
          EXPECT_TRUE(!plan.staged || plan.behaviours >= kTile * plan.candidate_stride);
          for (const std::size_t at : {plan.behaviours, plan.features, plan.linear, plan.state,
                                       plan.candidate_stride, plan.behaviour_stride}) {
            EXPECT_EQ(at % 16, 0U);
          }
          for (const std::size_t stride :
               {plan.candidate_stride, plan.behaviour_stride, plan.feature_stride,
                2 * kHidden1Stride, 2 * kHidden2Stride}) {
            EXPECT_EQ(stride % 128, 64U);
          }
        }
      }
    }
  }
  // The shape it is tuned for keeps all of 128 behaviours; the default one too.
  EXPECT_GE(shared_plan(bank_shape(128, 2, 128), 2, kSharedOfAnH200).columns, 128U);
  EXPECT_GE(shared_plan(bank_shape(64, 2, 128), 2, kSharedOfAnH200).columns, 128U);
  // The widest is read where it lies.
  EXPECT_FALSE(shared_plan(bank_shape(384, 8, 128), 4, kSharedOfAnH200).staged);
}

TEST(ScorerLayout, TheSumsOnTheirWayAreAsLargeAsPlanned) {
  EXPECT_EQ(sizeof(Sums<2>), sums_floats(2) * sizeof(float));
  EXPECT_EQ(sizeof(Sums<8>), sums_floats(8) * sizeof(float));
}

TEST(ScorerLayout, BucketsAreFewAndLittleLargerThanAsked) {
  EXPECT_EQ(bucket(0), 0U);
  std::set<std::size_t> buckets;
  for (std::size_t bytes = 1; bytes < 20'000'000; bytes += 1 + bytes / 50) {
    const std::size_t rounded = bucket(bytes);
    ASSERT_GE(rounded, bytes);
    ASSERT_LE(rounded, bytes + std::max<std::size_t>(4096, bytes / 4));
    ASSERT_GE(rounded, bucket(bytes - 1));
    buckets.insert(rounded);
  }
  EXPECT_LT(buckets.size(), 70U);
}

TEST(ScorerTop, KeepsWhatASortWould) {
  Random random(3);
  for (const std::size_t n : {1UL, 2UL, 1023UL, 1024UL, 1025UL, 2000UL, 5000UL}) {
    std::vector<float> scores(n);
    for (float& x : scores) {
      x = static_cast<float>(random.below(700)) - 350;  // many ties
      if (random.below(50) == 0) x = -std::numeric_limits<float>::infinity();
      if (random.below(50) == 0) x = std::numeric_limits<float>::quiet_NaN();
    }
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < n; ++i) {
      if (scores[i] > -std::numeric_limits<float>::infinity()) order.push_back(i);
    }
    std::ranges::stable_sort(order, [&](auto a, auto b) { return scores[a] > scores[b]; });
    const auto keys = host_best(scores, kTopMax);
    for (std::size_t i = 0; i < kTopMax; ++i) {
      if (i >= order.size()) {
        ASSERT_EQ(keys[i], kNoKey);
        continue;
      }
      ASSERT_EQ(candidate_of(keys[i]), order[i]);
      ASSERT_EQ(score_of(keys[i]), scores[order[i]]);
    }
  }
}

TEST(ScorerPairs, ATableFindsEveryCandidateAndNoOther) {
  Random random(4);
  for (const std::uint32_t range : {100U, 5'000U, 4'000'000'000U}) {
    std::vector<std::uint32_t> rows(kTableSlots, kNoRow);
    std::vector<std::uint16_t> places(kTableSlots);
    std::vector<std::uint32_t> candidates;
    for (std::uint32_t c = 0; c < kTableCandidates; ++c) {
      candidates.push_back(static_cast<std::uint32_t>(random.below(range)));
      std::uint32_t slot = slot_of(candidates[c]);
      while (rows[slot] != kNoRow) slot = next_slot(slot);
      rows[slot] = candidates[c];
      places[slot] = static_cast<std::uint16_t>(c);
    }
    for (std::uint32_t i = 0; i < 2000; ++i) {
      const std::uint32_t row =
          i % 2 == 0 ? candidates[i] : static_cast<std::uint32_t>(random.below(range));
      std::multiset<std::uint32_t> found;
      find(rows.data(), places.data(), row, [&](std::uint32_t c) { found.insert(c); });
      std::multiset<std::uint32_t> expected;
      for (std::uint32_t c = 0; c < kTableCandidates; ++c) {
        if (candidates[c] == row) expected.insert(c);
      }
      ASSERT_EQ(found, expected);
    }
  }
}

TEST(ScorerPairs, SumsOfEarlierBehavioursAreExactEnough) {
  for (const float value : {0.0F, 1e-6F, -0.37F, 12.5F, -4000.0F}) {
    EXPECT_NEAR(from_fixed(3 * to_fixed(value)), 3.0 * value, 1e-9 + 1e-6 * std::fabs(value));
  }
}

TEST(ScorerPack, RoundsToTheNearestBfloat16) {
  Random random(5);
  for (int i = 0; i < 10'000; ++i) {
    const float value = random.normal() * std::exp2(static_cast<float>(random.below(60)) - 30);
    const float rounded = from_bfloat16(to_bfloat16(value));
    EXPECT_LE(std::fabs(rounded - value), std::fabs(value) / 256);
    EXPECT_EQ(to_bfloat16(rounded), to_bfloat16(value));
  }
  EXPECT_EQ(from_bfloat16(to_bfloat16(1 + 1.0F / 256)), 1.0F);              // a tie, to even
  EXPECT_EQ(from_bfloat16(to_bfloat16(1 + 3.0F / 256)), 1.0F + 1.0F / 64);  // a tie, to even
  EXPECT_TRUE(std::isnan(from_bfloat16(to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isinf(from_bfloat16(to_bfloat16(std::numeric_limits<float>::infinity()))));
}

}  // namespace
}  // namespace fovea::ranking::scorer
