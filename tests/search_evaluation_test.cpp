// Claim: a search is measured as the judgements say, on a collection where it is known what words
// and what vectors find; and files that are neither queries nor judgements are refused by name and
// line.
#include "engine/search_evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "api/judged_queries.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(SearchMetrics, AreThoseOfTheDefinition) {
  const std::vector<std::string> found = {"other", "good", "bad", "best"};
  const std::map<std::string, double> grades = {{"best", 3}, {"good", 1}, {"bad", 0}, {"gone", 2}};
  const SearchMetrics metrics = search_metrics(found, grades);
  const double ideal = 3 + 2 / std::log2(3.0) + 1 / std::log2(4.0);
  EXPECT_NEAR(metrics.ndcg_10, (1 / std::log2(3.0) + 3 / std::log2(5.0)) / ideal, 1e-12);
  EXPECT_NEAR(metrics.recall_100, 2.0 / 3, 1e-12);
  EXPECT_NEAR(metrics.mrr, 0.5, 1e-12);
  EXPECT_EQ(search_metrics({}, grades).mrr, 0);

  std::vector<std::string> late(100, "other");
  late[10] = "good";  // the eleventh
  late.emplace_back("best");
  const SearchMetrics beyond = search_metrics(late, grades);
  EXPECT_EQ(beyond.ndcg_10, 0);
  EXPECT_NEAR(beyond.recall_100, 1.0 / 3, 1e-12);
  EXPECT_NEAR(beyond.mrr, 1.0 / 11, 1e-12);
}

// A word that no version has learned is found by words alone; a word that stands in no text, but
// has most of its letters from one that does, by vectors alone.
TEST(SearchEvaluation, MeasuresWordsVectorsAndBoth) {
  Shop shop;
  const auto engine = shop.open();
  shop.stock(*engine);
  shop.publish(shop.text_version(engine->db()));
  ASSERT_TRUE(engine->reload());
  Item code;
  code.item_id = "code";
  code.text = "qx99174";
  engine->put_items(std::vector{code});

  const std::vector<JudgedQuery> queries = {
      {"by words", "QX99174 ", {{"code", 1}}},
      {"by both", *Shop::item(3, 7).text, {{Shop::id(3, 7), 2}}},
      {"nothing relevant", "violin", {{"code", 0}}},
  };
  const SearchEvaluation evaluation = evaluate_search(engine->snapshot(), queries, {});
  EXPECT_EQ(evaluation.unjudged, 1U);
  ASSERT_EQ(evaluation.queries.size(), 2U);
  EXPECT_EQ(evaluation.queries[0].query_id, "by words");
  EXPECT_EQ(evaluation.queries[0].stages.words.mrr, 1);
  EXPECT_LT(evaluation.queries[0].stages.vectors.mrr, 1);
  EXPECT_EQ(evaluation.queries[0].stages.fused.mrr, 1);
  EXPECT_EQ(evaluation.queries[1].stages.words.mrr, 1);
  EXPECT_EQ(evaluation.queries[1].stages.fused.ndcg_10, 1);
  EXPECT_EQ(evaluation.mean.fused.recall_100, 1);
  EXPECT_NEAR(
      evaluation.mean.vectors.mrr,
      (evaluation.queries[0].stages.vectors.mrr + evaluation.queries[1].stages.vectors.mrr) / 2,
      1e-12);

  const auto json = api::to_json(evaluation);
  EXPECT_EQ(json.at("queries"), 2);
  EXPECT_EQ(json.at("words").at("mrr").as_double(), 1);
  EXPECT_EQ(json.at("by_query").as_array().size(), 2U);
  EXPECT_THAT(api::table(evaluation), HasSubstr("fused"));

  EXPECT_THROW(evaluate_search(engine->snapshot(), std::span(queries).last(1), {}), InvalidRequest);
}

