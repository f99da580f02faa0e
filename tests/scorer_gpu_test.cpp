// The fused scorer on a GPU agrees with the CPU. Fresh random inputs in every run; FOVEA_TEST_SEED
// repeats one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <random>
#include <string>

#include "tests/scorer_case.h"

namespace fovea::ranking {
namespace {

std::uint64_t test_seed() {
  static const std::uint64_t kSeed = [] {
    const char* given = std::getenv("FOVEA_TEST_SEED");
    const std::uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device{}();
    std::cout << "FOVEA_TEST_SEED=" << seed << "\n";
    return seed;
  }();
  return kSeed;
}

RankerShape shape_of(std::size_t width, std::size_t heads, std::size_t text, std::size_t hidden) {
  return {.width = width, .heads = heads, .actions = 4, .hidden = hidden, .text_width = text};
}

class ScorerOnTheGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto reason = scorer_unavailable()) GTEST_SKIP() << "no GPU: " << *reason;
    made_.weights = {};
  }

  void expect_agreement(const ScorerCase& made) {
    const auto expected = expected_scores(made);
    const auto batch = made.batch();
    {
      Scorer scorer(made.weights, made.relations(), made.catalogue(), made.items + 3,
                    ScorerPrecision::kFloat32);
      std::vector<float> scores(expected.size(), NAN);
      scorer.score(batch, scores);
      for (std::size_t i = 0; i < scores.size(); ++i) {
        ASSERT_NEAR(scores[i], expected[i], 1e-4 * std::max(1.0F, std::fabs(expected[i]))) << i;
      }
    }
    Scorer scorer(made.weights, made.relations(), made.catalogue(), made.items,
                  ScorerPrecision::kBfloat16);
    std::vector<float> scores(expected.size(), NAN);
    scorer.score(batch, scores);
    std::vector<float> again(expected.size(), NAN);
    scorer.score(batch, again);
    EXPECT_EQ(scores, again) << "two runs differ";
    const Bfloat16Cost cost = bfloat16_cost(made, scores, expected);
    EXPECT_LE(cost.error, kBfloat16Error);
    EXPECT_GE(cost.kept, kBfloat16Kept);
  }

  ScorerCase made_;
};

TEST_F(ScorerOnTheGpu, AgreesForEveryLengthOfHistoryAndList) {
  made_ = scorer_case(shape_of(64, 2, 128, 64), 3000, 100, test_seed());
  std::uint64_t seed = test_seed();
  for (const std::size_t l : {0, 1, 2, 31, 32, 33, 50, 128, 511, 512}) {
    for (const std::size_t n : {0, 1, 127, 2000}) add_request(made_, l, l % 2 * 50, n, ++seed);
  }
  expect_agreement(made_);
}

TEST_F(ScorerOnTheGpu, AgreesForEveryWidth) {
  struct Widths {
    std::size_t width, heads, text, hidden;
  };
  for (const Widths& w :
       {Widths{32, 4, 0, 16}, Widths{40, 5, 7, 33}, Widths{64, 1, 128, 64}, Widths{64, 8, 128, 64},
        Widths{96, 3, 100, 65}, Widths{128, 2, 128, 256}, Widths{256, 4, 128, 300},
        Widths{384, 6, 384, 128}, Widths{384, 8, 64, 512}}) {
    SCOPED_TRACE(w.width);
    made_ = scorer_case(shape_of(w.width, w.heads, w.text, w.hidden), 1000, 60, test_seed());
    for (const std::size_t l : {1, 40, 130}) add_request(made_, l, 10, 200, test_seed() + l);
    expect_agreement(made_);
  }
}

