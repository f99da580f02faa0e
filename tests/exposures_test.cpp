// Claim: exposures come back newest first, stay with their user, and leave after their days.
#include "storage/exposures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "storage/keys.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> requests(Db& db, std::string_view user_id, std::size_t limit = 100) {
  std::vector<std::string> ids;
  for (const Exposure& exposure : db.exposures().read(user_id, limit)) {
    ids.push_back(exposure.request_id);
  }
  return ids;
}

TEST(Exposures, ComeBackNewestFirstAndWhole) {
  const StoreDirectory directory;
  {
    const auto db = directory.open();
    db->exposures().append("u", {"second", 20, "v1", {5, 3, 4}});
    db->exposures().append("u", {"before the epoch", -1, "v1", {}});
    db->exposures().append("u", {"third", 30, "v2", {1}});
    db->exposures().append("u", {"also third", 30, "v2", {2}});
    db->exposures().append("v", {"other", 25, "v1", {9}});
  }
  const auto db = directory.open();
  EXPECT_THAT(requests(*db, "u"), ElementsAre("also third", "third", "second", "before the epoch"));
  EXPECT_THAT(requests(*db, "u", 1), ElementsAre("also third"));
  const auto exposure = db->exposures().read("u", 3).at(2);
  EXPECT_EQ(exposure.time_ms, 20);
  EXPECT_EQ(exposure.model_version, "v1");
  EXPECT_THAT(exposure.rows, ElementsAre(5, 3, 4));
  EXPECT_THAT(requests(*db, "v"), ElementsAre("other"));
  EXPECT_THAT(requests(*db, "nobody"), ElementsAre());
  EXPECT_THROW(db->exposures().append("", {"r", 1, "v", {}}), std::invalid_argument);
}

TEST(Exposures, OfExperimentsComeBackUserByUserNewestFirstAndWhole) {
  const StoreDirectory directory;
  const Exposure plain{"plain", 30, "v1", {7}, {}};
  const Trial whole{"ranker", 2, "treatment", {}, {}};
  const Trial shuffled{"slice", 1, "control", {0.5F, 0.5F, 1}, {}};
  const Trial interleaved{"both", 3, "interleaved", {}, {0, 1, kNoTeam}};
  {
    const auto db = directory.open();
    db->exposures().append("u", plain);
    db->exposures().append("u", {"older", 20, "v1", {5, 3, 4}, {whole, shuffled}});
    db->exposures().append("u", {"newer", 25, "v2", {1, 2, 3}, {interleaved}});
    db->exposures().append("v", {"nothing shown", -1, "", {}, {whole}});
    EXPECT_THAT(requests(*db, "u"), ElementsAre("plain", "newer", "older"));
  }
  const auto db = directory.open();
  std::vector<std::pair<std::string, Exposure>> read;
  db->exposures().each_in_trials([&](std::string_view user, Exposure exposure) {
    read.emplace_back(user, std::move(exposure));
  });
  ASSERT_EQ(read.size(), 3U);
  EXPECT_EQ(read[0].second.request_id, "newer");
  EXPECT_EQ(read[0].second.time_ms, 25);
  EXPECT_EQ(read[0].second.model_version, "v2");
  EXPECT_THAT(read[0].second.rows, ElementsAre(1, 2, 3));
  EXPECT_THAT(read[0].second.trials.at(0).teams, ElementsAre(0, 1, kNoTeam));
  EXPECT_EQ(read[0].second.trials.at(0).version, 3);
  EXPECT_EQ(read[1].first, "u");
  EXPECT_EQ(read[1].second.trials.at(0).variant, "treatment");
  EXPECT_EQ(read[1].second.trials.at(1).experiment, "slice");
  EXPECT_THAT(read[1].second.trials.at(1).propensities, ElementsAre(0.5F, 0.5F, 1));
  EXPECT_EQ(read[2].first, "v");
  EXPECT_EQ(read[2].second.time_ms, -1);

  const Trial wrong{"slice", 1, "control", {0.5F}, {}};
  EXPECT_THROW(db->exposures().append("u", {"r", 1, "v", {1, 2}, {wrong}}), std::invalid_argument);
}

TEST(Exposures, LeaveAtCompactionWhenTheyAreTooOld) {
  constexpr std::int64_t kDay_ms = 24 * 60 * 60 * 1000;
  const std::int64_t now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count();
  const auto after_compaction = [&](std::uint32_t days_max) {
    const StoreDirectory directory;
    const auto db = directory.open({.exposure_days_max = days_max});
    db->exposures().append("u", {"old", now_ms - 8 * kDay_ms, "v1", {}, {{"e", 1, "a", {}, {}}}});
    db->exposures().append("u", {"young", now_ms - 6 * kDay_ms, "v1", {}});
    record(*db, view("u", "a", 1));
    db->exposures().append("passer-by", {"r", now_ms, "v1", {}});
    db->delete_user("passer-by");  // compacts the files around, here all of them
    EXPECT_THAT(items_of(*db, "u"), ElementsAre("a"));
    int in_trials = 0;
    db->exposures().each_in_trials([&](std::string_view, const Exposure&) { ++in_trials; });
    EXPECT_EQ(in_trials, 1) << "what experiments need stays longer";
    return requests(*db, "u");
  };
  EXPECT_THAT(after_compaction(7), ElementsAre("young"));
  EXPECT_THAT(after_compaction(0), ElementsAre("young", "old"));
}

TEST(ExposureKey, RefusesWhatIsCutShort) {
  const std::string key = exposure_key(Tag::kExposure, "user", -5, "request");
  EXPECT_EQ(parse_exposure_key(key)->user_id, "user");
  EXPECT_EQ(parse_exposure_key(key)->time_ms, -5);
  EXPECT_EQ(parse_exposure_key(key)->request_id, "request");
  EXPECT_EQ(parse_exposure_key(key.substr(0, 10)), std::nullopt);
  EXPECT_EQ(parse_exposure_key("e"), std::nullopt);
}

}  // namespace
}  // namespace fovea::storage
