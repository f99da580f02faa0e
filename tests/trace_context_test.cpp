// A traceparent is read as the standard says, and anything else counts as none.
#include "api/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace fovea::api {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kValid = "00-" + kTrace + "-00f067aa0ba902b7-01";

TEST(TraceContext, AValidTraceparentHasItsTraceId) {
  EXPECT_EQ(trace_id(kValid), kTrace);
  EXPECT_EQ(trace_id("00-" + kTrace + "-00f067aa0ba902b7-00"), kTrace);
}

TEST(TraceContext, ALaterVersionMayHaveMoreBehindADash) {
  EXPECT_EQ(trace_id("cc" + kValid.substr(2)), kTrace);
  EXPECT_EQ(trace_id("cc" + kValid.substr(2) + "-what-ever"), kTrace);
  EXPECT_EQ(trace_id("cc" + kValid.substr(2) + "what"), std::nullopt);
}

TEST(TraceContext, AnythingElseIsNone) {
  const std::string zeros(32, '0');
  for (const std::string& text : {
           std::string(),
           std::string("00"),
           kValid.substr(0, 54),
           kValid + "0",
           kValid + "-more",
           " " + kValid,
           kValid + "\n",
           "ff" + kValid.substr(2),
           "0g" + kValid.substr(2),
           std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
           "00-" + zeros + "-00f067aa0ba902b7-01",
           "00-" + kTrace + "-0000000000000000-01",
           "00-" + kTrace + "-00f067aa0ba902b7-0x",
           "00-" + kTrace + "_00f067aa0ba902b7-01",
           "00-" + kTrace.substr(1) + "--00f067aa0ba902b7-01",
           std::string("00-") + std::string(1, '\0') + kTrace.substr(1) + "-00f067aa0ba902b7-01",
       }) {
    EXPECT_EQ(trace_id(text), std::nullopt) << text;
  }
}

TEST(TraceContext, EveryByteOfItMatters) {
  for (std::size_t at = 0; at < kValid.size(); ++at) {
    std::string changed = kValid;
    changed[at] = 'x';
    EXPECT_EQ(trace_id(changed), std::nullopt) << changed;
  }
}

}  // namespace
}  // namespace fovea::api
