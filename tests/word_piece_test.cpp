// Token ids are those of the reference tokenizer (golden/make_sentence.py), whatever the text.
#include "ranking/word_piece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "ranking/random.h"
#include "tests/sentence_golden.h"

namespace fovea::ranking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::size_t kIdsMax = 14;  // of the golden ones
constexpr std::uint32_t kUnknown = 1, kFirst = 2, kLast = 3;

WordPiece load(const WordPiece::Options& options = {}) {
  return WordPiece::load(sentence_folder() / "vocab.txt", options);
}

class Vocabulary : public testing::Test {
 protected:
  Vocabulary() : file_(fs::temp_directory_path() / ("vocab-" + std::to_string(getpid()))) {}
  ~Vocabulary() override { fs::remove_all(file_); }

  WordPiece of(const std::string& bytes) {
    std::ofstream(file_, std::ios::binary) << bytes;
    return WordPiece::load(file_, {});
  }
  std::string refusal(const std::string& bytes) {
    try {
      of(bytes);
    } catch (const WeightsError& error) {
      return error.what();
    }
    return "";
  }

  fs::path file_;
};

TEST(WordPiece, IdsAreTheReferences) {
  const SentenceGolden golden;
  const auto texts = golden.texts();
  ASSERT_GT(texts.size(), 30U);
  const std::pair<const char*, WordPiece::Options> rules[] = {{"ids", {true, true, true}},
                                                              {"lower", {true, false, true}},
                                                              {"cased", {false, false, false}}};
  for (const auto& [name, options] : rules) {
    const WordPiece pieces = load(options);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(pieces.encode(texts[i], kIdsMax), golden.ids(name, i)) << name << ": " << texts[i];
    }
  }
}

TEST(WordPiece, WhatIsTooLongIsCutOffAndStillEnds) {
  const WordPiece pieces = load();
  EXPECT_THAT(pieces.encode("the red", 2), ElementsAre(kFirst, kLast));
  EXPECT_THAT(pieces.encode("the red", 3), ElementsAre(kFirst, 14, kLast));
  EXPECT_THAT(pieces.encode("shoes", 3), ElementsAre(kFirst, 17, kLast));
  EXPECT_EQ(pieces.encode(std::string(1'000'000, '!'), 256).size(), 256U);
}

TEST(WordPiece, OneWordOfAHundredThousandLettersIsUnknown) {
  const WordPiece pieces = load();
  EXPECT_THAT(pieces.encode(std::string(100'000, 'a'), 256), ElementsAre(kFirst, kUnknown, kLast));
  std::string marks = "a";
  for (int i = 0; i < 100'000; ++i) marks += "\u0301";
  EXPECT_EQ(pieces.encode(marks, 256), pieces.encode("a", 256));
}

TEST(WordPiece, InvalidUtf8IsLeftOut) {
  const WordPiece pieces = load();
  const auto expected = pieces.encode("the red", 256);
  for (const std::string bad :
       {"\xFF", "\xC3", "\xED\xA0\x80", "\xF8\x88\x80\x80\x80", "\xC0\x80"}) {
    EXPECT_EQ(pieces.encode("th" + bad + "e re" + bad + "d" + bad, 256), expected);
  }
}

TEST(WordPiece, AnyBytesGiveIdsBelowTheSize) {
  const WordPiece pieces = load();
  Random random(5);
  for (int round = 0; round < 2'000; ++round) {
    std::string text(random.below(80), '\0');
    for (char& byte : text) byte = static_cast<char>(random.below(256));
    const auto ids = pieces.encode(text, 32);
    ASSERT_GE(ids.size(), 2U);
    ASSERT_LE(ids.size(), 32U);
    EXPECT_EQ(ids.front(), kFirst);
    EXPECT_EQ(ids.back(), kLast);
    for (const auto id : ids) ASSERT_LT(id, pieces.size());
  }
}

TEST_F(Vocabulary, LinesMayEndAsWindowsEndsThem) {
  const WordPiece pieces = of("[UNK]\r\n[CLS]\r\n[SEP]\r\nred\r\n##s");
  EXPECT_EQ(pieces.size(), 5U);
  EXPECT_THAT(pieces.encode("reds", 8), ElementsAre(1, 3, 4, 2));
}

TEST_F(Vocabulary, WhatIsNoneIsRefusedByName) {
  EXPECT_THAT(refusal(""), HasSubstr("has no token [UNK]"));
  EXPECT_THAT(refusal("[UNK]\n[SEP]\n"), HasSubstr("has no token [CLS]"));
  EXPECT_THAT(refusal("[UNK]\n[CLS]\n"), HasSubstr("has no token [SEP]"));
  EXPECT_THAT(refusal("[UNK]\n[CLS]\n[SEP]\na\n##a\na\n"),
              testing::AllOf(HasSubstr(file_.string()), HasSubstr("'a' a second time in line 6")));
  fs::remove(file_);
  EXPECT_THROW(WordPiece::load(file_, {}), WeightsError);
  fs::create_directory(file_);
  EXPECT_THROW(WordPiece::load(file_, {}), WeightsError);
}

}  // namespace
}  // namespace fovea::ranking
