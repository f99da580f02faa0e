// Claim: a search shows what it found and why, whatever else its request asks for; and no query,
// however it was meant, does more than find nothing.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "engine/pipeline.h"
#include "engine/query_search.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::size_t kAll = Shop::kKinds * Shop::kItemsPerKind;

enum class Serving { kNothing, kTexts, kLearned };

class Searching : public testing::TestWithParam<Serving> {
 protected:
  Searching() {
    options_ = shop_.options();
    options_.search.attributes = {"brand", "tags"};
    open();
    shop_.stock(*engine_);
    if (GetParam() == Serving::kTexts) shop_.publish(shop_.text_version(engine_->db()));
    if (GetParam() == Serving::kLearned) shop_.publish(shop_.learned_version(engine_->db()));
    engine_->reload();
  }
  void open() {
    engine_.reset();
    engine_ = Engine::open(shop_.directory(), options_);
  }
  bool has_version() const { return GetParam() != Serving::kNothing; }

  void put(const std::string& id, const std::string& text,
           std::map<std::string, storage::AttributeValue> attributes = {}) {
    Item item;
    item.item_id = id;
    item.text = text;
    item.attributes = std::move(attributes);
    engine_->put_items(std::vector{item});
  }
  static RankRequest for_query(const std::string& query, std::int32_t limit = 10) {
    RankRequest request;
    request.query = query;
    request.limit = limit;
    return request;
  }
  RankResponse explained(RankRequest request) {
    request.explain = true;
    return engine_->rank(request);
  }
  static const RankedItem& item_of(const RankResponse& response, const std::string& id) {
    const auto found = std::ranges::find(response.items, id, &RankedItem::item_id);
    if (found == response.items.end()) throw std::runtime_error(id + " is not in the list");
    return *found;
  }

  Shop shop_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};
INSTANTIATE_TEST_SUITE_P(Serving, Searching,
                         testing::Values(Serving::kNothing, Serving::kTexts, Serving::kLearned));

TEST_P(Searching, AnExplanationHasTheItemsWordsAsTheyStandThere) {
  put("sea", "The Old Man and the SEA: a sea tale",
      {{"brand", "Hemingway & Söhne"},
       {"other", "old"},
       {"tags", std::vector<std::string>{"Old"}}});
  const auto response = explained(for_query("old seas hemingway sohne ", 1000));
  EXPECT_EQ(response.items[0].item_id, "sea");
  EXPECT_THAT(*response.items[0].explanation->matched_words,
              ElementsAre("Old", "SEA", "sea", "Hemingway", "Söhne"));
  EXPECT_THAT(*item_of(response, "soup-3").explanation->matched_words, IsEmpty());
  EXPECT_FALSE(response.corrected_query);

  RankRequest of_user;
  of_user.user_id = "user-1";
  for (const auto& item : explained(of_user).items) {
    EXPECT_FALSE(item.explanation->matched_words);
    EXPECT_FALSE(item.explanation->similarity);
  }
  RankRequest named = for_query("old ");
  named.candidates = {"sea", "soup-1"};
  EXPECT_THAT(*item_of(explained(named), "sea").explanation->matched_words, ElementsAre("Old"));
}

TEST_P(Searching, ASimilarityIsTheCosineOfTextAndQuery) {
  put("silent", "");
  const std::string query = "winged treasure of the orchestra";
  const auto response = explained(for_query(query, 1000));
  std::size_t told = 0;
  for (const auto& item : response.items) {
    if (!has_version() || item.item_id == "silent") {
      EXPECT_FALSE(item.explanation->similarity) << item.item_id;
      continue;
    }
    const auto& space = engine_->snapshot().model->text_space();
    std::vector<float> a(space.width());
    std::vector<float> b(space.width());
    ASSERT_TRUE(space.encode({query, {}}, a));
    const auto text = engine_->get_items(std::vector{item.item_id})[0].text;
    ASSERT_TRUE(space.encode({*text, {}}, b));
    ASSERT_TRUE(item.explanation->similarity);
    EXPECT_NEAR(*item.explanation->similarity,
                std::inner_product(a.begin(), a.end(), b.begin(), 0.0), 1e-4);
    ++told;
  }
  EXPECT_EQ(told, has_version() ? kAll : 0);
}

