// Claim: texts become features without regard to case and accents, and vectors in which related
// texts are near.
#include "ranking/text_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "ranking/random.h"
#include "ranking/randomised_svd.h"

namespace fovea::ranking {
namespace {

using testing::Each;
using testing::UnorderedElementsAre;

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> result;
  for (const std::string& feature : text_features(text)) {
    if (feature.starts_with("w:")) result.push_back(feature.substr(2));
  }
  return result;
}

TEST(TextFeatures, AreWordsAndTheirNgramsWithBoundaries) {
  EXPECT_THAT(text_features("cat a"),
              UnorderedElementsAre("w:cat", "c:<ca", "c:cat", "c:at>", "c:<cat", "c:cat>",
                                   "c:<cat>", "w:a", "c:<a>"));
}

TEST(TextFeatures, FoldCaseAccentsAndWidth) {
  EXPECT_THAT(words("ÉCOLE école e\u0301cole"), testing::ElementsAre("ecole", "ecole", "ecole"));
  EXPECT_THAT(words("Straße ﬁne Ｆｕｌｌ"), testing::ElementsAre("strasse", "fine", "full"));
  EXPECT_THAT(words("İstanbul Ёж"), testing::ElementsAre("istanbul", "еж"));
}

TEST(TextFeatures, KeepLettersAndDigitsOfAnyScript) {
  EXPECT_THAT(words("R2-D2, «наука» 東京! \t१२"),
              testing::ElementsAre("r2", "d2", "наука", "東京", "१२"));
  EXPECT_TRUE(text_features("").empty());
  EXPECT_TRUE(text_features(" .,;-— \u0301").empty());
}

TEST(TextFeatures, EndAWordAtInvalidUtf8) {
  EXPECT_THAT(words("ab\xFFgh\xC3"), testing::ElementsAre("ab", "gh"));
  EXPECT_THAT(words("ab\xE2\x82 gh \xED\xA0\x80z"), testing::ElementsAre("ab", "gh", "z"));
  std::string bytes;
  Random random(1);
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(random.next());
  EXPECT_NO_THROW(text_features(bytes));
}

TEST(TextFeatures, AreThoseOfTheFirst64KiB) {
  std::string text;
  while (text.size() < (64 << 10)) text += "ab ";
  const auto all = text_features(text);
  EXPECT_EQ(text_features(text + " more words").size(), all.size());
}

// Texts on a few topics, each with words of its own and words that all share.
struct Topics {
  std::vector<std::string> texts;
  std::vector<std::size_t> topic;
  std::vector<std::string_view> views() const { return {texts.begin(), texts.end()}; }
};

Topics topics(std::size_t n, std::uint64_t seed) {
  static const std::vector<std::vector<std::string>> kWords = {
      {"galaxy", "rocket", "orbit", "planet", "comet", "telescope"},
      {"butter", "flour", "oven", "recipe", "sugar", "dough"},
      {"guitar", "melody", "chorus", "rhythm", "concert", "violin"}};
  Random random(seed);
  Topics result;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t topic = random.below(kWords.size());
    std::string text = "the story of ";
    for (int w = 0; w < 3; ++w) text += kWords[topic][random.below(6)] + " and ";
    result.texts.push_back(text);
    result.topic.push_back(topic);
  }
  return result;
}

std::vector<float> encode(const TextEncoder& encoder, std::string_view text) {
  std::vector<float> vector(encoder.width(), -1);
  encoder.encode(text, vector);
  return vector;
}

float dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0F);
}

TEST(TextEncoder, PutsTextsOfATopicTogetherAlsoWithoutACommonWord) {
  const Topics data = topics(300, 1);
  TextEncoder::Options options;
  options.width = 4;
  const TextEncoder encoder = TextEncoder::fit(data.views(), options);
  EXPECT_GT(dot(encode(encoder, "galaxy rocket"), encode(encoder, "planet telescope")), 0.8F);
  EXPECT_LT(dot(encode(encoder, "galaxy rocket"), encode(encoder, "butter flour")), 0.4F);
  EXPECT_GT(dot(encode(encoder, "GALÁXY"), encode(encoder, "galaxy")), 0.999F);
  EXPECT_GT(dot(encode(encoder, "telescopes"), encode(encoder, "planet")), 0.7F)
      << "by its n-grams";
}

TEST(TextEncoder, GivesUnitVectorsOrZeros) {
  const Topics data = topics(100, 2);
  const TextEncoder encoder = TextEncoder::fit(data.views(), {});
  EXPECT_EQ(encoder.width(), 128U);
  std::vector<float> vector(128);
  for (const std::string& text : data.texts) {
    EXPECT_TRUE(encoder.encode(text, vector));
    EXPECT_NEAR(dot(vector, vector), 1, 1e-5);
  }
  for (const std::string_view unknown : {"", "...", "zzz", "\xFF"}) {
    EXPECT_FALSE(encoder.encode(unknown, vector)) << unknown;
    EXPECT_THAT(vector, Each(0.0F));
  }
}

TEST(TextEncoder, KeepsItsWidthHoweverFewTheTexts) {
  const std::vector<std::vector<std::string_view>> catalogues = {
      {}, {""}, {"one text"}, {"same", "same", "same"}, {"one text", "another one"}};
  for (const auto& texts : catalogues) {
    const TextEncoder encoder = TextEncoder::fit(texts, {});
    EXPECT_EQ(encoder.width(), 128U);
    std::vector<float> vector(128, -1);
    for (const std::string_view text : texts) {
      EXPECT_EQ(encoder.encode(text, vector), !text.empty());
    }
    EXPECT_THAT(std::span(vector).subspan(2),
                Each(testing::FloatNear(texts.empty() ? -1 : 0, 1e-6)));
  }
}

