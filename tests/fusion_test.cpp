// Claim: two lists become one by each score's share of its list's best, and what has the query as
// typed comes first.
#include "engine/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <vector>

namespace fovea::engine {
namespace {

using index::Neighbour;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::uint32_t> rows(const std::vector<Relevant>& list) {
  std::vector<std::uint32_t> result;
  for (const auto& one : list) result.push_back(one.row);
  return result;
}

constexpr FusionWeights kEqual{.words = 1, .vectors = 1};
const std::vector<Neighbour> kWords = {{1, 16}, {2, 8}, {3, 4}};
const std::vector<Neighbour> kVectors = {{3, 1}, {2, 0.5F}, {4, 0.25F}, {5, -0.5F}};

TEST(Fusion, AddsSharesOfTheBestScores) {
  const auto fused = fuse(kWords, kVectors, {}, kEqual, 10);
  ASSERT_THAT(rows(fused), ElementsAre(3, 1, 2, 4, 5));
  EXPECT_DOUBLE_EQ(fused[0].relevance.sum(), 0.25 + 1);
  EXPECT_DOUBLE_EQ(fused[1].relevance.sum(), 1);
  EXPECT_DOUBLE_EQ(fused[2].relevance.sum(), 0.5 + 0.5);
  EXPECT_DOUBLE_EQ(fused[3].relevance.sum(), 0.25);
  EXPECT_DOUBLE_EQ(fused[4].relevance.sum(), 0) << "a score below 0 takes nothing away";
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, kEqual, 2)), ElementsAre(3, 1));
  EXPECT_THAT(fuse({}, {}, {}, kEqual, 2), IsEmpty());
}

TEST(Fusion, HowFarAListGoesChangesNoShare) {
  const auto part = fuse(std::span(kWords).first(2), kVectors, {}, kEqual, 10);
  EXPECT_DOUBLE_EQ(part[1].relevance.sum(), 1);
  EXPECT_DOUBLE_EQ(part[2].relevance.sum(), 1);
  // One word that one text has is as good as words get.
  EXPECT_DOUBLE_EQ(fuse(std::span(kWords).last(1), {}, {}, kEqual, 10)[0].relevance.words, 1);
}

TEST(Fusion, EqualScoresAreEqualInWhateverOrderTheyCome) {
  const std::vector<Neighbour> one = {{1, .9F}, {2, .8F}, {3, .8F}, {4, .7F}};
  const std::vector<Neighbour> other = {{1, .9F}, {3, .8000001F}, {2, .8F}, {4, .7F}};
  const auto fused = fuse({}, one, {}, kEqual, 10);
  EXPECT_EQ(fused[1].relevance.vectors, fused[2].relevance.vectors);
  EXPECT_EQ(rows(fused), rows(fuse({}, other, {}, kEqual, 10)));
}

TEST(Fusion, WeighsAsItIsTold) {
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, {.words = 1, .vectors = 0}, 10)),
              ElementsAre(1, 2, 3));
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, {.words = 0, .vectors = 1}, 10)),
              ElementsAre(3, 2, 4, 5));
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, {.words = 100, .vectors = 1}, 10)),
              ElementsAre(1, 2, 3, 4, 5));
}

TEST(Fusion, SaysWhichSearchSaysMore) {
  const auto fused = fuse(kWords, kVectors, {}, kEqual, 10);
  EXPECT_EQ(fused[0].relevance.source(), "vectors");
  EXPECT_EQ(fused[1].relevance.source(), "words");
  EXPECT_EQ(fused[2].relevance.source(), "words") << "a draw";
}

TEST(Fusion, TheQueryAsTypedComesFirst) {
  const std::vector<std::uint32_t> exact = {1};
  // Whatever the weights are; here 1 is nothing to vectors, and 3 first there.
  for (const double weight : {0.1, 1.0, 10.0}) {
    const auto fused = fuse(kWords, kVectors, exact, {.words = 1, .vectors = weight}, 10);
    EXPECT_EQ(fused[0].row, 1U) << weight;
    EXPECT_EQ(fused[0].relevance.source(), "words");
  }
}

}  // namespace
}  // namespace fovea::engine
