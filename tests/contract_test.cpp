// The contract over a real socket, on a real engine: what each method does, and what each mistake
// is answered with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thrift/TApplicationException.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/server.h"
#include "engine/engine.h"
#include "tests/shop.h"

namespace fovea::api {
namespace {

using engine::Shop;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

/// A served shop: user-0 has viewed dragons, a version is trained.
class Contract : public testing::Test {
 protected:
  Contract() {
    engine = shop.open();
    shop.stock(*engine);
    shop.publish(shop.learned_version(engine->db()));
    engine->reload();
    server.emplace(*engine, ServerOptions{.port = 0, .threads = 2});
    server->start();
    client.emplace(HostPort{"127.0.0.1", server->port()});
  }

  RankResponse rank(const RankRequest& request) {
    RankResponse response;
    (*client)->rank(response, request);
    return response;
  }

  std::vector<Event> history(const std::string& user_id, std::int32_t limit = 100) {
    std::vector<Event> events;
    (*client)->getHistory(events, user_id, limit);
    return events;
  }

  std::vector<Item> items(const std::vector<std::string>& item_ids) {
    std::vector<Item> result;
    (*client)->getItems(result, item_ids);
    return result;
  }

  Shop shop;
  std::unique_ptr<engine::Engine> engine;
  std::optional<Server> server;
  std::optional<Client> client;
};

RankRequest for_user(const std::string& user_id) {
  RankRequest request;
  request.__set_user_id(user_id);
  return request;
}

Event view(const std::string& user_id, const std::string& item_id) {
  Event event;
  event.user_id = user_id;
  event.item_id = item_id;
  event.action = "view";
  return event;
}

std::vector<std::string> ids(const RankResponse& response) {
  std::vector<std::string> result;
  for (const auto& item : response.items) result.push_back(item.item_id);
  return result;
}

/// What `call` is refused with; fails the test when it is not.
InvalidRequest refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidRequest& invalid) {
    return invalid;
  }
  ADD_FAILURE() << "it was not refused";
  return {};
}

TEST_F(Contract, StatusTellsWhatIsServed) {
  Status status;
  (*client)->status(status);
  EXPECT_FALSE(status.version.empty());
  EXPECT_FALSE(status.model_version.empty());
  EXPECT_EQ(status.device, "cpu");
  EXPECT_EQ(status.items, static_cast<std::int64_t>(Shop::kKinds * Shop::kItemsPerKind));
  EXPECT_EQ(status.users, static_cast<std::int64_t>(Shop::kUsers));
  EXPECT_TRUE(status.ready);
  EXPECT_THAT(status.faiss, HasSubstr("Faiss"));
}

TEST_F(Contract, RankAnswersWithTwentyUnseenItemsUnlessToldOtherwise) {
  const auto response = rank(for_user("user-0"));
  EXPECT_THAT(response.items, SizeIs(20));
  EXPECT_FALSE(response.request_id.empty());
  EXPECT_FALSE(response.model_version.empty());
  EXPECT_FALSE(response.degraded);
  EXPECT_FALSE(response.stage_us.empty());
  for (const auto& event : history("user-0")) {
    EXPECT_THAT(ids(response), Not(Contains(event.item_id)));
  }
  for (std::size_t i = 1; i < response.items.size(); ++i) {
    EXPECT_GE(response.items[i - 1].score, response.items[i].score);
  }
}

TEST_F(Contract, CandidatesAreRankedAndNothingElse) {
  auto request = for_user("user-0");
  request.__set_candidates({Shop::id(1, 3), Shop::id(2, 4)});
  request.__set_include_seen(true);
  const auto response = rank(request);
  EXPECT_THAT(ids(response), testing::UnorderedElementsAre(Shop::id(1, 3), Shop::id(2, 4)));
  EXPECT_EQ(response.items[0].source, "candidate");
}

TEST_F(Contract, ASessionNeedsNoUser) {
  RankRequest request;
  request.__set_session({view("", Shop::id(2, 1))});
  request.__set_limit(5);
  EXPECT_THAT(rank(request).items, SizeIs(5));
}

TEST_F(Contract, AnExplanationNamesBehavioursAndPartsOfTheScore) {
  auto request = for_user("user-0");
  request.__set_limit(1);
  request.__set_explain(true);
  const auto response = rank(request);
  ASSERT_THAT(response.items, SizeIs(1));
  ASSERT_TRUE(response.items[0].__isset.explanation);
  const auto& explanation = response.items[0].explanation;
  ASSERT_FALSE(explanation.attention.empty());
  EXPECT_EQ(explanation.attention[0].action, "view");
  double sum = 0;
  for (const auto& [name, value] : explanation.parts) sum += value;
  EXPECT_NEAR(sum, response.items[0].score, 1e-3);
}