TEST_P(Searching, AMisspeltQueryIsToldAsItWasSearchedFor) {
  put("sea", "Lighthouses, and the Keeper's Lantern");
  put("code", "qx99174");
  const auto typed = explained(for_query("lihgthouse keper", 30));
  EXPECT_EQ(typed.corrected_query, "Lighthouses Keeper");
  EXPECT_EQ(typed.items[0].item_id, "sea");
  EXPECT_THAT(*typed.items[0].explanation->matched_words, ElementsAre("Lighthouses", "Keeper"));
  EXPECT_EQ(ids(engine_->rank(for_query("lighthouses keeper ", 30)))[0], "sea");

  // As the texts have it, whatever the filter leaves.
  auto filtered = for_query("lihgthouse ", 30);
  filtered.filter = "has(nothing)";
  const auto nothing = engine_->rank(filtered);
  EXPECT_THAT(nothing.items, IsEmpty());
  EXPECT_EQ(nothing.corrected_query, "Lighthouses ");

  for (const char* query : {"lighthouse", "lighthouse xq", "\"lihgthouse\"", "xq", "?!", "li",
                            "keeper qx99147", "keeper xylophone"}) {
    EXPECT_FALSE(engine_->rank(for_query(query)).corrected_query) << query;
  }
  engine_->remove_items(std::vector<std::string>{"sea"});
  EXPECT_FALSE(engine_->rank(for_query("lihgthouse ")).corrected_query);
}

// What is told is what was searched for: asked itself, it gives the same list for the same reasons.
TEST_P(Searching, AWordThatNoTextHasIsCorrectedBesideOthers) {
  put("sea", "The Lighthouses, and the Keeper's Lantern");
  put("lamp", "A lantern for lighthouses", {{"tags", std::vector<std::string>{"metal"}}});
  for (const auto& [typed, told] : std::vector<std::pair<std::string, std::string>>{
           {"the lihgthouse", "the Lighthouses"},
           {"keeper of (Lihgthouse) xylophones ", "keeper of (Lighthouses) xylophones "},
           {"lihgthouse lanterm lighthouse lihgthouses",
            "Lighthouses Lantern lighthouse Lighthouses"},
           {"lihgthouse kee", "Lighthouses kee"}}) {
    RankRequest request = for_query(typed, 30);
    Boost boost;
    boost.filter = "has(tags)";
    boost.add = 1;
    request.boosts.push_back(boost);
    const auto response = explained(request);
    EXPECT_EQ(response.corrected_query, told);
    EXPECT_THAT(*item_of(response, "sea").explanation->matched_words,
                testing::Contains("Lighthouses"));
    request.query = told;
    const auto same = explained(request);
    EXPECT_FALSE(same.corrected_query) << told;
    EXPECT_EQ(ids(same), ids(response));
    for (std::size_t i = 0; i < same.items.size(); ++i) {
      EXPECT_EQ(same.items[i].score, response.items[i].score);
      EXPECT_EQ(same.items[i].explanation->similarity, response.items[i].explanation->similarity);
    }
  }
}

TEST_P(Searching, WeightsSayWhichSearchCounts) {
  options_.search.weights = {.words = 0, .vectors = 1};
  open();
  put("code", "qx99174 lighthouse");
  EXPECT_NE(engine_->rank(for_query("qx99174 ")).items[0].source, "words");
  EXPECT_FALSE(engine_->rank(for_query("lihgthouse ")).corrected_query) << "no words are searched";
  options_.search.weights = {.words = 1, .vectors = 0};
  open();
  const auto response = engine_->rank(for_query("qx99174 fantasy ", 15));
  EXPECT_EQ(response.items[0].item_id, "code");
  for (const auto& item : response.items) EXPECT_NE(item.source, "vectors");
}

TEST_P(Searching, AQueryIsEncodedOnlyForWhoReadsItsVector) {
  const auto encoded = [&](double attention, const RankRequest& request) {
    Snapshot snapshot = engine_->snapshot();
    snapshot.fusion = {.words = 1, .vectors = 0};
    snapshot.query_attention = attention;
    return !candidates(snapshot, history(snapshot, request, shop_.now_ms)).query.empty();
  };
  RankRequest nobody = for_query("fantasy treasure");
  RankRequest somebody = nobody;
  somebody.user_id = "user-1";
  RankRequest explained = nobody;
  explained.explain = true;
  EXPECT_FALSE(encoded(0, nobody));
  EXPECT_FALSE(encoded(0, somebody));
  EXPECT_FALSE(encoded(1, nobody)) << "has no behaviours";
  EXPECT_EQ(encoded(1, somebody), has_version());
  EXPECT_EQ(encoded(0, explained), has_version());
}