// One search of words and vectors gives what a search under each of the weights would: also where
// vectors alone are searched for something else than beside words, in quotes and misspelt.
TEST(SearchEvaluation, MeasuresWhatASearchOfEachFinds) {
  Shop shop;
  const auto engine = shop.open();
  shop.stock(*engine);
  shop.publish(shop.text_version(engine->db()));
  ASSERT_TRUE(engine->reload());
  const std::map<std::string, double> grades = {
      {Shop::id(0, 3), 1}, {Shop::id(3, 9), 2}, {Shop::id(2, 5), 3}, {Shop::id(1, 7), 1}};
  std::vector<JudgedQuery> queries;
  for (const char* text :
       {"ember jade winged ", "\"winged\" cave ", "\"no such\" cave ", "orchestar ", "?!"}) {
    queries.push_back({text, text, grades});
  }
  for (const FusionWeights weights :
       {FusionWeights{1, 1}, FusionWeights{3, 1}, FusionWeights{0, 1}, FusionWeights{1, 0}}) {
    Snapshot snapshot = engine->snapshot();
    snapshot.fusion = weights;
    const SearchEvaluation evaluation = evaluate_search(snapshot, queries, {});
    const auto expected = [&](const JudgedQuery& query, const FusionWeights& under) {
      snapshot.fusion = under;
      std::vector<std::string> names;
      for (const Relevant& one : search(snapshot, query.text, snapshot.retrieve)) {
        names.push_back(engine->db().catalog().item_id(one.row));
      }
      return search_metrics(names, query.grades);
    };
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const SearchStages& stages = evaluation.queries[i].stages;
      for (const auto& [measured, under] :
           {std::pair{stages.words, FusionWeights{1, 0}},
            std::pair{stages.vectors, FusionWeights{0, 1}}, std::pair{stages.fused, weights}}) {
        const SearchMetrics alone = expected(queries[i], under);
        EXPECT_EQ(measured.ndcg_10, alone.ndcg_10) << queries[i].text;
        EXPECT_EQ(measured.recall_100, alone.recall_100) << queries[i].text;
        EXPECT_EQ(measured.mrr, alone.mrr) << queries[i].text;
      }
    }
    EXPECT_NE(evaluation.queries[1].stages.vectors.mrr, 0) << "vectors alone know no quotes";
  }
}