TEST_F(ScorerOnTheGpu, TheBestAreTheSortedScores) {
  made_ = scorer_case(shape_of(64, 2, 128, 64), 3000, 100, test_seed());
  for (const std::size_t n : {0, 1, 9, 500, 1024, 2000}) {
    add_request(made_, 50, 0, n, test_seed() + n);
  }
  made_.requests[3].candidates[17] = 0xFFFFFFFF;  // nothing found there
  Scorer scorer(made_.weights, made_.relations(), made_.catalogue(), made_.items,
                ScorerPrecision::kBfloat16);
  const auto batch = made_.batch();
  std::vector<float> scores(made_.candidates(), NAN);
  scorer.score(batch, scores);
  for (const std::size_t n : {1UL, 10UL, 1024UL}) {
    const auto best = scorer.best(batch, n);
    std::size_t first = 0;
    for (std::size_t u = 0; u < batch.size(); ++u) {
      const auto& candidates = made_.requests[u].candidates;
      std::vector<std::uint32_t> order;
      for (std::uint32_t c = 0; c < candidates.size(); ++c) {
        if (candidates[c] < made_.items) order.push_back(c);
      }
      std::ranges::stable_sort(
          order, [&](auto a, auto b) { return scores[first + a] > scores[first + b]; });
      ASSERT_EQ(best[u].size(), std::min(n, order.size()));
      for (std::size_t i = 0; i < best[u].size(); ++i) {
        EXPECT_EQ(best[u][i].candidate, order[i]);
        EXPECT_EQ(best[u][i].row, candidates[order[i]]);
        EXPECT_EQ(best[u][i].score, scores[first + order[i]]);
      }
      first += candidates.size();
    }
  }
}

TEST_F(ScorerOnTheGpu, ItemsAndTransitionsThatComeLaterAreSeen) {
  const ScorerCase late = scorer_case(shape_of(64, 2, 24, 64), 400, 40, test_seed());
  made_ = late;
  add_request(made_, 30, 10, 300, test_seed() + 1);
  const auto expected = expected_scores(made_);
  // Made with the first hundred items and nothing since; the rest follows.
  const std::span vectors(late.vectors);
  const std::span texts(late.texts);
  const std::span popularity(late.log_popularity);
  const Transitions none;
  const ItemRelations relations{late.transitions, late.ease, &none};
  Scorer scorer(late.weights, relations,
                {vectors.first(100 * 64), texts.first(100 * 24), popularity.first(100)}, 400,
                ScorerPrecision::kFloat32);
  std::vector<float> scores(expected.size(), NAN);
  scorer.score(made_.batch(), scores);
  scorer.put(100, {vectors.subspan(100 * 64), texts.subspan(100 * 24), popularity.subspan(100)});
  scorer.put_since(&late.since);
  scorer.score(made_.batch(), scores);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    ASSERT_NEAR(scores[i], expected[i], 1e-4 * std::max(1.0F, std::fabs(expected[i]))) << i;
  }
}

TEST_F(ScorerOnTheGpu, BatchesOfManyShapesFollowEachOther) {
  made_ = scorer_case(shape_of(64, 2, 24, 64), 2000, 40, test_seed());
  Scorer scorer(made_.weights, made_.relations(), made_.catalogue(), made_.items,
                ScorerPrecision::kFloat32);
  Random random(test_seed());
  for (int round = 0; round < 30; ++round) {
    made_.requests.clear();
    const std::size_t users = 1 + random.below(20);
    for (std::size_t u = 0; u < users; ++u) {
      add_request(made_, random.below(60), random.below(20), random.below(300), random.next());
    }
    const auto expected = expected_scores(made_);
    std::vector<float> scores(expected.size(), NAN);
    scorer.score(made_.batch(), scores);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      ASSERT_NEAR(scores[i], expected[i], 1e-4 * std::max(1.0F, std::fabs(expected[i])))
          << "round " << round << ", candidate " << i;
    }
  }
}

TEST(ScorerWithoutAGpu, SaysWhy) {
  const auto reason = scorer_unavailable();
  if (!reason) GTEST_SKIP() << "there is a GPU";
  EXPECT_FALSE(reason->empty());
  const ScorerCase made = scorer_case(shape_of(32, 2, 8, 16), 10, 2, 1);
  EXPECT_THROW(Scorer(made.weights, made.relations(), made.catalogue(), made.items,
                      ScorerPrecision::kBfloat16),
               ScorerError);
}

}  // namespace
}  // namespace fovea::ranking
