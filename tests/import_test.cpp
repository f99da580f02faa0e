// Import: every bad line is named, all or nothing, twice is once, and what is written is what the
// files say.
#include "api/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "engine/engine.h"

namespace fovea::api {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Import : public testing::Test {
 protected:
  Import() {
    directory_ = fs::path(testing::TempDir()) /
                 ("import_" + std::to_string(::getpid()) + "_" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  ~Import() override { fs::remove_all(directory_); }

  std::string file(const std::string& name, const std::string& content) const {
    const fs::path path = directory_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  ImportSummary import(ImportOptions options) {
    options.data = data();
    log_.str("");
    Progress progress(log_, false);
    return import_files(options, progress);
  }
  fs::path data() const { return directory_ / "data"; }
  std::vector<std::string> reported() const {
    std::vector<std::string> lines;
    std::istringstream in(log_.str());
    for (std::string line; std::getline(in, line);) {
      lines.push_back(line.substr(directory_.string().size() + 1));
    }
    return lines;
  }
  std::unique_ptr<engine::Engine> open() const {
    engine::EngineOptions options;
    options.load_model = false;
    options.reload_interval = std::chrono::milliseconds(0);
    return engine::Engine::open(data(), options);
  }

  fs::path directory_;
  std::ostringstream log_;
};

constexpr const char* kItems =
    R"({"item_id":"a","text":"first"}
{"item_id":"b","text":"second","attributes":{"year":1999}}
)";
constexpr const char* kEvents =
    R"({"user_id":"u","item_id":"a","action":"view","time_ms":1000}
{"user_id":"u","item_id":"b","action":"buy","time_ms":2000,"value":3.5}
{"user_id":"v","item_id":"later","action":"view","time_ms":3000}
)";

TEST_F(Import, WritesWhatTheFilesSay) {
  const ImportSummary summary =
      import({.items = file("items.jsonl", kItems), .events = file("events.jsonl", kEvents)});
  EXPECT_EQ(summary.items, 2U);
  EXPECT_EQ(summary.items_new, 2U);
  EXPECT_EQ(summary.events, 3U);
  EXPECT_EQ(summary.events_new, 3U);
  EXPECT_EQ(summary.events_of_unknown_items, 1U);
  EXPECT_EQ(summary.skipped, 0U);

  const auto engine = open();
  const auto items = engine->get_items(std::vector<std::string>{"b"});
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].text, "second");
  EXPECT_EQ(std::get<double>(items[0].attributes.at("year")), 1999);
  const auto history = engine->get_history("u", 10);
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0].item_id, "b");
  EXPECT_EQ(history[0].action, "buy");
  EXPECT_EQ(history[0].value, 3.5);
  EXPECT_EQ(history[1].time_ms, 1000);
  EXPECT_EQ(engine->get_history("v", 10).at(0).item_id, "later");
  for (const storage::Action& action : engine->db().catalog().actions()) {
    EXPECT_EQ(action.weight, 1) << action.name;
  }
}

TEST_F(Import, EqualTimesKeepTheOrderOfTheFile) {
  std::string events;
  for (const char* item : {"a", "b", "c", "d"}) {
    events +=
        std::string(R"({"user_id":"u","action":"view","time_ms":5,"item_id":")") + item + "\"}\n";
  }
  import({.events = file("events.jsonl", events)});
  std::vector<std::string> newest_first;
  for (const auto& event : open()->get_history("u", 10)) newest_first.push_back(event.item_id);
  EXPECT_THAT(newest_first, ElementsAre("d", "c", "b", "a"));
}

TEST_F(Import, TwiceAddsNothing) {
  const ImportOptions options{.items = file("items.jsonl", kItems),
                              .events = file("events.jsonl", kEvents)};
  import(options);
  const ImportSummary again = import(options);
  EXPECT_EQ(again.items, 2U);
  EXPECT_EQ(again.items_new, 0U);
  EXPECT_EQ(again.events, 3U);
  EXPECT_EQ(again.events_new, 0U);
  EXPECT_EQ(open()->get_history("u", 10).size(), 2U);
}

TEST_F(Import, KeepsTheWeightOfAnActionThatIsDeclared) {
  {
    open()->declare_action("view", -0.5);
  }
  import({.events = file("events.jsonl", kEvents)});
  const auto actions = open()->db().catalog().actions();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].name, "view");
  EXPECT_EQ(actions[0].weight, -0.5);
  EXPECT_EQ(actions[1].weight, 1);
}

