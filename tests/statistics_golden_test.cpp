// 200 random experiments agree with what SciPy and statsmodels said of them
// (golden/statistics.json, written by statistics_reference.py), and the published numbers are met
// to their last printed digit.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "api/analysis.h"
#include "engine/power.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

constexpr double kTolerance = 1e-9;

json::array golden() {
  std::ifstream file(FOVEA_SOURCE_DIR "/tests/golden/statistics.json");
  std::ostringstream text;
  text << file.rdbuf();
  return json::parse(text.str()).as_array();
}

/// As statistics_reference.py compares: as a share of the number, of .001 where it is smaller.
void expect_near(const json::value& expected, const json::value& found, const std::string& where) {
  if (expected.is_object()) {
    for (const auto& [key, value] : expected.as_object()) {
      const std::string path = where + "." + std::string(key);
      ASSERT_TRUE(found.as_object().contains(key)) << path;
      expect_near(value, found.at(key), path);
    }
  } else if (expected.is_array()) {
    ASSERT_EQ(expected.as_array().size(), found.as_array().size()) << where;
    for (std::size_t i = 0; i < expected.as_array().size(); ++i) {
      expect_near(expected.at(i), found.at(i), where + "[" + std::to_string(i) + "]");
    }
  } else if (expected.is_number()) {
    const auto number = expected.to_number<double>();
    EXPECT_NEAR(found.to_number<double>(), number, kTolerance * std::max(std::abs(number), 1e-3))
        << where;
  } else {
    EXPECT_EQ(expected, found) << where;
  }
}

json::object power(const json::object& asked) {
  engine::PowerOptions options;
  options.deviation = asked.at("deviation").to_number<double>();
  options.alpha = asked.at("alpha").to_number<double>();
  options.power = asked.at("power").to_number<double>();
  if (const auto* users = asked.if_contains("users")) {
    return {{"effect", engine::detectable_effect(users->as_int64(), options)}};
  }
  return {
      {"users_per_arm", engine::users_per_arm(asked.at("effect").to_number<double>(), options)}};
}

TEST(Statistics, AgreeWithScipyAndStatsmodels) {
  const json::array cases = golden();
  ASSERT_EQ(cases.size(), 200U);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const json::object& entry = cases[i].as_object();
    const auto* asked = entry.if_contains("power");
    const json::object found =
        asked ? power(asked->as_object()) : analyze(entry.at("summary").as_object());
    expect_near(entry.at("expected"), found, "case " + std::to_string(i));
  }
}

json::object analyze_text(const std::string& text) {
  return analyze(json::parse(text).as_object());
}

/// A number as it was printed: with so many decimals.
double round_to(double value, int decimals) {
  const double unit = std::pow(10, decimals);
  return std::round(value * unit) / unit;
}

void expect_estimate(const json::object& found, double estimate, double standard_error, double low,
                     double high, double p_value) {
  EXPECT_DOUBLE_EQ(round_to(found.at("estimate").as_double(), 5), estimate);
  EXPECT_DOUBLE_EQ(round_to(found.at("standard_error").as_double(), 5), standard_error);
  EXPECT_DOUBLE_EQ(round_to(found.at("ci").at(0).as_double(), 5), low);
  EXPECT_DOUBLE_EQ(round_to(found.at("ci").at(1).as_double(), 5), high);
  EXPECT_DOUBLE_EQ(round_to(found.at("p_value").as_double(), 5), p_value);
}

const std::string kTreatment =
    R"("treatment": {"n": 3461, "sum": 2422.7, "sum_squares": 134698.29)";

TEST(PublishedNumbers, OfWelchAreMet) {
  const std::string arms =
      R"("control": {"n": 3407, "sum": 1396.87, "sum_squares": 52377.9767}, )" + kTreatment + "}";
  expect_estimate(analyze_text("{" + arms + R"(, "difference": "relative"})"), .70732, .37879,
                  -.03526, 1.44989, .06191);
  expect_estimate(analyze_text("{" + arms + R"(, "difference": "absolute"})"), .29, .12478, .04538,
                  .53462, .02016);
}

// As GrowthBook's tests have them, which cite the same equations.
TEST(PublishedNumbers, OfTheConfidenceSequenceAreMet) {
  const std::string control = R"("control": {"n": 3000, "sum": 1396.87, "sum_squares": 52377.9767)";
  expect_estimate(
      analyze_text("{" + control + "}, " + kTreatment + R"(}, "sequential": {"tuning": 1000}})"),
      .50336, .33341, -.55844, 1.56516, 1);
  const json::object adjusted = analyze_text(
      "{" + control +
      R"(, "pre_sum": 16.87, "pre_sum_squares": 527.9767, "post_pre_sum_of_products": 1}, )" +
      kTreatment +
      R"(, "pre_sum": 22.7, "pre_sum_squares": 1348.29, "post_pre_sum_of_products": 1},
         "sequential": {"tuning": 5000}})");
  EXPECT_DOUBLE_EQ(round_to(adjusted.at("estimate").as_double(), 5), .50338);
  EXPECT_DOUBLE_EQ(round_to(adjusted.at("ci").at(0).as_double(), 5), -.50969);
  EXPECT_DOUBLE_EQ(round_to(adjusted.at("ci").at(1).as_double(), 5), 1.51646);
}

TEST(PublishedNumbers, OfTheSampleRatioAreMet) {
  const auto p_value = [](const std::string& text) {
    return analyze_text(text).at("sample_ratio").at("p_value").as_double();
  };
  EXPECT_DOUBLE_EQ(
      round_to(p_value(R"({"sample_ratio": {"units": [1000, 1200], "weights": [0.5, 0.5]}})"), 9),
      .000020079);
  EXPECT_DOUBLE_EQ(
      round_to(p_value(R"({"sample_ratio": {"units": [310, 98], "weights": [0.75, 0.25]}})"), 9),
      .647434186);
}

TEST(PublishedNumbers, OfHolmAreMet) {
  const json::object found = analyze_text(R"({"p_values": [0.01, 0.04, 0.03, 0.005, 0.55, 0.6]})");
  const std::vector<double> expected = {.05, .12, .12, .03, 1, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_DOUBLE_EQ(found.at("holm").at(i).as_double(), expected[i]);
  }
}

}  // namespace
}  // namespace fovea::api