TEST_F(Contract, ASearchSaysWhichWordsItFoundAndWhatItSearchedFor) {
  RankRequest request;
  request.__set_query("winged ");
  request.__set_limit(5);
  request.__set_explain(true);
  const auto found = rank(request);
  EXPECT_FALSE(found.__isset.corrected_query);
  ASSERT_TRUE(found.items[0].explanation.__isset.matched_words);
  EXPECT_THAT(found.items[0].explanation.matched_words, testing::ElementsAre("winged"));
  ASSERT_TRUE(found.items[0].explanation.__isset.similarity);
  EXPECT_LE(std::abs(found.items[0].explanation.similarity), 1.001);
  request.__set_query("winged orchestar ");
  EXPECT_EQ(rank(request).corrected_query, "winged orchestra ");
  request.__set_query("orchestar ");
  const auto corrected = rank(request);
  EXPECT_EQ(corrected.corrected_query, "orchestra ");
  EXPECT_THAT(corrected.items[0].explanation.matched_words, testing::ElementsAre("orchestra"));
}

TEST_F(Contract, RankManyAnswersEachInOrder) {
  auto first = for_user("user-0");
  first.__set_limit(3);
  auto second = for_user("user-1");
  second.__set_limit(7);
  std::vector<RankResponse> responses;
  (*client)->rankMany(responses, {first, second});
  ASSERT_THAT(responses, SizeIs(2));
  EXPECT_THAT(responses[0].items, SizeIs(3));
  EXPECT_THAT(responses[1].items, SizeIs(7));
}

TEST_F(Contract, ARecordedEventIsInTheNextRankAndInTheHistory) {
  auto request = for_user("user-0");
  request.__set_limit(1);
  const std::string top = ids(rank(request))[0];
  auto event = view("user-0", top);
  event.__set_time_ms(shop.now_ms);
  event.__set_value(2.5);
  event.__set_event_id("e1");
  event.__set_request_id("r1");
  EXPECT_EQ((*client)->record({event, event}), 1);
  EXPECT_EQ((*client)->record({event}), 0);
  EXPECT_THAT(ids(rank(request)), Not(Contains(top)));
  EXPECT_EQ(history("user-0", 1), std::vector<Event>{event});
}

TEST_F(Contract, AnItemComesBackAsItWasPut) {
  Value text, number, flag, texts;
  text.__set_text("red");
  number.__set_number(1990);
  flag.__set_flag(true);
  texts.__set_texts({"a", "b"});
  Item item;
  item.item_id = "new";
  item.__set_text("a dragon of steam");
  item.__set_attributes({{"colour", text}, {"year", number}, {"new", flag}, {"tags", texts}});
  EXPECT_EQ((*client)->putItems({item}), 1);
  EXPECT_EQ(items({"unknown", "new"}), std::vector<Item>{item});

  RankRequest request;
  request.__set_candidates({"new"});
  EXPECT_THAT(ids(rank(request)), ElementsAre("new"));
}

TEST_F(Contract, ARemovedItemIsGone) {
  const std::string gone = Shop::id(0, 5);
  EXPECT_EQ((*client)->removeItems({gone, "unknown"}), 1);
  EXPECT_THAT(items({gone}), IsEmpty());
  auto request = for_user("user-4");
  request.__set_limit(1000);
  request.__set_include_seen(true);
  EXPECT_THAT(ids(rank(request)), Not(Contains(gone)));
}

TEST_F(Contract, ADeletedUserHasNoHistory) {
  EXPECT_THAT(history("user-0"), Not(IsEmpty()));
  (*client)->deleteUser("user-0");
  EXPECT_THAT(history("user-0"), IsEmpty());
}

struct Change {
  const char* field;
  std::function<void(RankRequest&)> set;
};

TEST_F(Contract, AnExperimentThatNobodyDeclaredCannotBeForced) {
  auto request = for_user("user-0");
  request.__set_variants({{"colour", "b"}});
  const auto refused = refusal([&] { rank(request); });
  EXPECT_EQ(refused.field, "variants");
  EXPECT_THAT(refused.message, HasSubstr("no experiment 'colour'; declared are: none"));
  std::vector<RankResponse> responses;
  const auto in_many =
      refusal([&] { (*client)->rankMany(responses, {for_user("user-1"), request}); });
  EXPECT_EQ(in_many.field, "requests[1].variants");
}

