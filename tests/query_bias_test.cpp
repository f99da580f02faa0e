// Claim: a query moves attention between behaviours by what it has to do with each, and bends an
// order to those it is about; where it says nothing, nothing changes by a bit.
#include "ranking/query_bias.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "ranking/encoder.h"
#include "ranking/model.h"
#include "ranking/ranker.h"
#include "tests/scorer_case.h"

namespace fovea::ranking {
namespace {

double counted(const std::vector<float>& bias) {
  return std::accumulate(bias.begin(), bias.end(), 0.0,
                         [](double sum, float one) { return sum + std::exp(one); });
}

TEST(QueryBias, SaysHowManyBehavioursOneCountsAs) {
  const std::vector<float> query = {1, 0};
  const std::vector<float> texts = {1, 0, 0.6F, 0.8F, 0, 1, -1, 0};  // cosines 1, .6, 0, -1
  const auto bias = query_bias(query, texts, 3);
  ASSERT_EQ(bias.size(), 4U);
  EXPECT_NEAR(counted(bias), 4, 1e-5) << "together they count as they are many";
  EXPECT_NEAR(bias[0] - bias[1], 3 * 0.4, 1e-6);
  EXPECT_NEAR(bias[0] - bias[3], 3 * 2, 1e-6);
  EXPECT_GT(bias[0], 0);
  EXPECT_LT(bias[3], 0);
  // However strong: no more than all of them, and finite.
  const auto strong = query_bias(query, texts, 1000);
  EXPECT_NEAR(counted(strong), 4, 1e-4);
  EXPECT_NEAR(std::exp(strong[0]), 4, 1e-4);
}

TEST(QueryBias, IsNothingWhereItSaysNothing) {
  const std::vector<float> query = {0.6F, 0.8F};
  const std::vector<float> texts = {1, 0, 0, 1};
  EXPECT_TRUE(query_bias({}, texts, 2).empty());
  EXPECT_TRUE(query_bias(query, {}, 2).empty());
  EXPECT_TRUE(query_bias(query, texts, 0).empty());
  // A query that is as near to all behaviours.
  for (const float one : query_bias(query, std::vector<float>{0, 1, 0, 1, 0, 1}, 8)) {
    EXPECT_NEAR(one, 0, 1e-6);
  }
}

/// Half of the behaviours are of texts like a, half of texts like b; so are the candidates.
struct TwoTastes {
  static constexpr std::size_t kWidth = 16, kText = 2, kEach = 5;

  explicit TwoTastes(double of_a) {
    for (std::size_t i = 0; i < 2 * kEach; ++i) {
      const bool a = i % 2 == 0;
      behaviours.push_back({static_cast<std::uint32_t>(i), 0, 0, static_cast<std::int64_t>(i)});
      for (auto* list : {&texts, &candidate_texts}) {
        list->push_back(a ? 1.0F : 0.0F);
        list->push_back(a ? 0.0F : 1.0F);
      }
      rows.push_back(static_cast<std::uint32_t>(100 + i));
    }
    vectors.resize(behaviours.size() * kWidth);
    popularity.assign(rows.size(), 1);
    query = {static_cast<float>(of_a), static_cast<float>(std::sqrt(1 - of_a * of_a))};
  }

  Scores scores(float weight) const {
    auto encoder = std::make_shared<EncoderWeights>(
        EncoderWeights::random({.width = kWidth, .items = 1, .whitened_width = 1}, 1));
    auto ranker = std::make_shared<RankerWeights>(RankerWeights::initial(
        {.width = kWidth, .heads = 2, .actions = 1, .hidden = 8, .text_width = kText}, 1));
    for (std::size_t h = 0; h < 2; ++h) ranker->linear[kScalarFeatures + h] = 1;
    for (float& x : ranker->feature_scale.values()) x = 1;
    const Model model(encoder, ranker, Transitions(ItemPairs()), ItemPairs());
    const auto bias = query_bias(query, texts, weight);
    return model.score(Context{}, std::vector<float>(kWidth),
                       {behaviours, vectors, texts, {}, bias},
                       {rows, vectors, candidate_texts, popularity}, 0, true);
  }

