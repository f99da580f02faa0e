// Claim: words are found by BM25 as the formula has it, whatever came and went before, under any
// filter; and any bytes are a query.
#include "index/word_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "index/function_words.h"
#include "index/row_set.h"
#include "index/word_matches.h"

namespace fovea::index {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Texts = std::map<std::uint32_t, std::string>;

void put(WordIndex& index, const Texts& texts) {
  std::vector<std::uint32_t> rows;
  std::vector<std::string_view> views;
  for (const auto& [row, text] : texts) {
    rows.push_back(row);
    views.push_back(text);
  }
  index.put(rows, views);
}

std::vector<std::uint32_t> rows_of(const WordsFound& found) {
  std::vector<std::uint32_t> rows;
  for (const auto& one : found.rows) rows.push_back(one.row);
  return rows;
}
std::vector<std::uint32_t> found_in(const Texts& texts, std::string_view query,
                                    const std::string& language = "english") {
  WordIndex index(language);
  put(index, texts);
  return rows_of(index.search(query, 100));
}

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

/// BM25 over texts of words with a blank between, straight from the formula.
std::vector<Neighbour> bm25(const Texts& texts, const std::string& query, std::size_t k,
                            const RowSet* allow) {
  double length = 0;
  std::map<std::string, double> with;
  for (const auto& [row, text] : texts) {
    const auto words = split(text);
    length += static_cast<double>(words.size());
    for (const auto& word : std::set(words.begin(), words.end())) with[word] += 1;
  }
  const auto n = static_cast<double>(texts.size());
  std::vector<Neighbour> all;
  for (const auto& [row, text] : texts) {
    if (allow != nullptr && !allow->contains(row)) continue;
    const auto words = split(text);
    double score = 0;
    for (const auto& word : split(query)) {
      const auto count = static_cast<double>(std::ranges::count(words, word));
      const double idf = std::log(1 + (n - with[word] + 0.5) / (with[word] + 0.5));
      const double relative = static_cast<double>(words.size()) / (length / n);
      score += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * relative));
    }
    if (score > 0) all.push_back({row, static_cast<float>(score)});
  }
  std::ranges::stable_sort(all, std::ranges::greater{}, &Neighbour::score);
  all.resize(std::min(k, all.size()));
  return all;
}

/// Words of a few letters, the first of them in most texts.
std::string random_text(std::mt19937& random, std::size_t words_max) {
  std::string text;
  for (auto n = 1 + random() % words_max; n > 0; --n) {
    const auto word = std::min(random() % 60, random() % 60);
    text += (text.empty() ? "w" : " w") + std::to_string(100 + word);
  }
  return text;
}

std::vector<std::string> told(std::string_view query, std::string_view text,
                              const std::string& language = "english") {
  return WordMatches(language, query).in(text);
}

TEST(WordIndex, IsBm25ThroughRandomPutsAndRemovals) {
  std::mt19937 random(1);
  WordIndex index("none");
  Texts live;
  for (int step = 0; step < 300; ++step) {
    Texts fresh;
    for (auto n = random() % 12; n > 0; --n) fresh[random() % 500] = random_text(random, 30);
    put(index, fresh);
    for (const auto& [row, text] : fresh) live[row] = text;
    std::vector<std::uint32_t> gone;
    for (auto n = random() % 6; n > 0; --n) gone.push_back(random() % 500);
    index.remove(gone);
    for (const auto row : gone) live.erase(row);
    ASSERT_EQ(index.size(), live.size());

    RowSet allow(500);
    for (std::uint32_t row = 0; row < 500; ++row) {
      if (random() % 3 == 0) allow.insert(row);
    }
    const RowSet* filter = step % 2 == 0 ? nullptr : &allow;
    // A full stop behind it: the last word is whole.
    const std::string query = random_text(random, 6);
    const auto expected = bm25(live, query, 20, filter);
    const auto found = index.search(query + ".", 20, filter);
    ASSERT_EQ(found.rows.size(), expected.size()) << query;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(found.rows[i].score, expected[i].score, 1e-4 * expected[i].score) << query;
      const auto same = std::ranges::find(expected, found.rows[i].row, &Neighbour::row);
      if (same == expected.end()) {  // a draw at the end of the list
        ASSERT_NEAR(found.rows[i].score, expected.back().score, 1e-4);
      } else {
        ASSERT_NEAR(same->score, found.rows[i].score, 1e-4);
      }
    }
  }
}