TEST_F(Import, EachBadLineIsNamedWithFileLineAndReasonAndSkipped) {
  const std::string long_id(513, 'x');
  const ImportSummary summary = import(
      {.items = file("items.jsonl",
                     "{\"item_id\":\"a\"}\n"
                     "not json\n"
                     "{\"text\":\"no id\"}\n"
                     "{\"item_id\":\"" +
                         long_id +
                         "\"}\n"
                         "{\"item_id\":\"e\",\"embedding\":[1,2]}\n"
                         "{\"item_id\":\"f\",\"embedding\":[1,2,3]}\n"
                         "{\"item_id\":\"g\",\"embedding\":[1e999,0]}\n"),
       .events = file("events.jsonl",
                      "{\"user_id\":\"u\",\"item_id\":\"a\",\"action\":\"view\",\"time_ms\":1}\n"
                      "{\"user_id\":\"u\",\"item_id\":\"a\",\"time_ms\":1}\n"
                      "{\"user_id\":\"u\",\"item_id\":\"a\",\"action\":\"view\",\"time_ms\":-1}\n"
                      "{\"user_id\":\"\xff\",\"item_id\":\"a\",\"action\":\"view\"}\n"
                      "{\"user_id\":\"u\",\"item_id\":\"a\",\"action\":\"view\",\"when\":1}\n")});
  EXPECT_EQ(summary.items, 2U);
  EXPECT_EQ(summary.events, 1U);
  EXPECT_EQ(summary.skipped, 9U);
  EXPECT_THAT(
      reported(),
      ElementsAre(HasSubstr("items.jsonl:2: this is not one JSON object: syntax error at byte "),
                  "items.jsonl:3: item_id is missing or empty; 1 to 512 bytes are expected",
                  "items.jsonl:4: item_id is 513 bytes long; at most 512 are allowed",
                  "items.jsonl:6: embedding has 3 numbers; the embeddings before it have 2",
                  HasSubstr("items.jsonl:7: "),
                  "events.jsonl:2: action is missing or empty; 1 to 512 bytes are expected",
                  HasSubstr("events.jsonl:3: time_ms is -1; "),
                  HasSubstr("events.jsonl:4: this is not one JSON object"),
                  HasSubstr("events.jsonl:5: \"when\" is not a field of an event; ")));
}

TEST_F(Import, AnEmbeddingMustHaveTheWidthOfThoseInTheStore) {
  import({.items = file("items.jsonl", "{\"item_id\":\"a\",\"embedding\":[1,2]}\n")});
  const ImportSummary summary =
      import({.items = file("items.jsonl", "{\"item_id\":\"b\",\"embedding\":[1,2,3]}\n")});
  EXPECT_EQ(summary.skipped, 1U);
  EXPECT_EQ(open()->status().items, 1);
}

TEST_F(Import, OneBadLineMoreThanAllowedWritesNothing) {
  const std::string bad_events = std::string(kEvents) + "oops\noops\noops\n";
  const ImportOptions options{.items = file("items.jsonl", kItems),
                              .events = file("events.jsonl", bad_events),
                              .errors_max = 2};
  EXPECT_THAT([&] { import(options); }, testing::ThrowsMessage<ImportError>(HasSubstr(
                                            "more than 2 bad lines, so nothing was written")));
  EXPECT_FALSE(fs::exists(data())) << "a new store";

  import({.items = file("other.jsonl", "{\"item_id\":\"z\"}\n")});
  EXPECT_THROW(import(options), ImportError);
  EXPECT_EQ(open()->status().items, 1) << "a store that was there";
  EXPECT_THAT(open()->get_history("u", 10), IsEmpty());
}

TEST_F(Import, AsManyBadLinesAsAllowedAreSkipped) {
  const ImportSummary summary = import(
      {.events = file("events.jsonl", std::string(kEvents) + "oops\noops\n"), .errors_max = 2});
  EXPECT_EQ(summary.skipped, 2U);
  EXPECT_EQ(summary.events_new, 3U);
}

TEST_F(Import, CsvIsTheSameAsJson) {
  import(
      {.items = file("items.csv", "item_id,text,attributes.year\na,first,\nb,second,1999\n"),
       .events = file("events.csv",
                      "user_id,item_id,action,time_ms,value\nu,a,view,1000,\nu,b,buy,2000,3.5\n")});
  const ImportSummary again =
      import({.items = file("items.jsonl", kItems), .events = file("events.jsonl", kEvents)});
  EXPECT_EQ(again.items_new, 0U);
  EXPECT_EQ(again.events_new, 1U) << "only the third was not in the CSV";
}

TEST_F(Import, ManyMoreEventsThanOneBatchAllArrive) {
  std::string events;
  constexpr int kUsers = 250;
  constexpr int kEach = 100;
  for (int i = 0; i < kUsers * kEach; ++i) {
    events += "{\"user_id\":\"u" + std::to_string(i % kUsers) + "\",\"item_id\":\"i" +
              std::to_string(i % 97) + "\",\"action\":\"view\",\"time_ms\":" + std::to_string(i) +
              "}\n";
  }
  const ImportSummary summary = import({.events = file("events.jsonl", events)});
  EXPECT_EQ(summary.events_new, static_cast<std::uint64_t>(kUsers * kEach));
  const auto engine = open();
  EXPECT_EQ(engine->status().users, kUsers);
  EXPECT_EQ(engine->get_history("u249", 1000).size(), static_cast<std::size_t>(kEach));
}

TEST_F(Import, AFileThatCannotBeReadIsNamed) {
  EXPECT_THAT([&] { import({.items = (directory_ / "missing.jsonl").string()}); },
              testing::ThrowsMessage<ImportError>(
                  HasSubstr("missing.jsonl cannot be opened: No such file")));
  EXPECT_THAT([&] { import({.items = directory_.string()}); },
              testing::ThrowsMessage<ImportError>(HasSubstr("is a directory; a file is expected")));
  EXPECT_THAT([&] { import({.items = file("items.csv", "item_id,item_id\n")}); },
              testing::ThrowsMessage<ImportError>(
                  HasSubstr("items.csv:1: the header has the column \"item_id\" twice")));
  EXPECT_FALSE(fs::exists(data()));
}

TEST_F(Import, AStoreInUseIsRefused) {
  const std::string items = file("items.jsonl", kItems);
  const auto engine = open();
  EXPECT_THROW(import({.items = items}), storage::StoreError);
}

}  // namespace
}  // namespace fovea::api
