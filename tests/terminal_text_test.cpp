// Claim: whatever bytes a text holds, a terminal gets a line of the asked width and nothing that
// steers it; and a query's words are marked where they stand.
#include "api/terminal_text.h"

#include <gmock/gmock.h>

#include <random>
#include <string>
#include <vector>

#include "api/table.h"

namespace fovea::api {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr Marks kBold{"\x1b[1m", "\x1b[22m", 0};

std::string marked_text(std::string_view text, std::size_t columns,
                        const std::vector<std::string>& words, const Marks& marks = {}) {
  return marked(text, columns, words, marks);
}

TEST(TerminalText, WhatWouldSteerATerminalIsASpace) {
  EXPECT_EQ(shown("a\x1b[31mred\x1b]0;title\x07"), "a [31mred ]0;title ");
  EXPECT_EQ(shown("line\r\nline\ttab\x7f"), "line  line tab ");
  EXPECT_EQ(shown("\xC2\x9B"
                  "31m"),
            " 31m")
      << "the control sequence introducer of eight bits";
  EXPECT_EQ(shown("a\u2028b\u2029c"), "a b c");
  EXPECT_EQ(shown("price \u202Eegnahc\u202C"), "price egnahc");
  EXPECT_EQ(shown(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(shown("a\xff\xC3"), "a\uFFFD\uFFFD");
  EXPECT_EQ(shown("חם 红 👩‍🚀 é"), "חם 红 👩‍🚀 é") << "what is text stays";
}

TEST(TerminalText, IsCutByColumnsAtCodePoints) {
  EXPECT_EQ(cut("twelve words", 12), "twelve words");
  EXPECT_EQ(cut("twelve words", 11), "twelve wor…");
  EXPECT_EQ(cut("ééééé", 4), "ééé…");
  EXPECT_EQ(cut("红色跑鞋", 8), "红色跑鞋");
  EXPECT_EQ(cut("红色跑鞋", 7), "红色跑…");
  EXPECT_EQ(cut("红色跑鞋", 6), "红色…") << "half of a character is none";
  EXPECT_EQ(padded("红色", 6), "红色  ");
  EXPECT_EQ(padded("", 3), "   ");
  std::string heaped = "e";
  for (int i = 0; i < 10'000; ++i) heaped += "\u0301";
  EXPECT_LT(cut(heaped + "x", 4).size(), 20U);
}

TEST(TerminalText, WordsAreMarkedWhereTheyStandWhole) {
  EXPECT_EQ(marked_text("Art at the party", 20, {"Art"}), "*Art* at the party  ");
  EXPECT_EQ(marked_text("the party of Art", 20, {"Art", "the"}), "*the* party of *Art*");
  EXPECT_EQ(marked_text("红色跑鞋", 12, {"跑", "鞋"}), "红色*跑鞋*  ") << "side by side";
  EXPECT_EQ(marked_text("old sea", 10, {"sea"}, kBold), "old \x1b[1msea\x1b[22m   ");
  EXPECT_EQ(marked_text("nothing", 9, {"sea"}), "nothing  ");
  EXPECT_EQ(marked_text("a\x1b[1msea", 10, {"sea"}), "a [1msea  ")
      << "'1msea' is a word of the text";
}

TEST(TerminalText, ALongTextBeginsBeforeItsFirstMarkedWord) {
  const std::string text = std::string(200, 'x') + " and then some sea water, far behind it all";
  const std::string found = marked_text(text, 30, {"sea"});
  EXPECT_EQ(found, "…then some *sea* water, far b…");
  EXPECT_EQ(marked_text("the sea " + text, 20, {"sea"}), "the *sea* xxxxxxxxx…");
  EXPECT_EQ(marked_text(std::string(30, 'x') + " sea", 20, {"sea"}), "…*sea*              ");
}

TEST(TerminalText, AnyBytesMakeALineOfTheAskedWidth) {
  std::mt19937 random(1);
  const std::vector<std::string> pieces = {"sea",    "a",    " ",      "\x1b[1m",     "红", "é",
                                           "\u0301", "\xff", "\u202E", "👩‍🚀", "\n", "*"};
  for (int i = 0; i < 5'000; ++i) {
    std::string text;
    for (auto n = random() % 40; n > 0; --n) text += pieces[random() % pieces.size()];
    const std::size_t columns = 4 + random() % 30;
    for (const std::string& line :
         {marked_text(text, columns, {"sea", "红"}), padded(text, columns)}) {
      ASSERT_EQ(padded(line, columns), line) << text;  // as wide as it should be, and clean
    }
    const std::string bold = marked_text(text, columns, {"sea", "红"}, kBold);
    std::size_t open = 0;
    for (std::size_t at = 0; (at = bold.find('\x1b', at)) != std::string::npos; ++at) {
      const bool begins = bold.substr(at).starts_with(kBold.begin);
      ASSERT_TRUE(begins || bold.substr(at).starts_with(kBold.end)) << text;
      open = begins ? open + 1 : open - 1;
      ASSERT_LE(open, 1U) << text;
    }
    ASSERT_EQ(open, 0U) << text;
  }
}

RankResponse found_response() {
  RankResponse response;
  RankedItem item;
  item.item_id = "b-1";
  item.source = "words";
  Explanation explanation;
  explanation.__set_matched_words({"Lighthouse"});
  explanation.__set_similarity(0.5);
  explanation.rules = {"cap: author \x1b[2J"};
  item.__set_explanation(explanation);
  response.items = {item};
  response.__set_corrected_query("Lighthouse");
  return response;
}

TEST(Table, MarksWordsAndTellsOfACorrection) {
  RankRequest asked;
  asked.__set_query("lihgthouse\x1b[2J");
  std::ostringstream plain;
  print_ranking(plain, asked, found_response(), {{"b-1", "The \x1b[31mOld Lighthouse"}}, {});
  EXPECT_THAT(plain.str(),
              HasSubstr("searched for \"Lighthouse\" instead of \"lihgthouse [2J\"\n"));
  EXPECT_THAT(plain.str(), HasSubstr("The  [31mOld *Lighthouse*"));
  EXPECT_THAT(plain.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(plain.str(), Not(HasSubstr("similarity"))) << "unless asked to explain";

  asked.__set_explain(true);
  std::ostringstream why;
  print_ranking(why, asked, found_response(), {}, kBold);
  EXPECT_THAT(why.str(), HasSubstr("has 'Lighthouse', similarity 0.500\n"));
  EXPECT_THAT(why.str(), HasSubstr("rule: cap: author  [2J\n"));
  EXPECT_THAT(why.str(), Not(HasSubstr("\x1b[2J")));
}

}  // namespace
}  // namespace fovea::api