TEST(WordIndex, HowItCameToHoldTheTextsChangesNoScore) {
  std::mt19937 random(2);
  Texts texts;
  for (std::uint32_t row = 0; row < 3000; ++row) texts[row] = random_text(random, 30);
  WordIndex at_once("none");
  put(at_once, texts);
  WordIndex one_by_one("none");
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const std::uint32_t row = (i * 7919U) % 3000U;
    put(one_by_one, {{row, texts[row]}});
  }
  for (int i = 0; i < 50; ++i) {
    const std::string query = random_text(random, 6) + ".";
    const auto expected = at_once.search(query, 200);
    const auto found = one_by_one.search(query, 200);
    ASSERT_EQ(rows_of(found), rows_of(expected));
    for (std::size_t n = 0; n < found.rows.size(); ++n) {
      ASSERT_EQ(found.rows[n].score, expected.rows[n].score);
    }
  }
}

TEST(WordIndex, WhatIsRemovedFromALargeSegmentIsNotFound) {
  std::mt19937 random(4);
  Texts texts;
  for (std::uint32_t row = 0; row < 3000; ++row) texts[row] = random_text(random, 30);
  WordIndex index("none");
  put(index, texts);
  // A few at a time: at first they are only marked, later the segment is made anew.
  for (std::uint32_t row = 0; row < 600; row += 20) {
    std::vector<std::uint32_t> gone(20);
    for (std::uint32_t i = 0; i < 20; ++i) gone[i] = row + i;
    index.remove(gone);
    const auto found = rows_of(index.search("w100 w101 w102.", 3000));
    EXPECT_GE(*std::ranges::min_element(found), row + 20);
    EXPECT_EQ(index.size(), 3000U - row - 20);
  }
}

TEST(WordIndex, CaseMarksFormsAndEndingsAreFolded) {
  const Texts texts = {
      {1, "Crème brûlée"}, {2, "RUNNING shoes"}, {3, "ﬁne ＷＩＤＥ print"}, {4, "Straße"}};
  EXPECT_THAT(found_in(texts, "creme BRULEE"), ElementsAre(1));
  EXPECT_THAT(found_in(texts, "shoe runs "), ElementsAre(2));
  EXPECT_THAT(found_in(texts, "fine wide "), ElementsAre(3));
  EXPECT_THAT(found_in(texts, "STRASSE "), ElementsAre(4));
}

TEST(WordIndex, EndingsAreThoseOfTheLanguage) {
  const Texts texts = {{1, "laufen"}, {2, "chevaux"}};
  EXPECT_THAT(found_in(texts, "Laufes läufe ", "german"), ElementsAre(1));
  EXPECT_THAT(found_in(texts, "cheval ", "french"), ElementsAre(2));
  EXPECT_THAT(found_in({{1, "ships"}, {2, "ship"}}, "ship ", "none"), ElementsAre(2));
  try {
    WordIndex index("klingon");
    FAIL() << "a language without stems was taken";
  } catch (const std::invalid_argument& refused) {
    EXPECT_THAT(refused.what(), testing::HasSubstr("klingon"));
    EXPECT_THAT(refused.what(), testing::HasSubstr("english"));
  }
}

TEST(WordIndex, FunctionWordsDecideAmongEqualsOnly) {
  EXPECT_THAT(found_in({{1, "the best of the rest"}, {2, "some glider"}}, "the glider of the sea "),
              ElementsAre(2, 1));
  EXPECT_THAT(found_in({{1, "glider and iron"}, {2, "glider with iron"}}, "glider with iron "),
              ElementsAre(2, 1));
  EXPECT_THAT(found_in({{1, "iron"}, {2, "It"}, {3, "who is it"}}, "it "), ElementsAre(2, 3));
}

TEST(FunctionWords, AreWordsAsTextsAreFoldedTo) {
  std::size_t lists = 0;
  for (const std::string& language : stemmer_languages()) {
    const auto& words = function_words(language);
    if (!words.empty()) ++lists;
    for (const std::string_view word : words) {
      std::vector<std::string> folded;
      for_each_word(word, [&](const FoldedWord& one) { folded.emplace_back(one.folded); });
      EXPECT_THAT(folded, ElementsAre(word)) << language;
    }
  }
  EXPECT_EQ(lists, 7);
}