TEST_P(Searching, WordEndingsAreThoseOfTheLanguage) {
  options_.search.language = "german";
  open();
  put("houses", "Häuser am See");
  const auto response = explained(for_query("haus ", 5));
  EXPECT_EQ(response.items[0].item_id, "houses");
  EXPECT_THAT(*response.items[0].explanation->matched_words, ElementsAre("Häuser"));
  options_.search.language = "none";
  open();
  EXPECT_THAT(*item_of(explained(for_query("haus ", 1000)), "houses").explanation->matched_words,
              IsEmpty());
}

TEST_P(Searching, ABoostLiftsWhatTheQueryFindsBeyondThePlaces) {
  options_.retrieve = 5;
  open();
  for (int i = 0; i < 40; ++i) {
    const bool rare = i >= 30;
    put("shared-" + std::to_string(i),
        std::string("common") + (rare ? " with many more words behind it, number " : " ") +
            std::to_string(i),
        {{"rare", rare}, {"number", static_cast<double>(i)}});
  }
  auto request = for_query("common ", 5);
  request.boosts = {{"rare = true", 1000}};
  for (const auto& item : engine_->rank(request).items) {
    EXPECT_GE(item.score, 900) << item.item_id;
    EXPECT_THAT(item.source, testing::AnyOf("words", "vectors"));
  }
  // What the filter or the request leaves out takes no other's place.
  request.filter = "number != 30 and number != 31";
  request.exclude_items = {"shared-32", "shared-33"};
  std::set<std::string> shown;
  for (int page = 0; page < 2; ++page) {
    const auto response = engine_->rank(request);
    for (const auto& item : response.items) {
      shown.insert(item.item_id);
      if (page == 0) {
        EXPECT_GE(item.score, 900) << item.item_id;
      }
    }
    request.page_token = response.next_page_token;
  }
  EXPECT_EQ(shown.size(), 10U);
  for (int i = 34; i < 40; ++i) EXPECT_THAT(shown, Contains("shared-" + std::to_string(i)));
}

std::vector<std::string> hostile_queries() {
  std::string words;
  for (int i = 0; words.size() < kQueryBytesMax - 8; ++i) words += "w" + std::to_string(i) + " ";
  std::string phrases;
  while (phrases.size() < kQueryBytesMax - 16) phrases += "\"winged scales\" ";
  return {
      "a",
      std::string(kQueryBytesMax, 'a'),
      std::string(kQueryBytesMax, ' '),
      std::string(kQueryBytesMax, '"'),
      words,
      '"' + words + '"',
      phrases,
      "?!.,;:-()[]{}",
      "🍕🍕🍕 👩‍🚀",
      "红色跑鞋",
      "حذاء أحمر \u202E fantasy",
      "\u200F\u200E",
      "\"winged",
      "winged\" \"scales\" \"",
      "“winged „scales«",
      "winged AND fantasy OR NOT scales NEAR(treasure, 2)",
      "text: winged ^fantasy scal* -cave +treasure",
      "' OR 1=1; DROP TABLE items --",
      "\\\"winged\\\"",
      std::string("winged\0scales", 13),
      std::string(1, '\0'),
      "e\u0301\u0301\u0301\u0301",
      "\uFDFA",
      "\uFFFF\uFEFF",
      "%s%n{}{0}",
  };
}

