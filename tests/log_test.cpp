// What the log writes is one line each, whatever a field holds: JSON that a parser takes, text
// whose fields cannot pose as others.
#include "api/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/json.hpp>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/request_log.h"

namespace fovea::api {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// What stderr gets of what `log()` logs.
template <typename Log>
std::vector<std::string> logged(LogFormat format, Log log) {
  CaptureStderr();
  {
    const BackgroundLog background(format);
    log();
  }
  return lines_of(GetCapturedStderr());
}

using namespace std::string_literals;

const std::string kHostile = "a\"b\\c\nd\r\0e\x1b[31m\xff\xc3\xe2\x80\xa8 level=error\t"s;

TEST(Log, AJsonLineHasTimeLevelMessageAndFields) {
  const auto lines = logged(LogFormat::kJson, [] {
    const std::array fields = {LogField{"name", std::string_view("value")},
                               LogField{"count", std::int64_t{3}}, LogField{"took", 1.5}};
    log_line(LogLevel::kWarning, "what happened", fields);
  });
  ASSERT_EQ(lines.size(), 1U);
  const json::object line = json::parse(lines[0]).as_object();
  EXPECT_EQ(line.at("level"), "warning");
  EXPECT_EQ(line.at("message"), "what happened");
  EXPECT_EQ(line.at("name"), "value");
  EXPECT_EQ(line.at("count"), 3);
  EXPECT_EQ(line.at("took"), 1.5);
  EXPECT_THAT(std::string(line.at("time").as_string()),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z"));
}

TEST(Log, WhatAFieldHoldsEndsNoLineAndAddsNoMember) {
  const auto lines = logged(LogFormat::kJson, [] {
    const std::array fields = {LogField{"user", kHostile}};
    log_line(LogLevel::kInfo, kHostile, fields);
    spdlog::info("{}", kHostile);
  });
  ASSERT_EQ(lines.size(), 2U);
  for (const auto& text : lines) {
    const json::object line = json::parse(text).as_object();
    EXPECT_THAT(std::string(line.at("message").as_string()), HasSubstr("a\"b\\c\nd\r"));
    EXPECT_EQ(line.at("level"), "info");
  }
  EXPECT_EQ(json::parse(lines[0]).as_object().size(), 4U);
  EXPECT_EQ(json::parse(lines[1]).as_object().size(), 3U);
}

TEST(Log, AnyBytesMakeAStringThatParses) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    std::string text;
    append_json_string(text, bytes);
    boost::system::error_code error;
    const auto value = json::parse(text, error);
    ASSERT_FALSE(error) << text;
    ASSERT_TRUE(value.is_string());
    for (const char c : text) ASSERT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

TEST(Log, ValidTextComesThroughAsItWas) {
  for (const std::string text : {"", "a b", "tr\xc3\xa4in \xf0\x9f\x9a\x82", "\n\t\"\\"}) {
    std::string quoted;
    append_json_string(quoted, text);
    EXPECT_EQ(json::parse(quoted).as_string(), text);
  }
}

TEST(Log, ATextLineKeepsItsFieldsApart) {
  const auto lines = logged(LogFormat::kText, [] {
    const std::array fields = {LogField{"id", std::string_view("a1")},
                               LogField{"user", std::string_view("x\nlevel=error y")}};
    log_line(LogLevel::kError, "request", fields);
  });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0], HasSubstr(R"(error request id=a1 user="x\u000alevel=error y")"));
}

TEST(Log, AllLinesAreWrittenBeforeTheLogEnds) {
  const auto lines = logged(LogFormat::kJson, [] {
    for (int i = 0; i < 1000; ++i) spdlog::info("line {}", i);
  });
  ASSERT_EQ(lines.size(), 1000U);
  EXPECT_EQ(json::parse(lines[999]).as_object().at("message"), "line 999");
}

TEST(RequestLog, WhichRequestsAreLoggedIsReadStrictly) {
  EXPECT_FALSE(parse_log_requests("none").any());
  EXPECT_TRUE(parse_log_requests("all").all);
  EXPECT_EQ(parse_log_requests("slow:50").slow, std::chrono::milliseconds{50});
  EXPECT_EQ(parse_log_requests("slow:0").slow, std::chrono::milliseconds{0});
  for (const auto* text : {"", "ALL", "slow", "slow:", "slow:-1", "slow:5ms", "slow:600001"}) {
    EXPECT_THROW(parse_log_requests(text), std::invalid_argument) << text;
  }
}

RequestLine line_that_took(std::chrono::milliseconds time, RequestOutcome outcome) {
  RequestLine line;
  line.method = "rank";
  line.request_id = "id";
  line.outcome = outcome;
  line.answered = line.received + time;
  return line;
}

TEST(RequestLog, SlowFailedAndDegradedRequestsAreLoggedAndQuickGoodOnesNot) {
  using std::chrono::milliseconds;
  const RequestLogOptions options{.slow = milliseconds{50}};
  const auto lines = logged(LogFormat::kJson, [&] {
    log_request(options, line_that_took(milliseconds{49}, RequestOutcome::kOk));
    log_request(options, line_that_took(milliseconds{1}, RequestOutcome::kInvalid));
    log_request(options, line_that_took(milliseconds{50}, RequestOutcome::kOk));
    log_request(options, line_that_took(milliseconds{1}, RequestOutcome::kDegraded));
    log_request(options, line_that_took(milliseconds{1}, RequestOutcome::kOverloaded));
    log_request(options, line_that_took(milliseconds{1}, RequestOutcome::kUnavailable));
    log_request(options, line_that_took(milliseconds{1}, RequestOutcome::kFailed));
  });
  std::vector<std::string> outcomes;
  for (const auto& line : lines) {
    outcomes.emplace_back(json::parse(line).as_object().at("outcome").as_string());
  }
  EXPECT_THAT(outcomes,
              testing::ElementsAre("ok", "degraded", "overloaded", "unavailable", "failed"));
}

}  // namespace
}  // namespace fovea::api
