// Progress redraws one line on a terminal and writes plain lines elsewhere.
#include "api/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace fovea::api {
namespace {

constexpr const char* kErase = "\r\x1b[K";

TEST(Progress, ElsewhereThanOnATerminalEveryStepIsAPlainLine) {
  std::ostringstream out;
  {
    Progress progress(out, false);
    progress.step("text", "half");
    progress.step("text", "all");
    progress.line("file:3: bad");
    progress.keep();
  }
  EXPECT_EQ(out.str(), "text: half\ntext: all\nfile:3: bad\n");
}

TEST(Progress, OnATerminalTheLastStepOfEachStageStays) {
  std::ostringstream out;
  {
    Progress progress(out, true);
    progress.step("text", "half");
    progress.step("text", "all");
    progress.step("index", "done");
    progress.keep();
  }
  const std::string erase(kErase);
  EXPECT_EQ(out.str(), erase + "text: half" + erase + "text: all\n" + erase + "index: done\n");
}

TEST(Progress, OnATerminalALineStandsWhereTheBarWas) {
  std::ostringstream out;
  {
    Progress progress(out, true);
    progress.step("text", "half");
    progress.line("file:3: bad");
  }
  const std::string erase(kErase);
  EXPECT_EQ(out.str(), erase + "text: half" + erase + "file:3: bad\n");
}

TEST(Progress, ABarDrawsNoMoreOftenThanAnEyeSees) {
  std::ostringstream out;
  Progress progress(out, true);
  for (int i = 0; i < 1'000'000; ++i) progress.bar("events", 1, 2);
  const std::string text = out.str();
  std::size_t drawn = 0;
  for (std::size_t at = text.find("events"); at != std::string::npos;
       at = text.find("events", at + 1)) {
    ++drawn;
    EXPECT_EQ(text.substr(at, 45), "events [###############               ]  50 %");
  }
  EXPECT_LT(drawn, 1000U);
}

}  // namespace
}  // namespace fovea::api