TEST_P(Searching, AnyQueryIsAnsweredWithAFullListWhateverElseIsAskedFor) {
  for (const std::string& query : hostile_queries()) {
    const auto plain = explained(for_query(query, 7));
    EXPECT_EQ(plain.items.size(), 7U) << query;
    EXPECT_FALSE(plain.degraded);

    RankRequest request = for_query(query, 6);
    request.user_id = "user-0";
    request.include_seen = true;
    request.filter = "not has(nothing)";
    request.boosts = {{"not has(nothing)", 1}, {"has(nothing)", 5}};
    request.pins = {{"soup-7", 2}};
    request.caps = {{"kind", 1}};
    request.exclude_items = {"dragons-1"};
    request.diversity = 0.3;
    const auto ruled = explained(request);
    EXPECT_EQ(ruled.items.size(), 6U) << query;
    EXPECT_EQ(ruled.items[2].item_id, "soup-7") << query;
    EXPECT_THAT(ids(ruled), Not(Contains("dragons-1"))) << query;

    request.candidates = {"dragons-1", "dragons-2", "soup-7", "unheard-of"};
    const auto named = engine_->rank(request);
    EXPECT_THAT(ids(named), testing::UnorderedElementsAre("dragons-2", "soup-7")) << query;
    EXPECT_THAT(named.unknown_candidates, ElementsAre("unheard-of"));
  }
}

TEST_P(Searching, WhatIsNoTextOrTooLongIsRefusedWithASentence) {
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "w" + std::to_string(i) + " ";
  for (const auto& [query, said] : std::vector<std::pair<std::string, std::string>>{
           {"", "query is empty"},
           {std::string(10'000, 'a'), "query is 10000 bytes long; at most 8192"},
           {std::string(10'000, '"'), "query is 10000 bytes long"},
           {many, "at most 8192 are allowed"},
           {"winged \xff", "query is not valid UTF-8 at byte 7"},
           {"\xC0\x80", "not valid UTF-8 at byte 0"},
           {"\xED\xA0\x80", "not valid UTF-8 at byte 0"},
           {"cut \xE7\xBA", "not valid UTF-8 at byte 4"}}) {
    try {
      engine_->rank(for_query(query));
      FAIL() << said;
    } catch (const InvalidRequest& refused) {
      EXPECT_EQ(refused.field, "query");
      EXPECT_THAT(refused.what(), HasSubstr(said));
    }
  }
}

TEST_P(Searching, PagesOfAQueryHaveEachItemOnceAndKeepToTheRules) {
  std::mt19937 random(1);
  for (std::size_t kind = 0; kind < Shop::kKinds; ++kind) {
    for (std::size_t number = 0; number < Shop::kItemsPerKind; ++number) {
      Item item = Shop::item(kind, number);
      item.attributes = {{"number", static_cast<double>(number)},
                         {"kind", Shop::kind_of(item.item_id)}};
      engine_->put_items(std::vector{item});
    }
  }
  auto queries = hostile_queries();
  queries.insert(queries.end(), {"winged treasure", "\"steam engine\" soup", "violn", "timetab"});
  for (const std::string& query : queries) {
    RankRequest request = for_query(query, 9);
    request.filter = "number < 15";
    request.exclude_items = {"soup-1", "music-2"};
    request.pins = {{"trains-3", 1}, {"dragons-4", 12}};
    request.boosts = {{"kind = 'music'", 3}};
    if (random() % 2 == 0) request.caps = {{"kind", 3}};
    std::set<std::string> shown;
    for (std::size_t page = 0;; ++page) {
      ASSERT_LE(page, kAll) << query;
      const auto response = engine_->rank(request);
      std::map<std::string, int> of_kind;
      for (const auto& item : response.items) {
        EXPECT_TRUE(shown.insert(item.item_id).second) << item.item_id << " twice: " << query;
        if (item.source == "pin") continue;
        if (!request.caps.empty()) {
          EXPECT_LE(++of_kind[Shop::kind_of(item.item_id)], 3) << query;
        }
        EXPECT_LT(std::stoi(item.item_id.substr(item.item_id.find('-') + 1)), 15) << query;
      }
      if (page == 0) {
        EXPECT_EQ(response.items.at(1).item_id, "trains-3");
      }
      if (page == 1) {
        EXPECT_EQ(response.items.at(3).item_id, "dragons-4");
      }
      if (!response.next_page_token) break;
      request.page_token = response.next_page_token;
      // The catalogue goes on meanwhile.
      Item changed = Shop::item(random() % Shop::kKinds, 15 + random() % 5);
      changed.text = "winged violin " + std::to_string(random());
      engine_->put_items(std::vector{changed});
    }
    EXPECT_THAT(shown, Not(Contains("soup-1")));
    // With caps a page may end before its limit, which is then the last.
    if (request.caps.empty()) {
      EXPECT_EQ(shown.size(), 15 * Shop::kKinds - 2) << query;
    }
  }
}

}  // namespace
}  // namespace fovea::engine
