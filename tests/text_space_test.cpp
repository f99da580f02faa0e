// Claim: items' texts and given embeddings become centred unit vectors, and white ones, of one
// space.
#include "ranking/text_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "ranking/random.h"

namespace fovea::ranking {
namespace {

using testing::Each;

float dot(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0F);
}

// Embeddings that share a strong direction and differ in channels of very different variance; the
// last two channels are always equal, so one direction is empty.
std::vector<float> embeddings(std::size_t n, std::size_t width) {
  Random random(3);
  std::vector<float> values(n * width);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < width; ++k) {
      values[i * width + k] = 2 + random.normal() / static_cast<float>(1 + k);
    }
    values[i * width + width - 1] = values[i * width + width - 2];
  }
  return values;
}

std::vector<TextSource> sources_of(const std::vector<float>& values, std::size_t width) {
  std::vector<TextSource> sources;
  for (std::size_t at = 0; at < values.size(); at += width) {
    sources.push_back({"", std::span(values).subspan(at, width)});
  }
  return sources;
}

TEST(TextSpace, CentresEmbeddingsThatShareADirection) {
  constexpr std::size_t kWidth = 6;
  const auto values = embeddings(500, kWidth);
  const auto sources = sources_of(values, kWidth);
  const TextSpace space = TextSpace::fit(sources, {.width = kWidth});
  std::vector<float> all(values.size()), sum(kWidth);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const auto out = std::span(all).subspan(i * kWidth, kWidth);
    ASSERT_TRUE(space.encode(sources[i], out));
    EXPECT_NEAR(dot(out, out), 1, 1e-5);
    for (std::size_t k = 0; k < kWidth; ++k) sum[k] += out[k] / 500;
  }
  EXPECT_LT(std::sqrt(dot(sum, sum)), 0.1F) << "raw, the mean's length is above .8";
}

TEST(TextSpace, WhitensToUncorrelatedChannelsOfEqualVariance) {
  constexpr std::size_t kWidth = 6;
  const auto values = embeddings(500, kWidth);
  const auto sources = sources_of(values, kWidth);
  const TextSpace space = TextSpace::fit(sources, {.width = kWidth});
  const std::size_t z = space.whitened_width();
  EXPECT_EQ(z, kWidth - 1) << "the direction without variance is dropped";
  std::vector<float> all(values.size()), white(500 * z);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    space.encode(sources[i], std::span(all).subspan(i * kWidth, kWidth));
  }
  space.whiten(all, white);
  for (std::size_t a = 0; a < z; ++a) {
    double mean = 0;
    for (std::size_t i = 0; i < 500; ++i) mean += white[i * z + a] / 500;
    EXPECT_NEAR(mean, 0, 1e-4);
    for (std::size_t b = 0; b < z; ++b) {
      double covariance = 0;
      for (std::size_t i = 0; i < 500; ++i) covariance += white[i * z + a] * white[i * z + b] / 500;
      EXPECT_NEAR(covariance, a == b ? 1.0 / static_cast<double>(z) : 0, 1e-3);
    }
  }
  EXPECT_EQ(TextSpace::fit(sources, {.width = kWidth, .whitened_max = 2}).whitened_width(), 2U);
}

TEST(TextSpace, LeavesWhatHasNoVectorAtZeroAndOutOfTheFit) {
  constexpr std::size_t kWidth = 4;
  auto values = embeddings(50, kWidth);
  auto sources = sources_of(values, kWidth);
  const TextSpace alone = TextSpace::fit(sources, {.width = kWidth});
  const std::vector<float> zeros(kWidth);
  for (int i = 0; i < 200; ++i) sources.push_back({"", {}});
  sources.push_back({"", zeros});
  const TextSpace space = TextSpace::fit(sources, {.width = kWidth});
  std::vector<float> a(kWidth), b(kWidth), white(space.whitened_width(), 1);
  for (int i = 0; i < 50; ++i) {
    alone.encode(sources[i], a);
    space.encode(sources[i], b);
    EXPECT_EQ(a, b);
  }
  EXPECT_FALSE(space.encode({"", {}}, a));
  EXPECT_THAT(a, Each(0.0F));
  EXPECT_FALSE(space.encode({"", zeros}, a));
  EXPECT_FALSE(space.encode({"no text was ever seen", {}}, a));
  space.whiten(zeros, white);
  EXPECT_THAT(white, Each(0.0F));
}

