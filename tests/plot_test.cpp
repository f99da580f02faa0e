// The page of a training shows every stage and needs nothing but itself.
#include "api/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace fovea::api {
namespace {

using testing::HasSubstr;
using testing::Not;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

engine::LearnResult result() {
  engine::LearnResult result;
  result.version = "20260101T000000.000Z";
  result.items = 80;
  result.users = 60;
  result.behaviours = 600;
  result.log = {{"encoder for the ranker", 1, 6.5, 0.1, 0.5, 1},
                {"encoder for the ranker", 2, 5.5, 0.2, 0.5, 2},
                {"encoder for the ranker", 3, 5.0, 0.15, 0.5, 2},
                {"ranker", 1, 2.5, 0.3, 0.25, 0},
                {"encoder", 1, 6.0, {}, 0.5, 1},
                {"encoder", 2, 5.0, {}, 0.5, 2}};
  return result;
}

TEST(Plot, EveryStageHasItsChartsAndItsKeptEpoch) {
  const std::string page = training_page(result(), {});
  EXPECT_THAT(page, HasSubstr("<h1>Training of version 20260101T000000.000Z</h1>"));
  EXPECT_THAT(page, HasSubstr("600 behaviours of 60 users over 80 items"));
  EXPECT_EQ(count(page, "<h2>"), 4U);  // three stages and the options
  EXPECT_EQ(count(page, "<svg"), 8U);  // the last stage was not validated
  EXPECT_THAT(page, HasSubstr("epoch 2 was kept"));
  EXPECT_THAT(page, HasSubstr("none was better than what it began with"));
  EXPECT_THAT(page, HasSubstr("nothing was held out to validate on"));
  EXPECT_THAT(page, HasSubstr("<title>epoch 3: ndcg@10 0.1500</title>"));
  EXPECT_THAT(page, HasSubstr("<dt>learning rate</dt><dd>0.001</dd>"));
  EXPECT_EQ(count(page, "<section>"), count(page, "</section>"));
}

TEST(Plot, NothingIsLoadedAndNothingRuns) {
  const std::string page = training_page(result(), {});
  for (const char* foreign : {"http", "<script", "<link", "<img", "@import", "url("}) {
    EXPECT_THAT(page, Not(HasSubstr(foreign)));
  }
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
}

TEST(Plot, AnyNumbersMakeAPage) {
  engine::LearnResult odd = result();
  odd.log = {{"a & b <c>", 1, std::numeric_limits<double>::quiet_NaN(), 0.0, 0.0, 1},
             {"flat", 1, 0.0, 0.5, 0.0, 1},
             {"flat", 2, 0.0, 0.5, 0.0, 1}};
  const std::string page = training_page(odd, {});
  EXPECT_THAT(page, HasSubstr("a &amp; b &lt;c>"));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  EXPECT_THAT(page, Not(HasSubstr("inf")));
  odd.log.clear();
  EXPECT_THAT(training_page(odd, {}), HasSubstr("No epoch was trained"));
}

}  // namespace
}  // namespace fovea::api
