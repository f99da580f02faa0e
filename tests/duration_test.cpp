// Durations of flags: what people write, and what is refused with what would be right.
#include "api/duration.h"

#include <gmock/gmock.h>

#include <stdexcept>
#include <string>

namespace fovea::api {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

TEST(Duration, HasAWholeNumberAndAUnit) {
  EXPECT_EQ(parse_duration("--every", "30s"), 30s);
  EXPECT_EQ(parse_duration("--every", "15m"), 15min);
  EXPECT_EQ(parse_duration("--every", "1h"), 1h);
  EXPECT_EQ(parse_duration("--every", "1d"), 24h);
  EXPECT_EQ(parse_duration("--every", "365d"), 365 * 24h);
}

TEST(Duration, AnythingElseIsRefusedWithWhatIsRight) {
  for (const std::string text :
       {"", "h", "1", "0s", "-1h", "+1h", "1.5h", "1 h", " 1h", "1h ", "1w", "1H", "1hh", "h1",
        "366d", "31536001s", "99999999999999999999s", "9223372036854775807d"}) {
    EXPECT_THAT([&] { parse_duration("--every", text); },
                testing::ThrowsMessage<std::invalid_argument>(
                    AllOf(HasSubstr("--every is \"" + text + "\""), HasSubstr("30s, 15m, 1h"))))
        << text;
  }
}

}  // namespace
}  // namespace fovea::api
