// Claim: a tuning of search finds the settings that a log of queries was planted for, on queries
// that did not choose them, and recommends nothing where judgements are chance.
#include "engine/search_tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/tune_search.h"
#include "ranking/random.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class SearchTuningTest : public testing::Test {
 protected:
  SearchTuningTest() : engine_(shop_.open()) { shop_.stock(*engine_); }

  void serve(Version version) {
    shop_.publish(std::move(version));
    ASSERT_TRUE(engine_->reload());
  }

  /// Parts that came after the version was trained, so that words alone find them, by a number that
  /// each has of its own; others with a commoner number are less of a match, and violins, which
  /// vectors find, least.
  std::vector<JudgedQuery> queries_for_words(std::size_t n) {
    std::vector<Item> items;
    const auto put = [&](const std::string& id, const std::string& text) {
      Item& item = items.emplace_back();
      item.item_id = id;
      item.text = text;
    };
    for (int i = 0; i < 20; ++i) put("common-" + std::to_string(i), "8877 8877 8877");
    std::vector<JudgedQuery> queries;
    for (std::size_t i = 0; i < n; ++i) {
      const std::string number = "qx" + std::to_string(9000 + i);
      put("part-" + number, number + " bracket");
      queries.push_back({number, "violin 8877 " + number, {{items.back().item_id, 1}}});
    }
    engine_->put_items(items);
    return queries;
  }

  /// For each query any item of the shop.
  std::vector<JudgedQuery> queries_by_chance(std::size_t n) {
    ranking::Random random(5);
    const auto any = [&](std::size_t below) {
      return static_cast<std::size_t>(random.below(below));
    };
    std::vector<JudgedQuery> queries;
    for (std::size_t i = 0; i < n; ++i) {
      const Item asked = Shop::item(any(Shop::kKinds), any(Shop::kItemsPerKind));
      const std::string text = asked.text->substr(asked.text->find(' ') + 1);
      const std::string judged = Shop::id(any(Shop::kKinds), any(Shop::kItemsPerKind));
      queries.push_back({std::to_string(i), text, {{judged, 1}}});
    }
    return queries;
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(SearchTuningTest, FindsTheRatioThatWasPlanted) {
  serve(shop_.text_version(engine_->db()));
  const auto queries = queries_for_words(40);
  const auto tuning = tune_search(engine_->snapshot(), queries, {});
  EXPECT_EQ(tuning.queries, 40U);
  EXPECT_FALSE(tuning.ranked);
  EXPECT_GT(tuning.best.weights.words, tuning.best.weights.vectors) << "equal is what serves now";
  EXPECT_NEAR(tuning.best.weights.words + tuning.best.weights.vectors, 2, 1e-9);
  EXPECT_GT(tuning.ndcg_held_out, tuning.ndcg_now);
  EXPECT_NEAR(tuning.ndcg_best, 1, 1e-9);
  EXPECT_TRUE(tuning.recommended());
  const std::string told = api::report(tuning);
  EXPECT_THAT(told, AllOf(HasSubstr("--words-weight "), HasSubstr("words_weight = ")));
  EXPECT_THAT(told, Not(HasSubstr("query_attention"))) << "which nobody's list has been asked for";
  EXPECT_EQ(api::to_json(tuning).at("recommended"), true);

  // What it recommends serves as it said.
  Snapshot snapshot = engine_->snapshot();
  snapshot.fusion = tuning.best.weights;
  EXPECT_NEAR(evaluate_search(snapshot, queries, {}).mean.fused.ndcg_10, tuning.ndcg_best, 1e-9);
}

TEST_F(SearchTuningTest, RecommendsNothingByChance) {
  serve(shop_.learned_version(engine_->db()));
  auto queries = queries_by_chance(100);
  EXPECT_FALSE(tune_search(engine_->snapshot(), queries, {}).recommended());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    queries[i].user_id = "user-" + std::to_string(i % Shop::kUsers);
  }
  const auto tuning = tune_search(engine_->snapshot(), queries, {});
  EXPECT_TRUE(tuning.ranked);
  EXPECT_GE(tuning.ndcg_best, tuning.ndcg_now) << "chance flatters what it chose";
  EXPECT_FALSE(tuning.recommended());
  EXPECT_THAT(api::report(tuning), HasSubstr("Nothing is to be changed"));
}

// From one search and one score a query, what the whole way measures for each of the two settings.
TEST_F(SearchTuningTest, MeasuresWhatServingMeasures) {
  serve(shop_.learned_version(engine_->db()));
  auto queries = queries_by_chance(30);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (i % 3 != 0) queries[i].user_id = "user-" + std::to_string(i % Shop::kUsers);
    if (i % 3 == 2) queries[i].time_ms = shop_.now_ms - 300'000;
  }
  queries.push_back({"in quotes", "\"winged scales\" cave", {{Shop::id(0, 3), 2}}, "user-0"});
  queries.push_back({"nothing known", "zzz", {{Shop::id(0, 3), 1}}, "user-0"});
  queries.push_back({"unjudged", "violin", {}, "user-0"});
  for (const std::size_t retrieve : {10UL, 500UL}) {
    Snapshot snapshot = engine_->snapshot();
    snapshot.retrieve = retrieve;
    snapshot.query_attention = 3;
    const auto tuning = tune_search(snapshot, queries, {});
    EXPECT_EQ(tuning.unjudged, 1U);
    EXPECT_NEAR(tuning.ndcg_now, evaluate_search(snapshot, queries, {}).mean.ranked.ndcg_10, 1e-9);
    EXPECT_EQ(tuning.now.query_attention, 3);
    snapshot.fusion = tuning.best.weights;
    snapshot.query_attention = tuning.best.query_attention;
    EXPECT_NEAR(tuning.ndcg_best, evaluate_search(snapshot, queries, {}).mean.ranked.ndcg_10, 1e-9);
  }
}

TEST_F(SearchTuningTest, TooFewQueriesAreRefused) {
  serve(shop_.text_version(engine_->db()));
  try {
    tune_search(engine_->snapshot(), queries_for_words(24), {});
    FAIL();
  } catch (const InvalidRequest& invalid) {
    EXPECT_THAT(invalid.what(), AllOf(HasSubstr("24 queries"), HasSubstr("at least 25")));
  }
}

}  // namespace
}  // namespace fovea::engine
