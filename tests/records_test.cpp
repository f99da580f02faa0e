// Records of JSON Lines and CSV: quoting, recovery after a bad line, line numbers, bounds.
#include "api/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <utility>
#include <vector>

#include "api/json.h"

namespace fovea::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

struct Read {
  std::vector<std::pair<std::size_t, std::string>> records;  ///< Line and JSON.
  std::vector<std::pair<std::size_t, std::string>> bad;      ///< Line and sentence.
};

Read read(const std::string& text, Format format) {
  std::istringstream in(text);
  RecordReader reader(in, format);
  Read result;
  for (;;) {
    try {
      const auto record = reader.next();
      if (!record) return result;
      result.records.emplace_back(reader.line(), boost::json::serialize(*record));
    } catch (const BadRecord& error) {
      result.bad.emplace_back(reader.line(), error.what());
    }
  }
}

TEST(JsonLines, BlankLinesAndAMissingLastLineEndAreNoRecords) {
  const Read result = read("{\"a\":1}\n\n  \r\n{\"a\":2}\r\n{\"a\":3}", Format::kJsonLines);
  EXPECT_THAT(result.records,
              ElementsAre(Pair(1, "{\"a\":1}"), Pair(4, "{\"a\":2}"), Pair(5, "{\"a\":3}")));
  EXPECT_THAT(result.bad, IsEmpty());
}

TEST(JsonLines, ABadLineIsLeftOutAndTheNextIsRead) {
  const Read result = read("{\"a\":1}\n{oops\n{\"a\":3}\n", Format::kJsonLines);
  EXPECT_THAT(result.records, ElementsAre(Pair(1, testing::_), Pair(3, testing::_)));
  EXPECT_THAT(result.bad, ElementsAre(Pair(2, HasSubstr("not one JSON object"))));
}

TEST(JsonLines, ALineThatIsTooLongIsLeftOutWhole) {
  const std::string line = "{\"text\":\"" + std::string(3 * kJsonBytesMax, 'x') + "\"}";
  const Read result = read("{\"a\":1}\n" + line + "\n{\"a\":3}\n" + line, Format::kJsonLines);
  EXPECT_THAT(result.records, ElementsAre(Pair(1, testing::_), Pair(3, testing::_)));
  EXPECT_THAT(result.bad, ElementsAre(Pair(2, HasSubstr("longer than 1048576 bytes")),
                                      Pair(4, HasSubstr("longer than 1048576 bytes"))));
}

TEST(JsonLines, ALineOfTheLongestLengthIsRead) {
  for (const char* end : {"\n", "\r\n", ""}) {
    std::string line = "{\"text\":\"\"}";
    line.insert(9, std::string(kJsonBytesMax - line.size(), 'x'));
    EXPECT_THAT(read(line + end, Format::kJsonLines).records, testing::SizeIs(1));
  }
}

TEST(JsonLines, AByteOrderMarkIsSkipped) {
  EXPECT_THAT(read("\xEF\xBB\xBF{\"a\":1}", Format::kJsonLines).records, testing::SizeIs(1));
}

TEST(Csv, CellsBecomeTheFieldsOfTheHeader) {
  const Read result = read(
      "item_id,text,attributes.year,attributes.genre[],attributes.new,attributes.code,embedding\n"
      "7,\"A \"\"good\"\", long\nbook\",1995,Drama|War,true,007,\"[1, 2.5]\"\n"
      "8,,,,,,\r\n",
      Format::kCsv);
  EXPECT_THAT(result.bad, IsEmpty());
  EXPECT_THAT(
      result.records,
      ElementsAre(
          Pair(2, R"({"item_id":"7","text":"A \"good\", long\nbook","embedding":[1,2.5E0],)"
                  R"("attributes":{"year":1995,"genre":["Drama","War"],"new":true,"code":"007"}})"),
          Pair(4, R"({"item_id":"8"})")));
}

TEST(Csv, NumbersOfAnEventAreNumbersAndIdsStayText) {
  const Read result =
      read("user_id,item_id,action,time_ms,value\n1,2,rate,874965478000,4.5\n1,2,rate,noon,\n",
           Format::kCsv);
  EXPECT_THAT(
      result.records,
      ElementsAre(Pair(2, R"({"user_id":"1","item_id":"2","action":"rate",)"
                          R"("time_ms":874965478000,"value":4.5E0})"),
                  Pair(3, R"({"user_id":"1","item_id":"2","action":"rate","time_ms":"noon"})")));
}

TEST(Csv, EachBadRowIsNamedAndTheNextIsRead) {
  const Read result = read(
      "item_id,text\n"
      "1\n"
      "2,a\"b\n"
      "3,\"a\"b\n"
      "4,ok\n"
      "5,\"open\nand on\n",
      Format::kCsv);
  EXPECT_THAT(result.records, ElementsAre(Pair(5, testing::_)));
  EXPECT_THAT(
      result.bad,
      ElementsAre(Pair(2, "this row has 1 cells; the header has 2"),
                  Pair(3, HasSubstr("a quote stands within a cell")),
                  Pair(4, HasSubstr("after the closing quote")),
                  Pair(6, HasSubstr("is not closed before the file ends or a line is too long; "
                                    "lines 6 to 7 are left out"))));
}

TEST(Csv, AQuoteThatNeverClosesIsBounded) {
  std::string text = "item_id,text\n1,\"open\n";
  for (int i = 0; i < 2000; ++i) text += std::string(999, 'x') + "\n";
  const Read result = read(text, Format::kCsv);
  ASSERT_FALSE(result.bad.empty());
  EXPECT_THAT(result.bad.front(), Pair(2, HasSubstr("is not closed within 1048576 bytes")));
}

TEST(Csv, AHeaderThatCannotBeUsedIsRefused) {
  for (const char* header : {"a,,b\n", "a,a\n", "a\"b\n"}) {
    std::istringstream in(header);
    EXPECT_THROW(RecordReader(in, Format::kCsv), BadRecord) << header;
  }
}

TEST(Formats, AreToldByNameThenByContent) {
  const auto detect = [](const char* name, const char* content) {
    std::istringstream in(content);
    const Format format = detect_format(name, in);
    EXPECT_EQ(in.tellg(), std::streampos(0));
    return format;
  };
  EXPECT_EQ(detect("x.csv", "{}"), Format::kCsv);
  EXPECT_EQ(detect("x.jsonl", "a,b"), Format::kJsonLines);
  EXPECT_EQ(detect("stdin", " \n{}"), Format::kJsonLines);
  EXPECT_EQ(detect("stdin", "user_id,item_id"), Format::kCsv);
  EXPECT_EQ(detect("stdin", ""), Format::kJsonLines);
}

}  // namespace
}  // namespace fovea::api
