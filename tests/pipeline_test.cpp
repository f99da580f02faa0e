// What a list holds and why: histories, candidates, scores and their explanations, over the real
// store, with and without a learned model.
#include "engine/pipeline.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "shop.h"

namespace fovea::engine {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr std::size_t kAll = Shop::kKinds * Shop::kItemsPerKind;

class PipelineTest : public testing::Test {
 protected:
  PipelineTest() : engine_(shop_.open()) { shop_.stock(*engine_); }

  void serve_texts() {
    shop_.publish(shop_.text_version(engine_->db()));
    ASSERT_TRUE(engine_->reload());
  }
  void serve_learned() {
    shop_.publish(shop_.learned_version(engine_->db()));
    ASSERT_TRUE(engine_->reload());
  }

  static RankRequest for_user(const std::string& user, std::int32_t limit = 10) {
    RankRequest request;
    request.user_id = user;
    request.limit = limit;
    return request;
  }
  static RankRequest for_query(const std::string& query, std::int32_t limit = 10) {
    RankRequest request;
    request.query = query;
    request.limit = limit;
    return request;
  }
  std::vector<std::string> history_of(const std::string& user) {
    std::vector<std::string> result;
    for (const auto& event : engine_->get_history(user, 1000)) result.push_back(event.item_id);
    return result;
  }
  void view(const std::string& user, const std::string& item) {
    shop_.now_ms += 1000;
    engine_->record(std::vector{shop_.event(user, item)});
  }

