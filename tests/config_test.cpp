// The configuration file: its keys are read, and whatever else stands there is refused with the
// file and a sentence.
#include "api/config.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>

namespace fovea::api {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ConfigFile : public testing::Test {
 protected:
  ~ConfigFile() override { std::filesystem::remove(file_); }
  Config read(const std::string& text) const {
    std::ofstream(file_, std::ios::binary) << text;
    return read_config(file_);
  }
  std::string refusal(const std::string& text) const {
    try {
      read(text);
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  std::filesystem::path file_ = std::filesystem::path(testing::TempDir()) /
                                ("config-" + std::to_string(::getpid()) + ".toml");
};

TEST_F(ConfigFile, GivesActionsTheirWeightsAndWhatCountsAsSeen) {
  const Config config = read(
      "# für alle\n[actions.view]\n[actions.skip]\nweight = -1.5\nseen = false\n"
      "[actions.\"größer\"]\nweight = 2\n");
  ASSERT_EQ(config.actions.size(), 3U);
  std::map<std::string, double> weights;
  for (const auto& action : config.actions) weights[action.name] = action.weight;
  EXPECT_EQ(weights, (std::map<std::string, double>{{"view", 1}, {"skip", -1.5}, {"größer", 2}}));
  EXPECT_EQ(config.not_seen, std::set<std::string>{"skip"});
}

TEST_F(ConfigFile, RefusesAMisspeltKeyWithItsLine) {
  EXPECT_THAT(refusal("\n[action.view]\n"), AllOf(HasSubstr(":2: "), HasSubstr("'action'")));
  EXPECT_THAT(refusal("[actions.view]\nwieght = 1\n"),
              AllOf(HasSubstr(":2: "), HasSubstr("wieght")));
  EXPECT_THAT(refusal("[actions.view]\nweight = nan\n"), HasSubstr("a number is expected"));
}

// Found by the fuzzer: the first two met assertions of toml++, the others what it calls
// unreachable.
TEST_F(ConfigFile, RefusesWhatTheParserTakesForGranted) {
  for (const char* text : {"[:", "[::b\" = {48", "ä = 1\n", "actions\uFFFE "}) {
    EXPECT_THAT(refusal(text), HasSubstr(file_.string())) << text;
  }
}

}  // namespace
}  // namespace fovea::api
