// A page token says what was shown and nothing else, comes back as it went, and is refused when it
// was changed or belongs to another request.
#include "engine/page_token.h"

#include <gmock/gmock.h>

#include <random>
#include <set>

namespace fovea::engine {
namespace {

using testing::HasSubstr;

TEST(PageToken, ComesBackAsItWent) {
  std::mt19937 random(1);
  for (const std::size_t count : {0U, 1U, 2U, 20U, 1'000U, 10'000U}) {
    std::set<std::uint32_t> rows =
        count > 1 ? std::set<std::uint32_t>{0, 0xFFFFFFFF} : std::set<std::uint32_t>{};
    while (rows.size() < count) rows.insert(random() >> (random() % 31));
    const PageToken token{random(), {rows.begin(), rows.end()}};
    const std::string text = to_text(token);
    const PageToken back = read_page_token(text, token.request);
    EXPECT_EQ(back.shown, token.shown);
    EXPECT_LE(text.size(), 20 + 7 * count);
    EXPECT_EQ(
        text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "-_"),
        std::string::npos);
  }
}

TEST(PageToken, EveryChangedCharacterIsRefused) {
  const PageToken token{42, {1, 5, 1'000'000}};
  const std::string text = to_text(token);
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char other : {'A', '_', '7', '!', '\0'}) {
      std::string changed = text;
      if (changed[i] == other) continue;
      changed[i] = other;
      try {
        // The last character has bits to spare, which say nothing.
        EXPECT_EQ(read_page_token(changed, 42).shown, token.shown);
        EXPECT_EQ(i, text.size() - 1);
      } catch (const InvalidRequest& refused) {
        EXPECT_EQ(refused.field, "page_token");
        EXPECT_THAT(refused.what(), HasSubstr("next_page_token"));
      }
    }
    EXPECT_THROW(read_page_token(text.substr(0, i), 42), InvalidRequest);
  }
  EXPECT_THROW(read_page_token(std::string(1'000'000, 'A'), 42), InvalidRequest);
}

TEST(PageToken, BelongsToItsRequest) {
  RankRequest request;
  request.user_id = "ada";
  request.filter = "year > 1990";
  const auto token = to_text({fingerprint(request), {1, 2}});
  request.limit = 7;
  request.explain = true;
  request.session.push_back({"", "i", "view"});
  EXPECT_EQ(read_page_token(token, fingerprint(request)).shown.size(), 2U);
  std::set<std::uint64_t> prints = {fingerprint(request)};
  const auto other = [&](auto change) {
    RankRequest changed = request;
    change(changed);
    EXPECT_TRUE(prints.insert(fingerprint(changed)).second);
    try {
      read_page_token(token, fingerprint(changed));
      ADD_FAILURE() << "not refused";
    } catch (const InvalidRequest& refused) {
      EXPECT_THAT(refused.what(), HasSubstr("belongs to another request"));
    }
  };
  other([](auto& r) { r.user_id = "bob"; });
  other([](auto& r) { r.user_id.reset(); });
  other([](auto& r) { r.user_id = ""; });
  other([](auto& r) { r.filter.reset(); });
  other([](auto& r) { r.query = "year > 1990"; });
  other([](auto& r) { r.seed_items = {"a"}; });
  other([](auto& r) { r.seed_items = {"", "a"}; });
  other([](auto& r) { r.candidates.emplace(); });
  other([](auto& r) { r.candidates = {"a"}; });
}

}  // namespace
}  // namespace fovea::engine