  static std::map<std::string, double> scores(const RankResponse& response) {
    std::map<std::string, double> result;
    for (const auto& item : response.items) result[item.item_id] = item.score;
    return result;
  }
  static std::size_t of_kind(const RankResponse& response, const std::string& kind) {
    return static_cast<std::size_t>(std::ranges::count_if(
        response.items, [&](const auto& item) { return Shop::kind_of(item.item_id) == kind; }));
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
};

// Whatever serves: nothing, texts, or a learned model.
enum class Serving { kNothing, kTexts, kLearned };

class AnyPipelineTest : public PipelineTest, public testing::WithParamInterface<Serving> {
 protected:
  AnyPipelineTest() {
    if (GetParam() == Serving::kTexts) serve_texts();
    if (GetParam() == Serving::kLearned) serve_learned();
  }
};
INSTANTIATE_TEST_SUITE_P(Serving, AnyPipelineTest,
                         testing::Values(Serving::kNothing, Serving::kTexts, Serving::kLearned));

TEST_P(AnyPipelineTest, AListIsAsLongAsAskedWhileItemsExist) {
  for (const std::int32_t limit : {1, 7, 50}) {
    EXPECT_EQ(engine_->rank(for_user("user-0", limit)).items.size(), limit);
    EXPECT_EQ(engine_->rank(for_user("nobody", limit)).items.size(), limit);
    EXPECT_EQ(engine_->rank(for_query("winged treasure", limit)).items.size(), limit);
    EXPECT_EQ(engine_->rank(for_query("zzz", limit)).items.size(), limit);
  }
  EXPECT_EQ(engine_->rank(for_user("nobody", 1000)).items.size(), kAll);
  EXPECT_EQ(engine_->rank(for_user("user-0", 1000)).items.size(), kAll - 10) << "ten were seen";
}

TEST_P(AnyPipelineTest, NoItemStandsTwiceAndScoresFall) {
  auto request = for_user("user-1", 1000);
  request.seed_items = {"soup-1", "soup-1"};
  const auto response = engine_->rank(request);
  const auto shown = ids(response);
  EXPECT_EQ(std::set(shown.begin(), shown.end()).size(), shown.size());
  EXPECT_TRUE(std::ranges::is_sorted(response.items, std::greater<>(), &RankedItem::score));
}

TEST_P(AnyPipelineTest, SeenItemsAreLeftOutUnlessAskedFor) {
  const auto seen = history_of("user-0");
  ASSERT_EQ(seen.size(), 10U);
  auto request = for_user("user-0", 1000);
  for (const auto& item : ids(engine_->rank(request))) EXPECT_THAT(seen, Not(Contains(item)));
  request.include_seen = true;
  EXPECT_EQ(engine_->rank(request).items.size(), kAll);

  request.include_seen = false;
  auto skipped = shop_.event("", "music-19");
  skipped.action = "skip";
  request.session = {skipped};
  EXPECT_THAT(ids(engine_->rank(request)), Not(Contains("music-19"))) << "a session is seen too";
}

TEST_P(AnyPipelineTest, ExcludedItemsNeverReturn) {
  auto request = for_user("nobody", 1000);
  request.exclude_items = {"soup-1", "soup-2", "unheard-of"};
  auto shown = ids(engine_->rank(request));
  EXPECT_EQ(shown.size(), kAll - 2);
  EXPECT_THAT(shown, Not(Contains("soup-1")));
  request.candidates = {"soup-1", "soup-3"};
  EXPECT_THAT(ids(engine_->rank(request)), ElementsAre("soup-3"));
}

TEST_P(AnyPipelineTest, GivenCandidatesAreRankedAndNothingElse) {
  auto request = for_user("user-0", 1000);
  request.candidates = {"soup-1", history_of("user-0").front(), "unheard-of", "soup-1", "music-2"};
  const auto response = engine_->rank(request);
  EXPECT_THAT(ids(response),
              testing::UnorderedElementsAre("soup-1", history_of("user-0").front(), "music-2"));
  for (const auto& item : response.items) EXPECT_EQ(item.source, "candidate");
  request.candidates->clear();
  EXPECT_THAT(engine_->rank(request).items, IsEmpty());
}

TEST_P(AnyPipelineTest, SeedsAreLeftOutOfTheAnswer) {
  RankRequest request;
  request.seed_items = {"dragons-1", "unheard-of"};
  request.limit = 1000;
  const auto shown = ids(engine_->rank(request));
  EXPECT_EQ(shown.size(), kAll - 1);
  EXPECT_THAT(shown, Not(Contains("dragons-1")));
}

TEST_P(AnyPipelineTest, ARemovedItemIsGoneAtOnceAndBackWhenPutAgain) {
  const std::vector<std::string> removed = {"dragons-3"};
  EXPECT_EQ(engine_->remove_items(removed), 1);
  EXPECT_EQ(engine_->remove_items(removed), 0);
  auto by_name = for_user("user-1");
  by_name.candidates = removed;
  for (const auto& request : {for_user("user-1", 1000), for_user("nobody", 1000),
                              for_query("dragons cave", 1000), by_name}) {
    EXPECT_THAT(ids(engine_->rank(request)), Not(Contains("dragons-3")));
  }
  EXPECT_THAT(engine_->get_items(removed), IsEmpty());
  engine_->put_items(std::vector{Shop::item(0, 3)});
  for (const auto& request : {for_user("user-1", 1000), for_user("nobody", 1000),
                              for_query("dragons cave", 1000), by_name}) {
    EXPECT_THAT(ids(engine_->rank(request)), Contains("dragons-3"));
  }
}

TEST_P(AnyPipelineTest, ANewItemIsThereAtOnce) {
  Item item;
  item.item_id = "dragons-new";
  item.text = "dragons fantasy winged scales treasure cave";
  engine_->put_items(std::vector{item});
  EXPECT_THAT(ids(engine_->rank(for_user("nobody", 1000))), Contains("dragons-new"));
  const auto found = engine_->rank(for_query(*item.text, 1000)).items;
  const auto place = std::ranges::find(found, "dragons-new", &RankedItem::item_id);
  ASSERT_NE(place, found.end());
  EXPECT_EQ(place->source, "words");
  EXPECT_LE(place - found.begin(), Shop::kItemsPerKind) << "among its kind";
}

TEST_P(AnyPipelineTest, AnEventOfAnItemThatNobodyPutWaitsForIt) {
  view("user-9", "later");
  EXPECT_THAT(history_of("user-9"), Contains("later"));
  auto request = for_user("user-9", 1000);
  request.include_seen = true;
  request.explain = true;
  EXPECT_THAT(ids(engine_->rank(request)), Not(Contains("later")));
  Item item = Shop::item(2, 5);
  item.item_id = "later";
  engine_->put_items(std::vector{item});
  EXPECT_THAT(ids(engine_->rank(request)), Contains("later"));
}

TEST_P(AnyPipelineTest, PartsAddUpToTheScoreAndExplainingChangesNothing) {
  auto everything = for_query("steam recipe", 30);
  everything.user_id = "user-2";
  everything.session = {shop_.event("", "soup-3")};
  everything.seed_items = {"music-4"};
  for (auto request : {for_user("user-0", 30), for_user("nobody", 30), for_query("railway", 30),
                       for_query("zzz", 30), everything}) {
    const auto plain = engine_->rank(request);
    request.explain = true;
    const auto explained = engine_->rank(request);
    EXPECT_EQ(scores(plain), scores(explained));
    EXPECT_EQ(ids(plain), ids(explained));
    for (const auto& item : explained.items) {
      ASSERT_TRUE(item.explanation);
      double sum = 0;
      for (const auto& [name, value] : item.explanation->parts) sum += value;
      EXPECT_NEAR(sum, item.score, 1e-9);
      EXPECT_THAT(item.explanation->rules, IsEmpty());
    }
    for (const auto& item : plain.items) EXPECT_FALSE(item.explanation);
  }
}

TEST_P(AnyPipelineTest, AScoreDoesNotDependOnHowTheItemCameIntoTheList) {
  auto with_query = for_query("orchestra spoon", 1000);
  with_query.user_id = "user-3";
  auto with_seeds = for_user("nobody", 1000);
  with_seeds.seed_items = {"trains-4"};
  for (const auto& request :
       {for_user("user-0", 1000), for_user("nobody", 1000), with_query, with_seeds}) {
    const auto expected = scores(engine_->rank(request));
    auto other = request;
    other.include_seen = true;
    other.limit = 5;
    other.exclude_items = {"soup-1"};
    for (const auto& item : engine_->rank(other).items) {
      if (expected.contains(item.item_id)) {
        EXPECT_NEAR(item.score, expected.at(item.item_id), 1e-4) << item.item_id;
      }
    }
    for (const auto& [item_id, score] : expected) {
      other = request;
      other.candidates = {item_id};
      const auto alone = engine_->rank(other);
      ASSERT_EQ(alone.items.size(), 1U);
      EXPECT_NEAR(alone.items[0].score, score, 1e-4) << item_id;
    }
  }
}

TEST_P(AnyPipelineTest, AResponseNamesItselfItsVersionAndItsStages) {
  const auto first = engine_->rank(for_user("user-0"));
  const auto second = engine_->rank(for_user("user-0"));
  EXPECT_THAT(first.request_id, testing::MatchesRegex("[0-9a-f]{32}"));
  EXPECT_NE(first.request_id, second.request_id);
  EXPECT_EQ(first.model_version.empty(), GetParam() == Serving::kNothing);
  EXPECT_EQ(first.model_version, engine_->status().model_version);
  std::vector<std::string> stages;
  for (const auto& [stage, us] : first.stage_us) {
    stages.push_back(stage);
    EXPECT_GE(us, 0);
  }
  EXPECT_THAT(stages, ElementsAre("candidates", "history", "rerank", "respond"));
  EXPECT_FALSE(first.degraded);
}

TEST_P(AnyPipelineTest, WhatAUserWasShownIsRemembered) {
  const auto shown = engine_->rank(for_user("user-0", 5));
  const auto exposures = engine_->db().exposures().read("user-0", 10);
  ASSERT_EQ(exposures.size(), 1U);
  EXPECT_EQ(exposures[0].request_id, shown.request_id);
  EXPECT_EQ(exposures[0].time_ms, shop_.now_ms);
  EXPECT_EQ(exposures[0].model_version, shown.model_version);
  std::vector<std::string> names;
  for (const auto row : exposures[0].rows) names.push_back(engine_->db().catalog().item_id(row));
  EXPECT_EQ(names, ids(shown));
}

TEST_F(PipelineTest, WithoutAVersionTheMostActedOnComeFirst) {
  for (int user = 0; user < 30; ++user) view("new-" + std::to_string(user), "soup-19");
  const auto response = engine_->rank(for_user("nobody"));
  EXPECT_EQ(response.items[0].item_id, "soup-19");
  EXPECT_EQ(response.items[0].source, "popular");
  // Counted again when something changed, within a second.
  for (int user = 0; user < 60; ++user) view("more-" + std::to_string(user), "music-18");
  shop_.now_ms += 1000;
  EXPECT_EQ(engine_->rank(for_user("nobody")).items[0].item_id, "music-18");
}

TEST_F(PipelineTest, AnUnknownUserSeesThePopularOnesScoredByTheirPopularity) {
  serve_texts();
  const auto response = engine_->rank(for_user("nobody", 1000));
  const auto popularity = engine_->snapshot().popularity;
  std::vector<std::uint32_t> rows;
  for (const auto& item : response.items) {
    EXPECT_EQ(item.source, "popular");
    rows.push_back(*engine_->db().catalog().row(item.item_id));
    EXPECT_DOUBLE_EQ(item.score, popularity->log_popularity(rows.back()));
  }
  EXPECT_TRUE(std::ranges::equal(rows, popularity->order()));
}

TEST_F(PipelineTest, AQueryFindsWhatItNames) {
  for (const bool learned : {false, true}) {
    if (learned) {
      serve_learned();
    } else {
      serve_texts();
    }
    auto request = for_query("violin concert", 10);
    EXPECT_EQ(of_kind(engine_->rank(request), "music"), 10U);
    EXPECT_THAT(engine_->rank(request).items[0].source, testing::AnyOf("words", "vectors"));
    request.user_id = "user-0";  // who likes dragons
    request.explain = true;
    const auto personal = engine_->rank(request);
    EXPECT_EQ(of_kind(personal, "music"), 10U) << "relevance leads";
    EXPECT_TRUE(personal.items[0].explanation->parts.contains("vectors"));
  }
}

TEST_P(AnyPipelineTest, WordsAreFoundWhetherAVersionKnowsThemOrNot) {
  Item item;
  item.item_id = "code";
  item.text = "replacement part QX-99174, chrome";
  engine_->put_items(std::vector{item});
  for (const std::string query : {"qx-99174", "99174", "chrome QX", "\"part qx\"", "chro"}) {
    const auto found = engine_->rank(for_query(query, 3)).items;
    EXPECT_EQ(found[0].item_id, "code") << query;
    if (GetParam() == Serving::kNothing) {
      EXPECT_EQ(found[0].source, "words") << query;
    }
  }
  auto filtered = for_query("chrome dragons", 1000);
  filtered.filter = "not has(nothing)";
  EXPECT_THAT(ids(engine_->rank(filtered)), Contains("code"));
  filtered.filter = "has(nothing)";
  EXPECT_THAT(ids(engine_->rank(filtered)), IsEmpty());

  // As the catalogue is now, and after a restart too.
  item.text = "another thing";
  engine_->put_items(std::vector{item});
  EXPECT_NE(engine_->rank(for_query("99174 ", 3)).items[0].source, "words");
  engine_.reset();
  engine_ = shop_.open();
  EXPECT_EQ(engine_->rank(for_query("another thing", 3)).items[0].item_id, "code");
  engine_->remove_items(std::vector<std::string>{"code"});
  EXPECT_THAT(ids(engine_->rank(for_query("another thing", 1000))), Not(Contains("code")));
}

TEST_P(AnyPipelineTest, NoQueryIsAnError) {
  std::string letters(8'000, 'a');
  for (const std::string query : {"a", letters.c_str(), "?!", "\"", "a\"b", "NEAR(a, b) OR *", "🍕",
                                  "红色", "أحمر", "'; DROP"}) {
    EXPECT_EQ(engine_->rank(for_query(query, 5)).items.size(), 5U) << query;
  }
}

TEST_P(AnyPipelineTest, TheSameQueryHasItsExactMatchFirstWhoeverAsks) {
  Item item = Shop::item(1, 1);
  item.item_id = "exact";
  item.text = "silver violin dragons";
  Item other = Shop::item(2, 2);
  other.item_id = "scattered";
  other.text = "dragons violin violin silver silver dragons";
  engine_->put_items(std::vector{other, item});
  auto request = for_query("Silver violins dragons", 40);
  std::set<std::vector<std::string>> orders;
  for (const std::string user : {"user-0", "user-3"}) {  // dragons, music
    request.user_id = user;
    request.explain = true;
    const auto response = engine_->rank(request);
    EXPECT_EQ(response.items[0].item_id, "exact") << user;
    EXPECT_TRUE(response.items[0].explanation->parts.contains("exact"));
    orders.insert(ids(response));
  }
  if (GetParam() == Serving::kLearned) {
    EXPECT_EQ(orders.size(), 2U) << "taste bends the rest";
  }
}

// A user who likes dragons and trains alike searches for a word of dragons: what they did with
// dragons explains the list more than it does without the query, and lifts dragons over trains.
TEST_F(PipelineTest, AQueryIsAttendedWith) {
  for (std::size_t i = 0; i < 5; ++i) {
    view("both", Shop::id(0, i));
    view("both", Shop::id(1, i));
  }
  serve_learned();
  auto request = for_query("winged treasure");
  request.user_id = "both";
  request.explain = true;
  request.candidates.emplace();
  for (std::size_t i = 5; i < 15; ++i) {
    request.candidates->push_back(Shop::id(0, i));
    request.candidates->push_back(Shop::id(1, i));
  }
  request.limit = 20;
  struct Leaning {
    double attention = 0;  // share that goes to dragons
    double evidence = 0;   // how much more of it dragons have than trains
    RankResponse response;
  };
  const auto rank = [&](double query_attention, const RankRequest& asked) {
    Snapshot snapshot = engine_->snapshot();
    snapshot.query_attention = query_attention;
    Leaning leaning;
    leaning.response = engine::rank(snapshot, asked, shop_.now_ms).response;
    double all = 0;
    for (const auto& item : leaning.response.items) {
      const double evidence = item.explanation->parts.at("attention");
      leaning.evidence += Shop::kind_of(item.item_id) == "dragons" ? evidence : -evidence;
      for (const auto& one : item.explanation->attention) {
        all += one.weight;
        if (Shop::kind_of(one.item_id) == "dragons") leaning.attention += one.weight;
      }
    }
    leaning.attention /= all;
    return leaning;
  };
  const Leaning plain = rank(0, request);
  const Leaning attended = rank(4, request);
  EXPECT_GT(attended.attention, plain.attention + 0.05);
  EXPECT_GT(attended.evidence, plain.evidence);
  EXPECT_NE(scores(attended.response), scores(plain.response));

  // With weight 0 the model's part of a score is what it is without the query, to the last bit.
  auto unasked = request;
  unasked.query.reset();
  const auto of_model = [](const RankResponse& response) {
    std::map<std::string, std::map<std::string, double>> parts;
    for (const auto& item : response.items) {
      parts[item.item_id] = item.explanation->parts;
      for (const char* of_query : {"words", "vectors", "exact"}) {
        parts[item.item_id].erase(of_query);
      }
    }
    return parts;
  };
  EXPECT_EQ(of_model(plain.response), of_model(rank(0, unasked).response));
  EXPECT_NE(of_model(attended.response), of_model(plain.response));
  EXPECT_EQ(scores(rank(4, unasked).response), scores(rank(0, unasked).response));
}

TEST_F(PipelineTest, WithTextsAloneAHistoryFindsItsLike) {
  serve_texts();
  EXPECT_EQ(of_kind(engine_->rank(for_user("user-2", 10)), "soup"), 10U);
  RankRequest more_like;
  more_like.seed_items = {"trains-1"};
  EXPECT_EQ(of_kind(engine_->rank(more_like), "trains"), 19U);

  // What was skipped says nothing of what is liked.
  auto skipped = shop_.event("nobody", "music-1");
  skipped.action = "skip";
  RankRequest session;
  session.session = {skipped, shop_.event("nobody", "dragons-1")};
  session.limit = 10;
  EXPECT_EQ(of_kind(engine_->rank(session), "dragons"), 10U);
}

TEST_F(PipelineTest, ABehaviourShowsInTheNextList) {
  serve_learned();
  for (int i = 0; i < 5; ++i) {
    const auto before = engine_->rank(for_user("user-0", 1000));
    view("user-0", before.items[static_cast<std::size_t>(i)].item_id);
    const auto after = engine_->rank(for_user("user-0", 1000));
    EXPECT_NE(scores(before), scores(after));
    EXPECT_EQ(after.items.size(), before.items.size() - 1);
  }
}

TEST_F(PipelineTest, ASessionCountsAsIfItWereStored) {
  serve_learned();
  RankRequest session;
  session.limit = 1000;
  for (const char* item : {"dragons-1", "dragons-2", "soup-4"}) {
    shop_.now_ms += 1000;
    engine_->record(std::vector{shop_.event("twin", item)});
    session.session.push_back(shop_.event("", item));
  }
  const auto stored = engine_->rank(for_user("twin", 1000));
  const auto given = engine_->rank(session);
  EXPECT_EQ(ids(stored), ids(given));
  EXPECT_EQ(scores(stored), scores(given));
}

TEST_F(PipelineTest, AttentionNamesStoredBehavioursHeaviestFirst) {
  serve_learned();
  auto request = for_user("user-1", 20);
  request.explain = true;
  request.seed_items = {"music-3"};
  const auto history = engine_->get_history("user-1", 100);
  for (const auto& item : engine_->rank(request).items) {
    const auto& attention = item.explanation->attention;
    ASSERT_THAT(attention, Not(IsEmpty()));
    EXPECT_TRUE(std::ranges::is_sorted(attention, std::greater<>(), &Attention::weight));
    double sum = 0;
    for (const auto& one : attention) {
      EXPECT_GT(one.weight, 0);
      sum += one.weight;
      if (one.item_id == "music-3") {
        EXPECT_EQ(one.action, "seed");
        continue;
      }
      EXPECT_TRUE(std::ranges::any_of(history, [&](const Event& event) {
        return event.item_id == one.item_id && event.time_ms == one.time_ms &&
               event.action == one.action;
      })) << one.item_id;
    }
    EXPECT_LE(sum, 1 + 1e-5);
  }
}

TEST_F(PipelineTest, TheRankWithoutTheHeaviestBehaviourIsWhatATwinWithoutItSees) {
  serve_learned();
  // More behaviours than the model reads: the one that moves up has to count.
  for (std::size_t i = 0; i < 5; ++i) view("user-1", Shop::id(2, i));
  const auto history = engine_->get_history("user-1", 100);
  ASSERT_GT(history.size(), engine_->snapshot().model->model()->behaviours_max());
  auto request = for_user("user-1", 1000);
  request.candidates.emplace();
  for (std::size_t i = 0; i < 15; ++i) request.candidates->push_back(Shop::id(i % 4, i));
  request.explain = true;
  const auto response = engine_->rank(request);
  bool moved = false;
  for (std::size_t shown = 0; shown < response.items.size(); ++shown) {
    const auto& explanation = *response.items[shown].explanation;
    const Attention& heaviest = explanation.attention.at(0);
    const std::string twin = "twin-" + std::to_string(shown);
    std::vector<Event> events;
    for (auto event : history) {
      if (event.item_id == heaviest.item_id && event.time_ms == heaviest.time_ms) continue;
      event.user_id = twin;
      events.push_back(event);
    }
    ASSERT_EQ(events.size(), history.size() - 1);
    engine_->record(events);
    auto as_twin = request;
    as_twin.user_id = twin;
    const auto seen = ids(engine_->rank(as_twin));
    const auto position = std::ranges::find(seen, response.items[shown].item_id) - seen.begin();
    EXPECT_EQ(explanation.rank_without_top_event, position);
    moved = moved || position != static_cast<std::ptrdiff_t>(shown);
  }
  EXPECT_TRUE(moved) << "no behaviour mattered to any item";
}

TEST_F(PipelineTest, WithoutItsOnlyBehaviourAUserIsUnknown) {
  serve_learned();
  auto request = for_user("nobody", 1000);
  request.seed_items = {"soup-3"};
  request.explain = true;
  const auto response = engine_->rank(request);
  auto unknown = for_user("nobody", 1000);
  unknown.exclude_items = {"soup-3"};
  const auto popular = ids(engine_->rank(unknown));
  for (const auto& item : response.items) {
    EXPECT_EQ(item.explanation->rank_without_top_event,
              std::ranges::find(popular, item.item_id) - popular.begin());
  }
}

TEST_F(PipelineTest, AnActionDeclaredAfterTrainingIsRanked) {
  serve_learned();
  engine_->declare_action("share", 2);
  auto event = shop_.event("user-0", "soup-1");
  event.action = "share";
  shop_.now_ms += 1000;
  engine_->record(std::vector{event});
  auto request = for_user("user-0", 1000);
  request.explain = true;
  const auto response = engine_->rank(request);
  EXPECT_EQ(response.items.size(), kAll - 11);
  for (const auto& item : response.items) EXPECT_TRUE(std::isfinite(item.score));
}

TEST_F(PipelineTest, AValueFarBeyondSinglePrecisionStaysFinite) {
  serve_learned();
  for (const double value : {1e300, -1e300}) {
    auto event = shop_.event("user-0", "soup-1");
    event.value = value;
    shop_.now_ms += 1000;
    engine_->record(std::vector{event});
  }
  for (const auto& item : engine_->rank(for_user("user-0", 1000)).items) {
    EXPECT_TRUE(std::isfinite(item.score));
  }
}

TEST_F(PipelineTest, RetrievalAndTransitionsBringCandidatesInTurn) {
  serve_learned();
  auto snapshot = engine_->snapshot();
  snapshot.retrieve = 5;
  auto request = for_user("user-0", 5);
  const auto question = history(snapshot, request, shop_.now_ms);
  const auto found = candidates(snapshot, question);
  EXPECT_EQ(found.items.size(), 5U);
  std::set<std::uint32_t> rows;
  for (const auto& candidate : found.items) {
    EXPECT_EQ(candidate.source, "vectors");
    EXPECT_THAT(question.seen, Not(Contains(candidate.row)));
    rows.insert(candidate.row);
  }
  EXPECT_EQ(rows.size(), found.items.size());
  // The nearest that were not seen are among them, and what transitions bring besides.
  std::size_t nearest = 0;
  for (const auto& neighbour : found.user.nearest) {
    if (std::ranges::count(question.seen, neighbour.row) > 0) continue;
    if (nearest == 3) break;
    EXPECT_TRUE(rows.contains(neighbour.row));
    ++nearest;
    rows.erase(neighbour.row);
  }
  EXPECT_EQ(rows.size(), 2U);
}

TEST_F(PipelineTest, ANegativeActionPushesAwayWhatIsLikeIt) {
  for (const std::string action : {"block", "mute"}) {
    SCOPED_TRACE(action);
    action == "block" ? serve_texts() : serve_learned();
    engine_->declare_action(action, -2);  // the version does not know it
    auto request = for_user("user-0", 1000);
    request.explain = true;
    const auto before = scores(engine_->rank(request));
    auto event = shop_.event("", "soup-1");
    event.action = action;
    request.session = {event};
    double soup = 0;
    double others = 0;
    for (const auto& item : engine_->rank(request).items) {
      const double moved = item.score - before.at(item.item_id);
      EXPECT_NEAR(moved, item.explanation->parts.at("disliked"), 1e-5);
      EXPECT_LE(moved, 0);
      (Shop::kind_of(item.item_id) == "soup" ? soup : others) += moved;
      for (const auto& attention : item.explanation->attention) {
        EXPECT_NE(attention.action, action) << "it is not interest";
      }
    }
    // The learned vectors of this shop are random.
    if (action == "block") {
      EXPECT_LT(soup / 19, others / 50 - 0.1);
    }
  }
}

TEST_F(PipelineTest, ConfiguredActionsLeaveAnItemUnseen) {
  engine_.reset();
  EngineOptions options = shop_.options();
  options.not_seen = {"impression"};
  engine_ = Engine::open(shop_.directory(), options);
  engine_->declare_action("impression", 0);
  auto event = shop_.event("visitor", "soup-1");
  event.action = "impression";
  engine_->record(std::vector{event, shop_.event("visitor", "soup-2")});
  const auto shown = ids(engine_->rank(for_user("visitor", 1000)));
  EXPECT_THAT(shown, Contains("soup-1"));
  EXPECT_THAT(shown, Not(Contains("soup-2")));
}

// The version knows fewer actions than the store, also in what only EASE reads.
TEST_F(PipelineTest, ActionsDeclaredAfterTrainingCountAsNoParticularOne) {
  serve_learned();
  engine_->declare_action("share", 1);
  std::vector<Event> events;
  for (std::size_t i = 0; i < 2 * Shop::kItemsPerKind; ++i) {
    shop_.now_ms += 1000;
    events.push_back(shop_.event("sharer", Shop::id(i % 2, i / 2)));
    events.back().action = "share";
  }
  engine_->record(events);
  EXPECT_EQ(engine_->rank(for_user("sharer")).items.size(), 10U);
}

}  // namespace
}  // namespace fovea::engine
