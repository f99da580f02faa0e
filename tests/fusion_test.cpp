// Claim: two lists become one by reciprocal rank, and what has the query as typed comes first.
#include "engine/fusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
// Places count, scores do not.
const std::vector<Neighbour> kWords = {{1, 90}, {2, 1}, {3, 0.5F}};
const std::vector<Neighbour> kVectors = {{3, 0.9F}, {2, 0.8F}, {4, 0.7F}};

TEST(Fusion, IsReciprocalRank) {
  const auto fused = fuse(kWords, kVectors, {}, kEqual, 10);
  // 3: 61/63 + 61/61, 2: 61/62 + 61/62, 1: 61/61, 4: 61/63.
  ASSERT_THAT(rows(fused), ElementsAre(3, 2, 1, 4));
  EXPECT_DOUBLE_EQ(fused[0].relevance.sum(), 61.0 / 63 + 1);
  EXPECT_DOUBLE_EQ(fused[1].relevance.sum(), 2 * 61.0 / 62);
  EXPECT_DOUBLE_EQ(fused[2].relevance.sum(), 1);
  EXPECT_DOUBLE_EQ(fused[3].relevance.sum(), 61.0 / 63);
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, kEqual, 2)), ElementsAre(3, 2));
  EXPECT_THAT(fuse({}, {}, {}, kEqual, 2), IsEmpty());
}

TEST(Fusion, EqualScoresShareAPlaceInWhateverOrderTheyCome) {
  const std::vector<Neighbour> one = {{1, .9F}, {2, .8F}, {3, .8F}, {4, .7F}};
  const std::vector<Neighbour> other = {{1, .9F}, {3, .8000001F}, {2, .8F}, {4, .7F}};
  const auto fused = fuse({}, one, {}, kEqual, 10);
  EXPECT_EQ(fused[1].relevance.vectors, fused[2].relevance.vectors);
  EXPECT_DOUBLE_EQ(fused[3].relevance.vectors, 61.0 / 64) << "two before it share the second place";
  EXPECT_EQ(rows(fused), rows(fuse({}, other, {}, kEqual, 10)));
}

TEST(Fusion, WeighsAsItIsTold) {
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, {.words = 1, .vectors = 0}, 10)),
              ElementsAre(1, 2, 3));
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, {.words = 0, .vectors = 1}, 10)),
              ElementsAre(3, 2, 4));
  EXPECT_THAT(rows(fuse(kWords, kVectors, {}, {.words = 100, .vectors = 1}, 10)),
              ElementsAre(1, 2, 3, 4));
}

TEST(Fusion, SaysWhichSearchSaysMore) {
  const auto fused = fuse(kWords, kVectors, {}, kEqual, 10);
  EXPECT_EQ(fused[0].relevance.source(), "vectors");
  EXPECT_EQ(fused[1].relevance.source(), "words") << "a draw";
  EXPECT_EQ(fused[2].relevance.source(), "words");
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