TEST_F(Contract, ADeadlineFarAwayChangesNothing) {
  auto request = for_user("user-0");
  const auto without = ids(rank(request));
  request.__set_deadline_ms(60'000);
  const auto response = rank(request);
  EXPECT_FALSE(response.degraded);
  EXPECT_EQ(ids(response), without);
}

Boost boost(const std::string& filter, double add) {
  Boost result;
  result.filter = filter;
  result.add = add;
  return result;
}
Pin pin(const std::string& item, std::int32_t position) {
  Pin result;
  result.item_id = item;
  result.position = position;
  return result;
}
Cap cap(const std::string& attribute, std::int32_t at_most) {
  Cap result;
  result.attribute = attribute;
  result.at_most = at_most;
  return result;
}

TEST_F(Contract, RulesThatCannotBeFollowedAreRefusedByNameWithWhatIsExpected) {
  struct Refused {
    const char* field;
    const char* expected;
    std::function<void(RankRequest&)> set;
  };
  const std::vector<Refused> cases = {
      {"filter", "a value is expected", [](auto& r) { r.__set_filter("genre = "); }},
      {"boosts[1].filter", "is expected",
       [](auto& r) { r.__set_boosts({boost("has(genre)", 1), boost("genre", 1)}); }},
      {"boosts[0].add", "a number from",
       [](auto& r) { r.__set_boosts({boost("has(genre)", std::nan(""))}); }},
      {"pins[0].item_id", "missing or empty", [](auto& r) { r.__set_pins({pin("", 0)}); }},
      {"pins[0].position", "0 to 9999", [](auto& r) { r.__set_pins({pin("soup-1", -1)}); }},
      {"pins[1].position", "pins[0] is already",
       [](auto& r) { r.__set_pins({pin("soup-1", 2), pin("soup-2", 2)}); }},
      {"pins[1].item_id", "pins[0] pins already",
       [](auto& r) { r.__set_pins({pin("soup-1", 2), pin("soup-1", 3)}); }},
      {"caps[0].attribute", "missing or empty", [](auto& r) { r.__set_caps({cap("", 2)}); }},
      {"caps[0].at_most", "1 or more", [](auto& r) { r.__set_caps({cap("genre", 0)}); }},
      {"diversity", "0 to 1", [](auto& r) { r.__set_diversity(1.5); }},
      {"diversity", "0 to 1", [](auto& r) { r.__set_diversity(std::nan("")); }},
      {"deadline_ms", "1 to 60000", [](auto& r) { r.__set_deadline_ms(0); }},
      {"deadline_ms", "1 to 60000", [](auto& r) { r.__set_deadline_ms(60'001); }},
      {"page_token", "next_page_token", [](auto& r) { r.__set_page_token("2"); }},
  };
  for (const auto& refused : cases) {
    auto request = for_user("user-0");
    refused.set(request);
    const auto one = refusal([&] { rank(request); });
    EXPECT_EQ(one.field, refused.field);
    EXPECT_THAT(one.message, HasSubstr(refused.expected));
    std::vector<RankResponse> responses;
    const auto in_many =
        refusal([&] { (*client)->rankMany(responses, {for_user("user-1"), request}); });
    EXPECT_EQ(in_many.field, std::string("requests[1].") + refused.field);
  }
}

TEST_F(Contract, RulesGoInAndPagesComeBackOverTheWire) {
  Item fresh;
  fresh.item_id = "fresh";
  fresh.__set_text("violin orchestra");
  Value genre;
  genre.__set_text("jazz");
  fresh.__set_attributes({{"genre", genre}});
  (*client)->putItems({fresh});

  auto request = for_user("user-0");
  request.__set_filter("genre = 'jazz'");
  auto response = rank(request);
  ASSERT_EQ(response.items.size(), 1U);
  EXPECT_EQ(response.items[0].item_id, "fresh");
  EXPECT_FALSE(response.__isset.next_page_token);

  request = for_user("user-0");
  request.__set_limit(5);
  request.__set_pins({pin("soup-3", 1)});
  request.__set_boosts({boost("genre = 'jazz'", 1000)});
  response = rank(request);
  ASSERT_EQ(response.items.size(), 5U);
  EXPECT_EQ(response.items[0].item_id, "fresh");
  EXPECT_EQ(response.items[1].item_id, "soup-3");
  EXPECT_EQ(response.items[1].source, "pin");
  std::set<std::string> shown;
  for (int page = 0; page < 3; ++page) {
    for (const auto& item : response.items) EXPECT_TRUE(shown.insert(item.item_id).second);
    ASSERT_TRUE(response.__isset.next_page_token);
    request.__set_page_token(response.next_page_token);
    response = rank(request);
    EXPECT_EQ(response.items.size(), 5U);
  }

  request = for_user("user-0");
  request.__set_candidates({"soup-1", "nowhere", "soup-2", "gone"});
  EXPECT_THAT(rank(request).unknown_candidates, testing::ElementsAre("nowhere", "gone"));
}

TEST_F(Contract, FieldsThatChangeNothingAreTaken) {
  auto request = for_user("user-0");
  request.__set_filter("");
  request.__set_boosts({});
  request.__set_pins({});
  request.__set_caps({});
  request.__set_diversity(0);
  request.__set_page_token("");
  request.__set_variants({});
  request.__set_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_THAT(rank(request).items, SizeIs(20));
}

TEST_F(Contract, ATraceparentIsShortAndPrintable) {
  auto request = for_user("user-0");
  request.__set_traceparent(std::string(513, '0'));
  EXPECT_EQ(refusal([&] { rank(request); }).field, "traceparent");
  request.__set_traceparent("00-\n");
  EXPECT_EQ(refusal([&] { rank(request); }).field, "traceparent");
}

TEST_F(Contract, MistakesInARankRequestNameTheirField) {
  const std::vector<Change> changes = {
      {"limit", [](auto& request) { request.__set_limit(0); }},
      {"limit", [](auto& request) { request.__set_limit(100'000); }},
      {"user_id", [](auto& request) { request.__set_user_id(std::string(513, 'u')); }},
      {"user_id", [](auto& request) { request.__set_user_id("\xff\xfe"); }},
      {"user_id", [](auto& request) { request.__isset.user_id = false; }},
      {"session[0].action",
       [](auto& request) {
         auto event = view("", "dragons-1");
         event.action = "undeclared";
         request.__set_session({event});
       }},
      {"seed_items[1]", [](auto& request) { request.__set_seed_items({"dragons-1", ""}); }},
      {"query", [](auto& request) { request.__set_query(""); }},
      {"candidates",
       [](auto& request) {
         request.__set_candidates(std::vector<std::string>(10'001, "dragons-1"));
       }},
  };
  for (const auto& change : changes) {
    auto request = for_user("user-0");
    change.set(request);
    EXPECT_EQ(refusal([&] { rank(request); }).field, change.field);
  }
}

TEST_F(Contract, MistakesInEventsNameTheirFieldAndRecordNothing) {
  auto good = view("ann", "dragons-1");
  const auto refused_field = [&](const Event& bad) {
    return refusal([&] { (*client)->record({good, bad}); }).field;
  };
  auto undeclared = good;
  undeclared.action = "undeclared";
  EXPECT_EQ(refused_field(undeclared), "events[1].action");
  auto nameless = good;
  nameless.user_id = "";
  EXPECT_EQ(refused_field(nameless), "events[1].user_id");
  auto not_a_number = good;
  not_a_number.__set_value(std::nan(""));
  EXPECT_EQ(refused_field(not_a_number), "events[1].value");
  auto seconds_ago = good;
  seconds_ago.__set_time_ms(-1);
  EXPECT_EQ(refused_field(seconds_ago), "events[1].time_ms");
  EXPECT_THAT(history("ann"), IsEmpty());
}

TEST_F(Contract, MistakesInItemsNameTheirFieldAndPutNothing) {
  Item good;
  good.item_id = "good";
  const auto refused_field = [&](const Item& bad) {
    return refusal([&] { (*client)->putItems({good, bad}); }).field;
  };
  Item empty_value = good;
  empty_value.__set_attributes({{"colour", Value()}});
  EXPECT_EQ(refused_field(empty_value), "items[1].attributes");
  Item two_values = good;
  Value both;
  both.__set_text("a");
  both.__set_number(1);
  two_values.__set_attributes({{"colour", both}});
  EXPECT_EQ(refused_field(two_values), "items[1].attributes");
  Item infinite = good;
  infinite.__set_embedding({std::numeric_limits<double>::infinity()});
  EXPECT_EQ(refused_field(infinite), "items[1].embedding");
  Item too_large = good;
  too_large.__set_embedding({1e300});
  EXPECT_EQ(refused_field(too_large), "items[1].embedding");
  EXPECT_THAT(items({"good"}), IsEmpty());
}

TEST_F(Contract, AnEventOfAnUnknownItemIsKept) {
  EXPECT_EQ((*client)->record({view("ann", "later")}), 1);
  EXPECT_THAT(history("ann"), SizeIs(1));
  auto request = for_user("ann");
  EXPECT_THAT(rank(request).items, Not(IsEmpty()));
}

TEST(ReadOnly, WhatTheStoreCannotDoIsUnavailable) {
  Shop shop;
  shop.stock(*shop.open());
  auto options = shop.options();
  options.access = storage::Access::kReadOnly;
  const auto engine = engine::Engine::open(shop.directory(), options);
  Server server(*engine, {.port = 0, .threads = 1});
  server.start();
  Client client({"127.0.0.1", server.port()});
  try {
    client->record({view("ann", "dragons-1")});
    FAIL() << "it was recorded";
  } catch (const Unavailable& unavailable) {
    EXPECT_FALSE(unavailable.message.empty());
  }
}

}  // namespace
}  // namespace fovea::api
