// Filter expressions: what is accepted and how it binds, what is refused and with which sentence,
// what a comparison says about a value.
#include "engine/filter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/request.h"

namespace fovea::engine {
namespace {

std::string canonical(std::string_view text) { return Filter::parse(text, "filter").to_string(); }

/// The sentence of the refusal, whose field must be "filter"; "" when there is none.
std::string refusal(std::string_view text) {
  try {
    Filter::parse(text, "filter");
    return "";
  } catch (const InvalidRequest& invalid) {
    EXPECT_EQ(invalid.field, "filter");
    return invalid.what();
  }
}

std::string repeated(std::string_view part, std::size_t times) {
  std::string result;
  for (std::size_t i = 0; i < times; ++i) result += part;
  return result;
}

TEST(FilterTest, BindsNotTighterThanAndTighterThanOr) {
  EXPECT_EQ(canonical("a = 1 or b = 2 and c = 3"), "a = 1 or b = 2 and c = 3");
  EXPECT_EQ(canonical("a = 1 or (b = 2 and c = 3)"), "a = 1 or b = 2 and c = 3");
  EXPECT_EQ(canonical("(a = 1 or b = 2) and c = 3"), "(a = 1 or b = 2) and c = 3");
  EXPECT_EQ(canonical("not a < 1 and b = 2"), "not a < 1 and b = 2");
  EXPECT_EQ(canonical("not (a < 1 and b = 2)"), "not (a < 1 and b = 2)");
  EXPECT_EQ(canonical("a = 1 and (b = 2 and c = 3)"), "a = 1 and b = 2 and c = 3");
}

TEST(FilterTest, StepsAreThePostfixOfTheExpression) {
  using Step = Filter::Step;
  const auto filter = Filter::parse("a = 1 or not has(b) and c != 'x'", "filter");
  EXPECT_EQ(std::vector(filter.steps().begin(), filter.steps().end()),
            (std::vector{Step::kCompare, Step::kCompare, Step::kNot, Step::kCompare, Step::kNot,
                         Step::kAnd, Step::kOr}));
  EXPECT_EQ(filter.stack_max(), 3U);
  ASSERT_EQ(filter.comparisons().size(), 3U);
  EXPECT_EQ(filter.comparisons()[1].attribute, "b");
  EXPECT_EQ(filter.comparisons()[1].test, Filter::Test::kHas);
  EXPECT_EQ(filter.comparisons()[2].test, Filter::Test::kEqual);
  EXPECT_EQ(filter.comparisons()[2].values, (std::vector<Filter::Value>{"x"}));
}

TEST(FilterTest, OneTextStandsForEverySpelling) {
  EXPECT_EQ(canonical("  GENRE='Comedy'\tAnD\n(year>=1990.0)  "),
            "GENRE = 'Comedy' and year >= 1990");
  EXPECT_EQ(canonical("((((a = 1))))"), "a = 1");
  EXPECT_EQ(canonical("not not a = 1"), "a = 1");
  EXPECT_EQ(canonical("not a = 1"), "a != 1");
  EXPECT_EQ(canonical("NOT a != 1"), "a = 1");
  EXPECT_EQ(canonical("not not not has(a)"), "not has(a)");
  EXPECT_EQ(canonical("a in ('y', 2, \"x\", true, 1, 'x', 1.0)"), "a in (1, 2, true, 'x', 'y')");
  EXPECT_EQ(canonical("a in (7)"), "a = 7");
  EXPECT_EQ(canonical("not a in (7)"), "a != 7");
  EXPECT_EQ(canonical("not a in (7, 8)"), "not a in (7, 8)");
  EXPECT_EQ(canonical("`a` = 1"), "a = 1");
}

TEST(FilterTest, NumbersInEveryForm) {
  EXPECT_EQ(canonical("a=-5"), "a = -5");
  EXPECT_EQ(canonical("a>-0.5"), "a > -0.5");
  EXPECT_EQ(canonical("a<1e3"), "a < 1000");
  EXPECT_EQ(canonical("a<2.5E-3"), "a < 0.0025");
  EXPECT_EQ(canonical("a<1e+300"), "a < 1e+300");
  EXPECT_EQ(canonical("a = 007"), "a = 7");
  EXPECT_EQ(canonical("a = -0"), "a = 0");
  EXPECT_EQ(canonical("a = 0.1"), "a = 0.1");
}

TEST(FilterTest, TextsWithQuotesInEitherKind) {
  EXPECT_EQ(canonical("a = 'it''s'"), "a = 'it''s'");
  EXPECT_EQ(canonical("a = \"it's \"\"so\"\"\""), "a = 'it''s \"so\"'");
  EXPECT_EQ(canonical("a = ''"), "a = ''");
  EXPECT_EQ(canonical("a = ' and '"), "a = ' and '");
}

TEST(FilterTest, NamesOfLettersOfAnyScriptAndOthersInBackticks) {
  EXPECT_EQ(canonical("größe = 1 and жанр = 'x' and _a.b-c9 = 2"),
            "größe = 1 and жанр = 'x' and _a.b-c9 = 2");
  EXPECT_EQ(canonical("`release year` = 1 and has(`in`) and `9` = 1 and `a``b` = 1"),
            "`release year` = 1 and has(`in`) and `9` = 1 and `a``b` = 1");
  EXPECT_EQ(canonical("inside = 1 and nothing = 2"), "inside = 1 and nothing = 2");
}

TEST(FilterTest, ARefusalNamesThePositionAndWhatIsExpected) {
  constexpr auto kAttribute =
      " an attribute, has, not or ( is expected (as in genre = 'Comedy'), and ";
  const auto attribute = [&](int at, const std::string& there) {
    return "filter: at " + std::to_string(at) + kAttribute + there;
  };
  EXPECT_EQ(refusal(""), attribute(1, "the expression ends there"));
  EXPECT_EQ(refusal("  "), attribute(3, "the expression ends there"));
  EXPECT_EQ(refusal("a = 1 and"), attribute(10, "the expression ends there"));
  EXPECT_EQ(refusal("a = 1 or or b = 1"), attribute(10, "there is 'or'"));
  EXPECT_EQ(refusal("1990 <= year"), attribute(1, "there is '1990'"));
  EXPECT_EQ(refusal("'Comedy' = genre"), attribute(1, "there is 'Comedy'"));
  EXPECT_EQ(refusal("(a = 1) and ()"), attribute(14, "there is ')'"));
  EXPECT_EQ(refusal("year = 1990 and and"), attribute(17, "there is 'and'"));

  constexpr auto kValue = " a value is expected (a number, 'text', true or false), and there is ";
  EXPECT_EQ(refusal("a = 1 and year = and"), std::string("filter: at 18") + kValue + "'and'");
  EXPECT_EQ(refusal("genre = Comedy"), std::string("filter: at 9") + kValue + "'Comedy'");
  EXPECT_EQ(refusal("a == 1"), std::string("filter: at 4") + kValue + "'='");
  EXPECT_EQ(refusal("genre = “Comedy”"), std::string("filter: at 9") + kValue + "'“'");
  EXPECT_EQ(refusal("a in (1, )"), std::string("filter: at 10") + kValue + "')'");
  EXPECT_EQ(refusal("größe = x"), std::string("filter: at 11") + kValue + "'x'");  // in bytes
  EXPECT_EQ(refusal("a < ("),
            "filter: at 5 a value is expected (a number or 'text'), and there is '('");
  EXPECT_EQ(refusal("a >= TRUE"),
            "filter: at 6 a value that has an order is expected (a number or 'text'), and there is "
            "'TRUE'");

  EXPECT_EQ(refusal("genre"),
            "filter: at 6 =, !=, <, <=, >, >= or in is expected, and the expression ends there");
  EXPECT_EQ(refusal("a not in (1)"),
            "filter: at 3 =, !=, <, <=, >, >= or in is expected, and there is 'not'");
  EXPECT_EQ(refusal("a in 1"), "filter: at 6 ( is expected after in, and there is '1'");
  EXPECT_EQ(refusal("a in (1 2)"), "filter: at 9 , or ) is expected, and there is '2'");
  EXPECT_EQ(refusal("has a"), "filter: at 5 ( is expected after has, and there is 'a'");
  EXPECT_EQ(refusal("has(in)"), "filter: at 5 an attribute is expected, and there is 'in'");
  EXPECT_EQ(refusal("has(a"), "filter: at 6 ) is expected, and the expression ends there");
  EXPECT_EQ(refusal("a = 1 b = 2"),
            "filter: at 7 and, or or the end is expected, and there is 'b'");
  EXPECT_EQ(refusal("a = 1 && b = 2"),
            "filter: at 7 and, or or the end is expected, and there is '&'");
  EXPECT_EQ(refusal("a = 1)"), "filter: at 6 and, or or the end is expected, and there is ')'");
  EXPECT_EQ(refusal("(a = 1"),
            "filter: at 7 and, or or ) is expected, and the expression ends there");
}

TEST(FilterTest, ARefusalOfAWordNamesWhatIsWrongWithIt) {
  EXPECT_EQ(
      refusal("a = 'x"),
      "filter: at 7 a ' is expected that closes the text from 5, and the expression ends there");
  EXPECT_EQ(
      refusal("`a = 1"),
      "filter: at 7 a ` is expected that closes the name from 1, and the expression ends there");
  EXPECT_EQ(refusal("`` = 1"),
            "filter: at 1 a name between the backticks is expected, and there is '``'");
  EXPECT_EQ(refusal("a = 1e999"),
            "filter: at 5 a number that a double can hold is expected, and there is '1e999'");
  EXPECT_EQ(refusal("a = 'x\xff'"), "filter: at 7 valid UTF-8 is expected, and there is byte 0xff");
  EXPECT_EQ(
      refusal("a = 1 '" + repeated("ä", 100) + "'"),
      "filter: at 7 and, or or the end is expected, and there is '" + repeated("ä", 19) + "...");
}

TEST(FilterTest, EachLimitIsNamed) {
  EXPECT_EQ(refusal(repeated(" ", kFilterBytesMax - 5) + "a = 1"), "");
  EXPECT_EQ(refusal(repeated(" ", kFilterBytesMax - 4) + "a = 1"),
            "filter: it is 4097 bytes long; at most 4096 are allowed");

  const auto nested = [](std::size_t depth) {
    return repeated("(", depth) + "a = 1" + repeated(")", depth);
  };
  EXPECT_EQ(refusal(nested(32)), "");
  EXPECT_EQ(refusal(nested(33)),
            "filter: at 33 parentheses and nots are 33 deep; at most 32 are allowed");
  EXPECT_EQ(refusal(repeated("not ", 32) + "has(a)"), "");
  EXPECT_EQ(refusal(repeated("not (", 16) + "not has(a)" + repeated(")", 16)),
            "filter: at 81 parentheses and nots are 33 deep; at most 32 are allowed");
  EXPECT_EQ(refusal(repeated("not ", 1000) + "has(a)"),
            "filter: at 129 parentheses and nots are 33 deep; at most 32 are allowed");
  EXPECT_EQ(refusal(repeated("(", 4000)),
            "filter: at 33 parentheses and nots are 33 deep; at most 32 are allowed");
  EXPECT_EQ(refusal(repeated("(a=1)and ", 200) + "a=1"), "");  // beside each other is not deep

  EXPECT_EQ(refusal("a=1" + repeated(" or a=1", 255)), "");
  EXPECT_EQ(refusal("a=1" + repeated(" or a=1", 256)),
            "filter: at 1793 comparison 257 begins; at most 256 are allowed");

  EXPECT_EQ(refusal("a in (1" + repeated(",1", 999) + ")"), "");
  EXPECT_EQ(refusal("a in (1" + repeated(",1", 998) + ") or a in (1, 1)"),
            "filter: at 2018 value 1001 begins; at most 1000 are allowed");
}

TEST(FilterTest, TheFieldIsTheCallers) {
  try {
    Filter::parse("a", "boosts[2].filter");
    FAIL();
  } catch (const InvalidRequest& invalid) {
    EXPECT_EQ(invalid.field, "boosts[2].filter");
    EXPECT_TRUE(std::string(invalid.what()).starts_with("boosts[2].filter: at 2 "));
  }
}

TEST(FilterTest, AComparisonHoldsForValuesOfItsTypeOnly) {
  const auto comparison = [](std::string_view text) {
    return Filter::parse(text, "filter").comparisons().front();
  };
  EXPECT_TRUE(holds(comparison("a = 1"), 1.0));
  EXPECT_FALSE(holds(comparison("a = 1"), true));
  EXPECT_FALSE(holds(comparison("a = '1'"), 1.0));
  EXPECT_TRUE(holds(comparison("a in (1, 'x', false)"), std::string_view("x")));
  EXPECT_TRUE(holds(comparison("a in (1, 'x', false)"), false));
  EXPECT_FALSE(holds(comparison("a in (1, 'x', false)"), true));
  EXPECT_TRUE(holds(comparison("a < 2"), 1.5));
  EXPECT_FALSE(holds(comparison("a < 2"), 2.0));
  EXPECT_TRUE(holds(comparison("a <= 2"), 2.0));
  EXPECT_TRUE(holds(comparison("a > -1"), 0.0));
  EXPECT_TRUE(holds(comparison("a >= 'b'"), std::string_view("b")));
  EXPECT_TRUE(holds(comparison("a > 'b'"), std::string_view("ä")));  // bytes: above all of ASCII
  EXPECT_FALSE(holds(comparison("a < 'b'"), 0.0));
  EXPECT_FALSE(holds(comparison("has(a)"), 0.0));
}

}  // namespace
}  // namespace fovea::engine