// The ranked stage is what rank serves, to the place; and who asks, and when, decides.
TEST(SearchEvaluation, RanksForWhoAsks) {
  Shop shop;
  const auto engine = shop.open();
  shop.stock(*engine);
  shop.publish(shop.learned_version(engine->db()));
  ASSERT_TRUE(engine->reload());
  const std::string text = "ember jade winged";
  const auto place_of = [&](const std::optional<std::string>& user, const std::string& item) {
    RankRequest request;
    request.query = text;
    request.user_id = user;
    request.limit = 100;
    request.include_seen = true;
    const auto order = ids(engine->rank(request));
    return 1 + (std::ranges::find(order, item) - order.begin());
  };
  const std::string item = Shop::id(3, 9);  // music, with a word of the query
  const std::vector<JudgedQuery> queries = {
      {"nobody", text, {{item, 1}}},
      {"music", text, {{item, 1}}, "user-3"},
      {"dragons", text, {{item, 1}}, "user-0"},
      {"before all", text, {{item, 1}}, "user-3", shop.now_ms - 1'000'000'000},
      {"stranger", text, {{item, 1}}, "who?"},
  };
  const auto evaluation = evaluate_search(engine->snapshot(), queries, {});
  EXPECT_EQ(evaluation.with_history, 2U);
  std::map<std::string, double> mrr;
  for (const auto& query : evaluation.queries) mrr[query.query_id] = query.stages.ranked.mrr;
  EXPECT_EQ(mrr["nobody"], 1.0 / static_cast<double>(place_of(std::nullopt, item)));
  EXPECT_EQ(mrr["music"], 1.0 / static_cast<double>(place_of("user-3", item)));
  EXPECT_EQ(mrr["dragons"], 1.0 / static_cast<double>(place_of("user-0", item)));
  EXPECT_NE(mrr["music"], mrr["dragons"]);
  EXPECT_EQ(mrr["before all"], mrr["nobody"]) << "nothing is read of the time after";
  EXPECT_EQ(mrr["stranger"], mrr["nobody"]);
  for (const auto& query : evaluation.queries) {
    EXPECT_EQ(query.stages.fused.mrr, evaluation.queries[0].stages.fused.mrr);
  }

  // Between two behaviours: those before it alone, and not the one of that very time.
  const auto events = engine->get_history("user-3", 100);
  Snapshot snapshot = engine->snapshot();
  const JudgedQuery between{"between", text, {{item, 1}}, "user-3", events[4].time_ms};
  EXPECT_EQ(question_of(snapshot, between).behaviours.size(), events.size() - 5);
  EXPECT_TRUE(question_of(snapshot, between).include_seen);

  const auto json = api::to_json(evaluation);
  EXPECT_EQ(json.at("ranked").at("mrr").as_double(), evaluation.mean.ranked.mrr);
  EXPECT_EQ(json.at("with_history"), 2);
  EXPECT_THAT(api::table(evaluation), HasSubstr("ranked"));
}

std::vector<JudgedQuery> read(const std::string& queries, const std::string& qrels) {
  std::istringstream query_lines(queries);
  std::istringstream judgements(qrels);
  return api::read_judged_queries(query_lines, "q.jsonl", judgements, "r.tsv");
}

std::string refusal(const std::string& queries, const std::string& qrels) {
  try {
    read(queries, qrels);
  } catch (const InvalidRequest& invalid) {
    return invalid.what();
  }
  return "";
}

constexpr const char* kQueries = "{\"query_id\":\"1\",\"text\":\"a\"}\n";

TEST(JudgedQueries, AreReadFromTwoFiles) {
  const auto queries = read(std::string(kQueries) + "\n{\"query_id\":\"2\",\"text\":\"b c\"}\r\n",
                            "1\t0\tx\t2\n1 0 y -1\n9 0 z 1\n\n");
  ASSERT_EQ(queries.size(), 2U);
  EXPECT_EQ(queries[0].query_id, "1");
  EXPECT_EQ(queries[1].text, "b c");
  EXPECT_EQ(queries[0].grades, (std::map<std::string, double>{{"x", 2}, {"y", -1}}));
  EXPECT_THAT(queries[1].grades, IsEmpty());
}

TEST(JudgedQueries, MayNameWhoAskedAndWhen) {
  const auto queries = read(
      "{\"query_id\":\"1\",\"text\":\"a\",\"user_id\":\"u\",\"time_ms\":5}\n"
      "{\"query_id\":\"2\",\"text\":\"a\",\"user_id\":\"v\"}\n"
      "{\"query_id\":\"3\",\"text\":\"a\",\"user_id\":null}\n",
      "");
  ASSERT_EQ(queries.size(), 3U);
  EXPECT_EQ(queries[0].user_id, "u");
  EXPECT_EQ(queries[0].time_ms, 5);
  EXPECT_EQ(queries[1].user_id, "v");
  EXPECT_EQ(queries[1].time_ms, std::nullopt);
  EXPECT_EQ(queries[2].user_id, std::nullopt);
  const std::string begin = "{\"query_id\":\"1\",\"text\":\"a\",";
  EXPECT_THAT(refusal(begin + "\"time_ms\":5}", ""), HasSubstr("no user_id"));
  EXPECT_THAT(refusal(begin + "\"user_id\":\"u\",\"time_ms\":\"today\"}", ""),
              AllOf(HasSubstr("q.jsonl:1"), HasSubstr("time_ms"), HasSubstr("whole number")));
  EXPECT_THAT(refusal(begin + "\"user_id\":7}", ""), HasSubstr("user_id"));
  EXPECT_THAT(refusal(begin + "\"user_id\":\"\"}", ""), HasSubstr("user_id"));
  EXPECT_THAT(refusal(begin + "\"user\":\"u\"}", ""),
              HasSubstr("query_id, text, user_id and time_ms"));
}

TEST(JudgedQueries, RefuseWithNameAndLine) {
  EXPECT_THAT(refusal("{\"query_id\":\"1\"}", ""), HasSubstr("q.jsonl:1"));
  EXPECT_THAT(refusal(std::string(kQueries) + "nonsense", ""), HasSubstr("q.jsonl:2"));
  EXPECT_THAT(refusal(std::string(kQueries) + kQueries, ""), HasSubstr("q.jsonl:2"));
  for (const std::string line :
       {"1", "1 0 x", "1 0 x one", "1 0 x 1 1", "1 0 x nan", "1 0 x 1e999"}) {
    EXPECT_THAT(refusal(kQueries, "1 0 a 1\n" + line), HasSubstr("r.tsv:2")) << line;
  }
  EXPECT_THAT(refusal(kQueries, "1 0 a 1\n1 0 a 2\n"), HasSubstr("r.tsv:2"));
}

}  // namespace
}  // namespace fovea::engine