TEST(WordIndex, APhraseMustStandInTheText) {
  const Texts texts = {{1, "the old man and the sea"},
                       {2, "the sea and the old lighthouse man"},
                       {3, "old man river"}};
  EXPECT_THAT(found_in(texts, "\"old man\""), UnorderedElementsAre(1, 3));
  EXPECT_THAT(found_in(texts, "\"old man\" sea"), ElementsAre(1, 3));
  EXPECT_THAT(found_in(texts, "“old man” \"the sea\""), ElementsAre(1));
  EXPECT_THAT(found_in(texts, "\"man old\""), IsEmpty());
  EXPECT_THAT(found_in(texts, "\"old nowhere\""), IsEmpty());
  // Without a partner it is no phrase.
  EXPECT_THAT(found_in(texts, "lighthouse \"man"), UnorderedElementsAre(1, 2, 3));
  const std::string prose =
      "he asked at length whether what they had called an \"iron glider\" would at any time have "
      "had a "
      "use for anybody";
  EXPECT_THAT(found_in({{1, "glider of iron"}, {2, "an iron glider"}}, prose), ElementsAre(2, 1));
}

TEST(WordIndex, ALastWordMayBeUnfinished) {
  const Texts texts = {{1, "lighthouse"}, {2, "light"}, {3, "night"}};
  EXPECT_THAT(found_in(texts, "lightho"), ElementsAre(1));
  EXPECT_THAT(found_in(texts, "light"), ElementsAre(2, 1));
  EXPECT_THAT(found_in(texts, "light "), ElementsAre(2)) << "a finished word";
  EXPECT_THAT(found_in(texts, "l"), UnorderedElementsAre(1, 2));
}

/// By what was typed, what it is corrected to; stems.
std::map<std::string, std::string> corrected(const WordIndex& index, std::string_view query) {
  std::map<std::string, std::string> stems;
  for (const auto& one : index.corrections(query)) stems[one.typed] = one.stem;
  return stems;
}

TEST(WordIndex, AWordThatNoTextHasIsCorrectedToTheNearestThatIsKnown) {
  WordIndex index;
  put(index, {{1, "aerodynamic wings"}, {2, "aeroplane tyres"}});
  const auto found = index.corrections("arodynamc ");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].stem, "aerodynam");
  EXPECT_EQ(found[0].row, 1U);
  using Stems = std::map<std::string, std::string>;
  EXPECT_EQ(corrected(index, "wnig "), (Stems{{"wnig", "wing"}})) << "two letters swapped";
  EXPECT_EQ(corrected(index, "wings tirez wnig "), (Stems{{"wnig", "wing"}})) << "one is known";
  EXPECT_EQ(corrected(index, "the wnigs and tyers "), (Stems{{"wnig", "wing"}, {"tyer", "tyre"}}));
  EXPECT_THAT(rows_of(index.search("wnig ", 10)), IsEmpty()) << "a search takes it as it is";
  for (const char* known : {"wings ", "wing", "aerop", "Aeroplanes ", "", "?!"}) {
    EXPECT_THAT(index.corrections(known), IsEmpty()) << known;
  }
  EXPECT_EQ(corrected(index, "aerop "), Stems{}) << "four edits away";
  EXPECT_EQ(corrected(index, "wingg"), (Stems{{"wingg", "wing"}})) << "nothing begins with it";
  EXPECT_EQ(corrected(index, "wi "), Stems{}) << "too short";
  EXPECT_EQ(corrected(index, "qing "), Stems{}) << "another first letter";
  EXPECT_EQ(corrected(index, "tyxxe "), Stems{}) << "two edits of five letters";
  EXPECT_EQ(corrected(index, "w1ng "), Stems{}) << "a code is meant as it is";
  EXPECT_EQ(corrected(index, "\"wnigs\" tyers "), Stems{}) << "a quote is meant as it is";
  put(index, {{3, "whale"}});
  EXPECT_EQ(corrected(index, "while "), Stems{}) << "a function word is one, though no text has it";
  put(index, {{4, "tires"}, {5, "tires"}});
  EXPECT_EQ(corrected(index, "tkre "), (Stems{{"tkre", "tire"}})) << "in more texts than tyre";

  std::string many;
  for (const char* one : {"a", "b", "c", "d", "e", "f", "g", "h", "j", "k"}) {
    many += "w" + std::string(one) + "ng ";
  }
  EXPECT_EQ(index.corrections(many).size(), 8U) << "work is bounded";
}

