// Experiments of the configuration file: what is read from it, and what is refused with file, line
// and what would be right.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "api/config.h"

namespace fovea::api {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// A file with this in it, gone at the end of the test.
class File {
 public:
  explicit File(const std::string& text) {
    const int descriptor = ::mkstemp(name_.data());
    if (descriptor < 0) throw std::runtime_error("no temporary file");
    ::close(descriptor);
    std::ofstream(name_) << text;
  }
  ~File() { std::filesystem::remove(name_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const std::string& name() const { return name_; }

 private:
  std::string name_ = (std::filesystem::temp_directory_path() / "fovea_config_XXXXXX").string();
};

engine::Experiments read(const std::string& text) {
  return read_config(File(text).name()).experiments;
}

const std::string kVariants = R"(
[[experiment.variant]]
name = "control"
weight = 0.5
[[experiment.variant]]
name = "treatment"
weight = 0.5
)";

TEST(ExperimentsConfig, HowAListIsMadeIsPartOfTheDeclaration) {
  const auto duel = read("[[experiment]]\nname = \"duel\"\ninterleave = true" + kVariants);
  EXPECT_TRUE(duel.list.at(0).interleave);
  const auto slice = read("[[experiment]]\nname = \"slice\"" + kVariants +
                          "[experiment.randomised]\nshare = 0.05\nfirst = 10\n");
  EXPECT_FALSE(slice.list.at(0).interleave);
  EXPECT_EQ(slice.list.at(0).randomised, (engine::Randomised{0.05, 10}));
  EXPECT_THROW(read("[[experiment]]\nname = \"slice\"" + kVariants +
                    "[experiment.randomised]\nshare = 0.05\n"),
               std::runtime_error)
      << "how many places is not said";
}

const std::string kNoRanker = R"([actions.purchase]
weight = 5
[[experiment]]
name = "no-ranker"
layer = "ranking"
from = 0.0
to = 0.5
unit = "user_id"
hash = "planout"
salt = "salted"
success = "purchase"
guardrails = ["refund", "complaint"]
version = 3
start = 2026-01-01
end = 2026-03-01T08:30:00.25+02:00
)" + kVariants + R"(
[experiment.variant.set]
ranker = false
candidates = 300
model_version = "20260101T120000.000Z"
diversity = 0.25
index = "exact"
boosts = [{filter = "genre = 'x'", add = 1.5}, {filter = 'has(new)', add = -1}]
)";

TEST(ExperimentsConfig, IsReadKeyByKey) {
  const auto experiments = read(kNoRanker);
  ASSERT_EQ(experiments.list.size(), 1U);
  const engine::Experiment& read = experiments.list.front();
  EXPECT_EQ(read.name, "no-ranker");
  EXPECT_EQ(read.version, 3);
  EXPECT_EQ(read.layer, "ranking");
  EXPECT_EQ(read.from, 0);
  EXPECT_EQ(read.to, .5);
  EXPECT_EQ(read.unit, engine::Unit::kUser);
  EXPECT_EQ(read.hash, engine::Hash::kPlanOut);
  EXPECT_EQ(read.salt, "salted");
  EXPECT_EQ(read.success, "purchase");
  EXPECT_THAT(read.guardrails, ElementsAre("refund", "complaint"));
  EXPECT_EQ(read.start_ms, 1'767'225'600'000);
  EXPECT_EQ(read.end_ms, 1'772'346'600'250);
  ASSERT_EQ(read.variants.size(), 2U);
  EXPECT_EQ(read.variants[0].name, "control");
  EXPECT_EQ(read.variants[0].weight, .5);
  EXPECT_FALSE(read.variants[0].set.ranker.has_value());
  const engine::Overrides& set = read.variants[1].set;
  EXPECT_EQ(set.ranker, false);
  EXPECT_EQ(set.candidates, 300);
  EXPECT_EQ(set.model_version, "20260101T120000.000Z");
  EXPECT_EQ(set.diversity, .25);
  EXPECT_EQ(set.index, engine::IndexKind::kExact);
  ASSERT_EQ(set.boosts.size(), 2U);
  EXPECT_EQ(set.boosts[0].filter, "genre = 'x'");
  EXPECT_EQ(set.boosts[1].add, -1);
}

TEST(ExperimentsConfig, HasDefaultsForAllButNameAndVariants) {
  const auto experiments = read("[[experiment]]\nname = \"short\"\n" + kVariants);
  const engine::Experiment& read = experiments.list.front();
  EXPECT_EQ(read.layer, "short");
  EXPECT_EQ(read.salt, "short");
  EXPECT_EQ(read.from, 0);
  EXPECT_EQ(read.to, 1);
  EXPECT_FALSE(read.success || read.start_ms || read.end_ms);
  EXPECT_EQ(experiments.holdout.share, 0);
}

TEST(ExperimentsConfig, ReadsDatesInQuotesAsWithoutThem) {
  const auto start = [](const std::string& date) {
    return read("[[experiment]]\nname = \"a\"\nstart = " + date + "\n" + kVariants)
        .list.front()
        .start_ms;
  };
  EXPECT_EQ(start("2026-01-01"), 1'767'225'600'000);
  EXPECT_EQ(start("\"2026-01-01\""), 1'767'225'600'000);
  EXPECT_EQ(start("2026-01-01T00:00:01Z"), 1'767'225'601'000);
  EXPECT_EQ(start("\"2026-01-01T00:00:01Z\""), 1'767'225'601'000);
  EXPECT_EQ(start("2026-01-01T01:00:00"), 1'767'229'200'000);
  EXPECT_EQ(start("1970-01-01"), 0);
}

TEST(ExperimentsConfig, ReadsAHoldout) {
  const auto experiments = read("[holdout]\nshare = 0.05\nsalt = \"2026\"\n");
  EXPECT_EQ(experiments.holdout.share, .05);
  EXPECT_EQ(experiments.holdout.salt, "2026");
}

struct Wrong {
  std::string from;  ///< A piece of kNoRanker,
  std::string to;    ///< what stands there instead,
  int line;          ///< and where it is refused,
  std::string sentence;
};

TEST(ExperimentsConfig, IsRefusedWithItsLineForWhatIsWrong) {
  for (const Wrong& wrong : {
           Wrong{"layer =", "lair =", 5, "has no key 'lair'"},
           Wrong{"ranker =", "rankr =", 25, "has no key 'rankr'"},
           Wrong{"add = 1.5", "ad = 1.5", 30, "has no key 'ad'"},
           Wrong{"weight = 0.5", "wait = 0.5", 19, "has no key 'wait'"},
           Wrong{"ranker = false", "ranker = 0", 25, "is true or false"},
           Wrong{"candidates = 300", "candidates = 3.5", 26, "is a whole number"},
           Wrong{"candidates = 300", "candidates = 3000000000", 26, "is a whole number"},
           Wrong{"candidates = 300", "candidates = 0", 3, "1 to 10000"},
           Wrong{"\"exact\"", "\"gpu\"", 29, "\"exact\" or \"approximate\""},
           Wrong{"\"user_id\"", "\"cookie\"", 8, "\"user_id\" or \"session\""},
           Wrong{"\"planout\"", "\"md5\"", 9, "\"planout\" or \"growthbook\""},
           Wrong{"from = 0.0", "from = \"0\"", 6, "is a number"},
           Wrong{"to = 0.5", "to = nan", 3, "to is nan"},
           Wrong{"name = \"no-ranker\"", "name = 7", 4, "is a text"},
           Wrong{"2026-01-01", "\"2026-02-30\"", 14, "is a date"},
           Wrong{"2026-01-01", "1969-12-31", 14, "is a date"},
           Wrong{"2026-01-01", "\"soon\"", 14, "is a date"},
           Wrong{"2026-01-01", "\"2026-01-01T.8:00:00Z\"", 14, "is a date"},
           Wrong{"2026-01-01", "08:30:00", 14, "is a date"},
           Wrong{"2026-01-01", "20260101", 14, "is a date"},
           Wrong{"2026-01-01", "2026-03-02", 3, "end is not after start"},
           Wrong{"weight = 0.5", "weight = 0.4", 3, "add up to 0.9"},
           Wrong{"weight = 0.5", "", 17, "has no weight"},
           Wrong{"[\"refund\", \"complaint\"]", "\"refund\"", 12, "a list of texts"},
           Wrong{"[\"refund\", \"complaint\"]", "[1]", 12, "a text"},
           Wrong{"genre = 'x'", "genre =", 3, "set.boosts[0].filter"},
           Wrong{"[[experiment]]", "[experiment]", 3, "[[experiment]]"},
           Wrong{"[actions.purchase]\nweight = 5", "\nexperiments = 1", 2,
                 "known are [server], [actions.NAME], [[experiment]]"},
       }) {
    std::string text = kNoRanker;
    text.replace(text.find(wrong.from), wrong.from.size(), wrong.to);
    // A table that is not a list cannot have variants that are: TOML itself would refuse it.
    if (wrong.to == "[experiment]") text = text.substr(0, text.find("[[experiment.variant"));
    const File file(text);
    EXPECT_THAT([&] { read_config(file.name()); },
                testing::ThrowsMessage<std::runtime_error>(
                    AllOf(HasSubstr(file.name() + ":" + std::to_string(wrong.line) + ": "),
                          HasSubstr(wrong.sentence))))
        << wrong.to;
  }
}

TEST(ExperimentsConfig, IsRefusedAsAWholeForOneThatOverlaps) {
  const std::string second = "[[experiment]]\nname = \"second\"\nlayer = \"ranking\"\nfrom = ";
  EXPECT_EQ(read(kNoRanker + second + "0.5" + kVariants).list.size(), 2U);
  EXPECT_THAT([&] { read(kNoRanker + second + "0.4" + kVariants); },
              testing::ThrowsMessage<std::runtime_error>(
                  AllOf(HasSubstr(":31: experiment 'second'"), HasSubstr("overlaps"))));
  EXPECT_THAT([&] { read("[holdout]\nshare = 1\n"); },
              testing::ThrowsMessage<std::runtime_error>(HasSubstr("0 to below 1")));
}

}  // namespace
}  // namespace fovea::api
