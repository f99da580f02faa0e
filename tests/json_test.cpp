// Items and events in JSON: what is read comes back, what is wrong is named.
#include "api/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fovea::api {
namespace {

using engine::InvalidRequest;
using testing::ElementsAre;
using testing::HasSubstr;

engine::Item item(std::string_view text) { return item_from_json(parse_object(text)); }
engine::Event event(std::string_view text) { return event_from_json(parse_object(text)); }

/// The sentence that the reading of `text` is refused with.
template <typename Read>
std::string refusal(Read read, std::string_view text, const std::string& field) {
  try {
    read(text);
  } catch (const InvalidRequest& error) {
    EXPECT_EQ(error.field, field);
    return error.what();
  }
  ADD_FAILURE() << "was taken: " << text;
  return {};
}

TEST(JsonItem, EveryFieldIsRead) {
  const engine::Item read = item(
      R"({"item_id":"a","text":"Täxt","attributes":{"genre":["x","y"],"year":1995,
          "price":1.5,"new":true,"by":"me"},
          "embedding":[1,-0.5,2e-3]})");
  EXPECT_EQ(read.item_id, "a");
  EXPECT_EQ(read.text, "Täxt");
  EXPECT_THAT(std::get<std::vector<std::string>>(read.attributes.at("genre")),
              ElementsAre("x", "y"));
  EXPECT_EQ(std::get<double>(read.attributes.at("year")), 1995);
  EXPECT_EQ(std::get<double>(read.attributes.at("price")), 1.5);
  EXPECT_TRUE(std::get<bool>(read.attributes.at("new")));
  EXPECT_EQ(std::get<std::string>(read.attributes.at("by")), "me");
  EXPECT_THAT(*read.embedding, ElementsAre(1, -0.5, 2e-3F));
}

TEST(JsonItem, WhatIsWrittenIsReadBack) {
  const std::string text =
      R"({"item_id":"a","text":"\"\n","attributes":{"genre":["x"],"new":false,"year":1.995E3},)"
      R"("embedding":[5E-1]})";
  EXPECT_EQ(boost::json::serialize(to_json(item(text))), text);
}

TEST(JsonEvent, WhatIsWrittenIsReadBack) {
  const std::string text = R"({"user_id":"u","item_id":"a","action":"view","time_ms":874965478000,)"
                           R"("value":5E0,"event_id":"e","request_id":"r"})";
  EXPECT_EQ(boost::json::serialize(to_json(event(text))), text);
}

TEST(JsonEvent, NullAndAbsentAreTheSame) {
  const engine::Event read = event(R"({"user_id":"u","item_id":"a","action":"v","time_ms":null})");
  EXPECT_FALSE(read.time_ms.has_value());
  EXPECT_FALSE(read.value.has_value());
}

TEST(JsonEvent, AWholeNumberMayBeWrittenAsADouble) {
  EXPECT_EQ(event(R"({"time_ms":8.74965478e11})").time_ms, 874965478000);
}

TEST(Json, AWrongTypeIsNamedWithWhatIsExpected) {
  EXPECT_EQ(refusal(item, R"({"item_id":168})", "item_id"),
            "item_id is the number 168; a string is expected");
  EXPECT_EQ(refusal(event, R"({"time_ms":"yesterday"})", "time_ms"),
            "time_ms is the string \"yesterday\"; a whole number is expected");
  EXPECT_EQ(refusal(event, R"({"time_ms":1.5})", "time_ms"),
            "time_ms is the number 1.5; a whole number is expected");
  EXPECT_EQ(refusal(event, R"({"time_ms":18446744073709551615})", "time_ms"),
            "time_ms is the number 1.8446744073709552e+19; a whole number is expected");
  EXPECT_EQ(refusal(event, R"({"value":[1]})", "value"), "value is a list; a number is expected");
  EXPECT_EQ(refusal(item, R"({"attributes":[]})", "attributes"),
            "attributes is a list; an object of names and values is expected");
  EXPECT_THAT(refusal(item, R"({"attributes":{"a":{"b":1}}})", "attributes.a"),
              HasSubstr("attributes.a is an object"));
  EXPECT_THAT(refusal(item, R"({"attributes":{"a":["b",1]}})", "attributes.a"),
              HasSubstr("a list of strings only is expected"));
  EXPECT_THAT(refusal(item, R"({"embedding":[1,"2"]})", "embedding"),
              HasSubstr("embedding is the string \"2\""));
}

TEST(Json, AnUnknownFieldIsNamedWithThoseThereAre) {
  EXPECT_EQ(refusal(event, R"({"timestamp":5})", "timestamp"),
            "\"timestamp\" is not a field of an event; its fields are user_id, item_id, action, "
            "time_ms, value, event_id and request_id");
  EXPECT_THAT(refusal(item, R"({"title":"x"})", "title"), HasSubstr("not a field of an item"));
}

TEST(Json, WhatIsNotOneObjectIsRefusedWithTheByte) {
  EXPECT_THAT(refusal(item, "{\"item_id\": oops}", ""), HasSubstr("syntax error at byte 12"));
  EXPECT_THAT(refusal(item, "{\"item_id\": \"a\"", ""), HasSubstr("incomplete"));
  EXPECT_THAT(refusal(item, "{} {}", ""), HasSubstr("extra data at byte 3"));
  EXPECT_THAT(refusal(item, "[1]", ""), HasSubstr("this is a list; a JSON object is expected"));
  EXPECT_THAT(refusal(item, "", ""), HasSubstr("not one JSON object"));
  EXPECT_THAT(refusal(item, "{\"item_id\":\"\xff\"}", ""), HasSubstr("not one JSON object"));
  EXPECT_THAT(refusal(item, "{\"item_id\":NaN}", ""), HasSubstr("not one JSON object"));
}

TEST(Json, NestingAndLengthAreBounded) {
  EXPECT_THAT(refusal(item, R"({"attributes":{"a":[[[["x"]]]]}})", ""), HasSubstr("too deep"));
  EXPECT_THAT(refusal(item, std::string(kJsonBytesMax + 1, ' '), ""),
              HasSubstr("1048577 bytes long; at most 1048576"));
}

}  // namespace
}  // namespace fovea::api