TEST(TextSpace, WithoutItemsKnowsNothing) {
  const TextSpace space = TextSpace::fit({}, {});
  EXPECT_EQ(space.width(), 128U);
  EXPECT_EQ(space.whitened_width(), 0U);
  std::vector<float> vector(128, 1);
  EXPECT_FALSE(space.encode({"anything", {}}, vector));
  EXPECT_THAT(vector, Each(0.0F));
  space.whiten(vector, {});
}

TEST(TextSpace, OfOneItemStillFindsIt) {
  const std::vector<TextSource> one = {{"a single blue book", {}}};
  const TextSpace space = TextSpace::fit(one, {});
  std::vector<float> item(128), query(128);
  EXPECT_TRUE(space.encode(one[0], item));
  EXPECT_TRUE(space.encode({"blue", {}}, query));
  EXPECT_GT(dot(item, query), 0.5F);
}

TEST(TextSpace, PrefersAnEmbeddingToTheText) {
  const auto values = embeddings(40, 4);
  auto sources = sources_of(values, 4);
  for (auto& source : sources) source.text = "the same text for all";
  const TextSpace space = TextSpace::fit(sources, {.width = 4});
  std::vector<float> first(4), second(4);
  EXPECT_TRUE(space.encode(sources[0], first));
  EXPECT_TRUE(space.encode(sources[1], second));
  EXPECT_NE(first, second);
}

TEST(TextSpace, TakesEmbeddingsOfAnyFiniteLengthButOneWidth) {
  constexpr float kHuge = std::numeric_limits<float>::max();
  const std::vector<float> large = {kHuge, -kHuge}, small = {1e-38F, 1e-38F}, narrow = {1};
  const std::vector<TextSource> sources = {{"", large}, {"", small}};
  const TextSpace space = TextSpace::fit(sources, {.width = 2});
  std::vector<float> vector(2);
  for (const TextSource& source : sources) {
    EXPECT_TRUE(space.encode(source, vector));
    EXPECT_NEAR(dot(vector, vector), 1, 1e-5);
  }
  EXPECT_THROW(space.encode({"", narrow}, vector), std::invalid_argument);
  EXPECT_THROW(TextSpace::fit(std::vector<TextSource>{{"", narrow}}, {.width = 2}),
               std::invalid_argument);
}

TEST(TextSpace, DoesNotDependOnThreadsAndComesBackFromWeights) {
  Random random(9);
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (int w = 0; w < 6; ++w) text += "word" + std::to_string(random.below(40)) + ' ';
    texts.push_back(text);
  }
  std::vector<TextSource> sources;
  for (const std::string& text : texts) sources.push_back({text, {}});
  const TextSpace space = TextSpace::fit(sources, {.width = 16, .threads = 1});
  const TextSpace threaded = TextSpace::fit(sources, {.width = 16, .threads = 4});
  Weights weights;
  space.save(weights);
  const TextSpace back = TextSpace::load(weights);
  ASSERT_EQ(back.whitened_width(), space.whitened_width());
  std::vector<float> a(16), b(16), c(16), white_a(space.whitened_width()), white_b(white_a),
      white_c(white_a);
  for (const TextSource& source : sources) {
    space.encode(source, a);
    threaded.encode(source, b);
    back.encode(source, c);
    EXPECT_EQ(a, b);
    EXPECT_EQ(a, c);
    space.whiten(a, white_a);
    threaded.whiten(b, white_b);
    back.whiten(c, white_c);
    EXPECT_EQ(white_a, white_b);
    EXPECT_EQ(white_a, white_c);
  }
  weights.put("text.mean", {3}, {0, 0, 0});
  EXPECT_THROW(TextSpace::load(weights), WeightsError);
}

}  // namespace
}  // namespace fovea::ranking