TEST(TextEncoder, DoesNotDependOnThreads) {
  const Topics data = topics(400, 3);
  TextEncoder::Options options;
  options.width = 16;
  Weights one, four;
  TextEncoder::fit(data.views(), options).save(one);
  options.threads = 4;
  TextEncoder::fit(data.views(), options).save(four);
  EXPECT_TRUE(std::ranges::equal(one.floats("text_encoder.projection"),
                                 four.floats("text_encoder.projection")));
  EXPECT_EQ(one.bytes("text_encoder.features"), four.bytes("text_encoder.features"));
}

TEST(TextEncoder, KeepsTheFeaturesOfMostTexts) {
  const Topics data = topics(500, 4);
  TextEncoder::Options options;
  options.features_max = 3;
  Weights weights;
  TextEncoder::fit(data.views(), options).save(weights);
  EXPECT_EQ(weights.bytes("text_encoder.features"), std::string_view("w:and\nw:of\nw:story\n"))
      << "of features in equally many texts, words come first, then in order";
}

TEST(TextEncoder, FitsOnASampleOfMoreTextsThanItMay) {
  Topics data = topics(500, 4);
  for (const std::size_t i : {100, 300}) data.texts[i] += " zebra";
  TextEncoder::Options options;
  options.width = 4;
  const auto knows_zebra = [&] {
    Weights weights;
    TextEncoder::fit(data.views(), options).save(weights);
    return weights.bytes("text_encoder.features").find("w:zebra\n") != std::string_view::npos;
  };
  EXPECT_TRUE(knows_zebra());
  options.fit_texts_max = 20;
  EXPECT_FALSE(knows_zebra());
}

TEST(TextEncoder, ComesBackFromWeights) {
  const Topics data = topics(100, 5);
  TextEncoder::Options options;
  options.width = 8;
  const TextEncoder encoder = TextEncoder::fit(data.views(), options);
  Weights weights;
  encoder.save(weights);
  const TextEncoder back = TextEncoder::load(weights);
  EXPECT_EQ(back.width(), 8U);
  for (const std::string& text : data.texts) EXPECT_EQ(encode(back, text), encode(encoder, text));

  Weights empty;
  TextEncoder::fit({}, options).save(empty);
  EXPECT_EQ(TextEncoder::load(empty).width(), 8U);
}

TEST(TextEncoder, IsRefusedWhereItsArraysDisagree) {
  const auto with = [](std::string features, std::size_t n) {
    Weights weights;
    weights.put_bytes("text_encoder.features", std::move(features));
    weights.put("text_encoder.idf", {n}, std::vector<float>(n, 1));
    weights.put("text_encoder.projection", {n, 1}, std::vector<float>(n, 1));
    return weights;
  };
  EXPECT_NO_THROW(TextEncoder::load(with("w:a\nc:<a>\n", 2)));
  EXPECT_THROW(TextEncoder::load(with("w:a\nc:<a>\n", 3)), WeightsError);
  EXPECT_THROW(TextEncoder::load(with("w:a\nw:a\n", 2)), WeightsError);
  EXPECT_THROW(TextEncoder::load(with("c:<a>\nw:a\n", 2)), WeightsError);
  EXPECT_THROW(TextEncoder::load(Weights()), WeightsError);
}

TEST(RandomisedSvd, FindsTheSingularVectorsOfAMatrixThatHasThem) {
  // 60 x 40 with singular values 8, 4, 2: sum of sigma_i u_i v_i^T over orthonormal u and v.
  constexpr std::size_t kRows = 60, kColumns = 40;
  const auto basis = [](std::size_t n, std::size_t i) {  // cosines: orthonormal for distinct i
    std::vector<double> v(n);
    for (std::size_t k = 0; k < n; ++k) {
      v[k] = std::sqrt(2.0 / static_cast<double>(n)) *
             std::cos(std::numbers::pi * (static_cast<double>(k) + 0.5) *
                      static_cast<double>(i + 1) / static_cast<double>(n));
    }
    return v;
  };
  const std::vector<double> sigma = {8, 4, 2};
  SparseMatrix matrix;
  matrix.columns = kColumns;
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::uint32_t c = 0; c < kColumns; ++c) {
      double value = 0;
      for (std::size_t i = 0; i < 3; ++i)
        value += sigma[i] * basis(kRows, i)[r] * basis(kColumns, i)[c];
      matrix.entries.push_back({c, static_cast<float>(value)});
    }
    matrix.offsets.push_back(matrix.entries.size());
  }
  const std::vector<float> v = right_singular_vectors(matrix, 5, 1, 2);
  for (std::size_t i = 0; i < 5; ++i) {
    double along = 0, squares = 0;
    for (std::size_t c = 0; c < kColumns; ++c) {
      squares += v[c * 5 + i] * v[c * 5 + i];
      if (i < 3) along += v[c * 5 + i] * basis(kColumns, i)[c];
    }
    EXPECT_NEAR(squares, i < 3 ? 1 : 0, 1e-4);
    EXPECT_NEAR(std::abs(along), i < 3 ? 1 : 0, 1e-4);
  }
}

}  // namespace
}  // namespace fovea::ranking