  std::vector<Behaviour> behaviours;
  std::vector<std::uint32_t> rows;
  std::vector<float> texts, candidate_texts, vectors, popularity, query;
};

/// The share of attention that goes to the behaviours like a, and how much more candidates like a
/// score.
std::pair<double, double> leaning(const Scores& scores) {
  const std::size_t n = scores.total.size();
  double all = 0;
  double to_a = 0;
  double margin = 0;
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t j = 0; j < n; ++j) {
      all += scores.attention[c * n + j];
      if (j % 2 == 0) to_a += scores.attention[c * n + j];
    }
    margin += c % 2 == 0 ? scores.total[c] : -scores.total[c];
  }
  return {to_a / all, margin};
}

TEST(QueryBias, BendsTheOrderOfAUserOfTwoTastesToTheOneThatIsSearchedFor) {
  const TwoTastes searched_a(0.95);
  const TwoTastes searched_b(0.2);
  const auto [plain_attention, plain_margin] = leaning(searched_a.scores(0));
  const auto [a_attention, a_margin] = leaning(searched_a.scores(4));
  const auto [b_attention, b_margin] = leaning(searched_b.scores(4));
  EXPECT_GT(a_attention, plain_attention + 0.05);
  EXPECT_LT(b_attention, plain_attention - 0.05);
  EXPECT_GT(a_margin, plain_margin + 0.5);
  EXPECT_LT(b_margin, plain_margin - 0.5);
  // The order: all of the taste that was searched for first, whichever it was.
  const auto of_a = searched_a.scores(4).total;
  const auto of_b = searched_b.scores(4).total;
  for (std::size_t c = 0; c + 1 < of_a.size(); c += 2) {
    EXPECT_GT(of_a[c], of_a[c + 1]);
    EXPECT_LT(of_b[c], of_b[c + 1]);
  }
}

TEST(QueryBias, OfWeightZeroChangesNoBit) {
  const TwoTastes user(0.95);
  const Scores with = user.scores(0);
  TwoTastes without = user;
  without.query.clear();
  const Scores plain = without.scores(4);
  EXPECT_EQ(with.total, plain.total);
  EXPECT_EQ(with.attention, plain.attention);
}

TEST(QueryBias, TheModelCutsItAsItCutsTheBehaviours) {
  Random random(3);
  ScorerCase made =
      scorer_case({.width = 16, .heads = 2, .actions = 2, .hidden = 8, .text_width = 4}, 60, 10, 3);
  add_request(made, 12, 0, 20, 4);
  const auto& request = made.requests[0];
  auto encoder = std::make_shared<EncoderWeights>(EncoderWeights::random(
      {.width = 16, .behaviours_max = 5, .items = 60, .whitened_width = 4, .actions = 2}, 1));
  const Model model(encoder, std::make_shared<RankerWeights>(made.weights), made.transitions,
                    made.ease);
  const auto of = [](std::span<const float> values, std::size_t width, const auto& rows) {
    std::vector<float> gathered;
    for (const std::uint32_t row : rows) {
      const auto part = values.subspan(row * width, width);
      gathered.insert(gathered.end(), part.begin(), part.end());
    }
    return gathered;
  };
  std::vector<std::uint32_t> read;
  for (const auto& behaviour : request.behaviours) read.push_back(behaviour.row);
  const auto vectors = of(made.vectors, 16, read);
  const auto texts = of(made.texts, 4, read);
  const auto bias = random_values(random, 12, 1);
  const auto candidate_vectors = of(made.vectors, 16, request.candidates);
  const auto candidate_texts = of(made.texts, 4, request.candidates);
  const std::vector<float> popularity(request.candidates.size(), 1);
  const auto scores_of_newest = [&](std::size_t n) {
    const std::size_t skipped = 12 - n;
    return model
        .score(Context{}, request.state,
               {std::span(request.behaviours).subspan(skipped),
                std::span(vectors).subspan(skipped * 16),
                std::span(texts).subspan(skipped * 4),
                {},
                std::span(bias).subspan(skipped)},
               {request.candidates, candidate_vectors, candidate_texts, popularity}, 0, false)
        .total;
  };
  EXPECT_EQ(scores_of_newest(12), scores_of_newest(5));
}

}  // namespace
}  // namespace fovea::ranking
