// Whatever is wrong with a request is refused with its field's name and a sentence.
#include "engine/request.h"

#include <gmock/gmock.h>

#include <functional>
#include <limits>

#include "storage/keys.h"

namespace fovea::engine {
namespace {

using testing::HasSubstr;

/// The field a check complains about; "" when it does not.
std::string refused_field(const std::function<void()>& check) {
  try {
    check();
    return "";
  } catch (const InvalidRequest& invalid) {
    EXPECT_NE(std::string(invalid.what()), "");
    return invalid.field;
  }
}

std::string refused_field(const RankRequest& request) {
  return refused_field([&] { validate(request); });
}
std::string refused_field(const Event& event) {
  return refused_field([&] { validate(event, "events[3]."); });
}
std::string refused_field(const Item& item) {
  return refused_field([&] { validate(item, "items[0]."); });
}

Event good_event() { return {"u", "i", "view", 1, 2.5, "e", "r"}; }

RankRequest good_request() {
  RankRequest request;
  request.user_id = "u";
  return request;
}

TEST(RequestTest, GoodOnesPass) {
  EXPECT_EQ(refused_field(good_event()), "");
  EXPECT_EQ(refused_field(good_request()), "");
  Item item;
  item.item_id = "naïve-☃";
  item.text = "";
  item.attributes = {{"year", 1999.0}, {"tags", std::vector<std::string>{"a", "b"}}, {"new", true}};
  item.embedding = {{0.5F, -1.0F}};
  EXPECT_EQ(refused_field(item), "");
}

TEST(RequestTest, ALimitOutsideItsRangeIsRefused) {
  for (const std::int32_t limit : {0, -1, 1001, 100'000}) {
    auto request = good_request();
    request.limit = limit;
    EXPECT_EQ(refused_field(request), "limit") << limit;
    EXPECT_THROW(
        {
          try {
            validate(request);
          } catch (const InvalidRequest& invalid) {
            EXPECT_THAT(invalid.what(), HasSubstr(std::to_string(limit)));
            EXPECT_THAT(invalid.what(), HasSubstr("1 to 1000"));
            throw;
          }
        },
        InvalidRequest);
  }
  for (const std::int32_t limit : {1, 1000}) {
    auto request = good_request();
    request.limit = limit;
    EXPECT_EQ(refused_field(request), "");
  }
}

TEST(RequestTest, NothingToRankByIsRefusedAndAnEmptyCandidateListIsSomething) {
  EXPECT_EQ(refused_field(RankRequest{}), "user_id");
  RankRequest request;
  request.candidates.emplace();
  EXPECT_EQ(refused_field(request), "");
}

TEST(RequestTest, IdsAreOneTo512BytesOfUtf8) {
  auto event = good_event();
  event.item_id = std::string(storage::kIdBytesMax, 'x');
  EXPECT_EQ(refused_field(event), "");
  event.item_id += "x";
  EXPECT_EQ(refused_field(event), "events[3].item_id");
  event.item_id = "";
  EXPECT_EQ(refused_field(event), "events[3].item_id");
  // A stray continuation, an overlong slash, a surrogate, a cut sequence, beyond the last code
  // point.
  for (const char* bad :
       {"a\x80", "\xC0\xAF", "\xED\xA0\x80", "snow\xE2\x98", "\xF4\x90\x80\x80"}) {
    event = good_event();
    event.user_id = bad;
    EXPECT_EQ(refused_field(event), "events[3].user_id");
  }
  event = good_event();
  event.event_id = "";
  EXPECT_EQ(refused_field(event), "events[3].event_id");
  event = good_event();
  event.request_id = "\xFF";
  EXPECT_EQ(refused_field(event), "events[3].request_id");
}

TEST(RequestTest, NumbersThatAreNotFiniteAreRefused) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    auto event = good_event();
    event.value = bad;
    EXPECT_EQ(refused_field(event), "events[3].value");
    Item item;
    item.item_id = "i";
    item.attributes["price"] = bad;
    EXPECT_EQ(refused_field(item), "items[0].attributes.price");
    item.attributes.clear();
    item.embedding = {{1.0F, static_cast<float>(bad)}};
    EXPECT_EQ(refused_field(item), "items[0].embedding");
  }
}

TEST(RequestTest, TimesFarOffAreRefused) {
  auto event = good_event();
  for (const std::int64_t bad : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                                 std::numeric_limits<std::int64_t>::max()}) {
    event.time_ms = bad;
    EXPECT_EQ(refused_field(event), "events[3].time_ms");
  }
}

TEST(RequestTest, ItemsBeyondTheirLimitsAreRefused) {
  Item item;
  item.item_id = "i";
  item.text = std::string(kTextBytesMax + 1, 'x');
  EXPECT_EQ(refused_field(item), "items[0].text");
  item.text = "\xFF";
  EXPECT_EQ(refused_field(item), "items[0].text");
  item.text.reset();
  item.embedding.emplace(kEmbeddingWidthMax + 1, 0.5F);
  EXPECT_EQ(refused_field(item), "items[0].embedding");
  item.embedding.emplace();
  EXPECT_EQ(refused_field(item), "items[0].embedding");
  item.embedding.reset();
  for (std::size_t i = 0; i <= kAttributesMax; ++i) item.attributes[std::to_string(i)] = true;
  EXPECT_EQ(refused_field(item), "items[0].attributes");
  item.attributes = {{"tags", std::vector<std::string>{"good", "\xFF"}}};
  EXPECT_EQ(refused_field(item), "items[0].attributes.tags");
}

TEST(RequestTest, ListsBeyondTheirLimitsAreRefused) {
  auto request = good_request();
  request.session.assign(kSessionEventsMax + 1, good_event());
  EXPECT_EQ(refused_field(request), "session");
  request = good_request();
  request.seed_items.assign(kSeedItemsMax + 1, "i");
  EXPECT_EQ(refused_field(request), "seed_items");
  request = good_request();
  request.candidates.emplace(kCandidatesMax + 1, "i");
  EXPECT_EQ(refused_field(request), "candidates");
  request = good_request();
  request.exclude_items.assign(kExcludeItemsMax + 1, "i");
  EXPECT_EQ(refused_field(request), "exclude_items");
  request = good_request();
  request.exclude_items = {"i", ""};
  EXPECT_EQ(refused_field(request), "exclude_items[1]");
  request = good_request();
  request.query = std::string(kQueryBytesMax + 1, 'x');
  EXPECT_EQ(refused_field(request), "query");
  request.query = "";
  EXPECT_EQ(refused_field(request), "query");
}

TEST(RequestTest, ASessionNeedsNoUser) {
  auto request = good_request();
  request.session = {good_event()};
  request.session[0].user_id = "";
  EXPECT_EQ(refused_field(request), "");
  request.session[0].item_id = "";
  EXPECT_EQ(refused_field(request), "session[0].item_id");
}

}  // namespace
}  // namespace fovea::engine