TEST(WordIndex, AQueryIsRespeltInItsPlace) {
  const std::map<std::string, std::string> spellings = {{"caravn", "Caravan"}, {"wnig", "wing"}};
  EXPECT_EQ(respelt("The  caravn's (Wnigs), caravn", spellings, "english"),
            "The  Caravan's (wing), Caravan");
  EXPECT_EQ(respelt("known \xff", spellings, "english"), "known \xff");
  EXPECT_EQ(respelt("", spellings, "english"), "");
}

TEST(WordIndex, AWordWhoseTextsAreGoneIsNoneToSearchOrToCorrectTo) {
  // More texts than a segment may have to be made anew at once.
  Texts texts;
  for (std::uint32_t row = 0; row < 2000; ++row) texts[row] = "filling";
  texts[5] = "lighthouse";
  texts[6] = "lighthouses lanterns";
  texts[7] = "filling harbour";
  WordIndex index;
  put(index, texts);
  index.remove(std::vector<std::uint32_t>{5, 6});
  EXPECT_THAT(index.corrections("lanterms "), IsEmpty());
  EXPECT_THAT(rows_of(index.search("lighthouse ", 10)), IsEmpty());
  EXPECT_THAT(index.corrections("lighthouse "), IsEmpty()) << "no word any more, and none is near";
  const auto near = index.corrections("harbuor ");
  ASSERT_EQ(near.size(), 1U);
  EXPECT_EQ(near[0].row, 7U);
}

TEST(WordIndex, WordsWithoutEndAreAQueryOfBoundedWork) {
  Texts texts;
  for (std::uint32_t row = 0; row < 20'000; ++row) texts[row] = "the the sea of the old man";
  WordIndex index;
  put(index, texts);
  std::string repeated;
  for (int i = 0; i < 2'000; ++i) repeated += "the ";
  EXPECT_THAT(index.search(repeated, 5).exact, IsEmpty());
  EXPECT_EQ(index.search('"' + repeated + '"', 5).rows.size(), 5U) << "prose, not a phrase";
  std::string phrases;
  for (int i = 0; i < 1'000; ++i) phrases += "\"the sea\" ";
  EXPECT_EQ(index.search(phrases, 5).rows.size(), 5U);
  EXPECT_EQ(index.search("\"the the sea of the\"", 5).rows.size(), 5U) << "one word at two places";
  EXPECT_THAT(rows_of(index.search("\"the sea the\"", 5)), IsEmpty());
}

TEST(WordMatches, AreTheTextsWordsAsTheyStandThere) {
  EXPECT_THAT(told("red SHOE sandals ", "Running shoes, RED. red Shoe shoes"),
              ElementsAre("shoes", "RED", "red", "Shoe"));
  EXPECT_THAT(told("creme ", "Crème brûlée"), ElementsAre("Crème"));
  EXPECT_THAT(told("run ", "a runner runs"), ElementsAre("runs"));
  EXPECT_THAT(told("run", "a runner runs"), ElementsAre("runner", "runs")) << "not yet finished";
  EXPECT_THAT(told("\"old man\" sea", "man of the Sea"), ElementsAre("man", "Sea"));
  EXPECT_THAT(told("跑鞋", "红色跑鞋"), ElementsAre("跑", "鞋"));
  EXPECT_THAT(told("sea ", ""), IsEmpty());
  EXPECT_THAT(told("", "sea"), IsEmpty());
}

TEST(WordMatches, AreNoFunctionWordsBesideOthers) {
  EXPECT_THAT(told("a storm at sea", "A storm is a storm"), ElementsAre("storm"));
  EXPECT_THAT(told("a storm at sea", "At a loss"), ElementsAre("At", "a"));
  EXPECT_THAT(told("it is", "It is what it is"), ElementsAre("It", "is", "it"));
  std::string often;
  for (int i = 0; i < 11; ++i) often += "the ";
  EXPECT_THAT(told(often + "storm ", "The storm"), ElementsAre("storm"));
  EXPECT_THAT(told("having haves at sea ", "The haves at sea"), ElementsAre("haves", "sea"))
      << "one that has the stem of a function word";
}

TEST(WordMatches, AreBounded) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "sea" + std::to_string(i) + " ";
  EXPECT_EQ(told("sea", text).size(), kToldWordsMax);
  const std::string long_word(5'000, 'a');
  EXPECT_THAT(told("a", long_word + " art"), ElementsAre("art"));
  EXPECT_EQ(spelling(long_word, std::string(64, 'a'), "none"), std::string(64, 'a'));
}

TEST(WordMatches, ASpellingIsThatOfTheText) {
  EXPECT_EQ(spelling("The Aerodynamics of wings", "aerodynam", "english"), "Aerodynamics");
  EXPECT_EQ(spelling("nothing of it", "aerodynam", "english"), "aerodynam");
}

TEST(WordIndex, WritingWithoutSpacesCodesAndEmojiAreFound) {
  const Texts texts = {{1, "红色跑鞋"},      {2, "蓝色衬衫"},       {3, "حذاء أحمر"},
                       {4, "נעליים אדומות"}, {5, "part AB-1234/x"}, {6, "pizza 🍕 box"}};
  EXPECT_THAT(found_in(texts, "跑鞋"), ElementsAre(1));
  EXPECT_THAT(found_in(texts, "أحمر"), ElementsAre(3));
  EXPECT_THAT(found_in(texts, "אדומות"), ElementsAre(4));
  EXPECT_THAT(found_in(texts, "ab-1234"), ElementsAre(5));
  EXPECT_THAT(found_in(texts, "🍕"), ElementsAre(6));
}

TEST(WordIndex, AnyBytesAreAQuery) {
  WordIndex index;
  put(index, {{1, "plain words and more near not or a* text"}, {2, "column filter"}});
  std::string many;
  for (int i = 0; i < 4000; ++i) many += "w" + std::to_string(i) + " ";
  const std::vector<std::string> hostile = {"",
                                            " ",
                                            "a",
                                            std::string(10'000, 'a'),
                                            "?!.,;:-()[]{}",
                                            "\"",
                                            "\"\"",
                                            "\"\"\"",
                                            "\"\" a",
                                            "*",
                                            "a* OR NOT NEAR(b, 2) ^c",
                                            "column : x",
                                            "' OR 1=1 --",
                                            "\\",
                                            "🍕🍕🍕",
                                            "中文",
                                            "\u202e\u200f\u202b",
                                            "\xff\xfe\x80",
                                            "a\xC3",
                                            "e\xCC\x81",
                                            std::string("a\0b", 3),
                                            many,
                                            std::string(5'000, '"'),
                                            "ﷺ",
                                            "\xF0\x9F",
                                            "Ａ"};
  for (const auto& query : hostile) {
    for (const std::size_t k : {0, 1, 100}) {
      const auto found = index.search(query, k);
      EXPECT_LE(found.rows.size(), std::min<std::size_t>(k, 2)) << query;
    }
    EXPECT_LE(index.corrections(query).size(), 8U) << query;
    told(query, "plain words and more near not or a* text");
  }
  EXPECT_THAT(rows_of(index.search("NOT", 5)), ElementsAre(1)) << "syntax is text";
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 40, ' ');
    for (char& byte : bytes) byte = static_cast<char>(random() % 3 == 0 ? '"' : random() % 256);
    const std::string_view text = bytes;
    index.put(std::vector<std::uint32_t>{7}, std::vector{text});
    EXPECT_LE(index.search(bytes, 10).rows.size(), 3U);
  }
}

TEST(WordIndex, SearchesGoOnBesideAWriter) {
  WordIndex index;
  put(index, {{0, "always here"}});
  std::atomic<bool> done = false;
  std::atomic<std::size_t> searches = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      while (!done || searches == 0) {
        const auto found = rows_of(index.search("always coming ", 1000));
        // What is there all the time is always found, and each row once.
        EXPECT_THAT(found, testing::Contains(0));
        EXPECT_EQ(std::set(found.begin(), found.end()).size(), found.size());
        ++searches;
      }
    });
  }
  for (std::uint32_t i = 1; i < 600; ++i) {
    put(index, {{i % 50 + 1, "coming and going " + std::to_string(i)}});
    if (i % 3 == 0) index.remove(std::vector<std::uint32_t>{i % 17 + 1});
  }
  done = true;
  for (auto& reader : readers) reader.join();
}

TEST(Edits, AreInsertedDeletedReplacedAndSwapped) {
  EXPECT_EQ(edits(U"wing", U"wing", 2), 0U);
  EXPECT_EQ(edits(U"wing", U"wign", 2), 1U);
  EXPECT_EQ(edits(U"wing", U"wings", 2), 1U);
  EXPECT_EQ(edits(U"wing", U"ring", 2), 1U);
  EXPECT_EQ(edits(U"wing", U"swig", 2), 2U);
  EXPECT_EQ(edits(U"wing", U"flap", 2), 3U) << "more than two";
  EXPECT_EQ(edits(U"", U"ab", 2), 2U);
}

}  // namespace
}  // namespace fovea::index
