// Claim: what counts for which unit is what engine/outcomes.h says, case by case and against a
// plain reading of its rules over stores made at random.
#include "engine/outcomes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/planted_store.h"
#include "tests/store_directory.h"

namespace fovea::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class Outcomes : public testing::Test {
 protected:
  Outcomes() : db_(directory_.open()) {
    declare_planted_actions(*db_);
    rules_.success = "buy";
    rules_.guardrails = {"refund"};
    rules_.now_ms = kDay0 + 100 * kDay;
  }

  void shown(std::string user, std::string request, std::int64_t time_ms, std::string variant,
             std::int32_t version = 1) {
    plant(*db_, PlantedExposure{std::move(user),
                                std::move(request),
                                time_ms,
                                std::move(variant),
                                version,
                                "e",
                                {},
                                {}});
  }
  void did(std::string user, std::string action, std::int64_t time_ms,
           std::optional<std::string> request = {}, std::optional<double> value = {}) {
    plant(*db_, PlantedEvent{std::move(user), std::move(action), time_ms, std::move(request), value,
                             "x"});
  }

  std::map<std::string, Outcome> join() {
    std::map<std::string, Outcome> outcomes;
    left_out_ = for_each_outcome(*db_, experiment_, rules_, [&](const Outcome& outcome) {
      outcomes.emplace(outcome.unit, outcome);
    });
    return outcomes;
  }

  const storage::StoreDirectory directory_;
  std::unique_ptr<storage::Db> db_;
  Experiment experiment_ = planted_experiment();
  OutcomeRules rules_;
  LeftOut left_out_;
};

TEST_F(Outcomes, CountFromTheFirstExposureOn) {
  shown("u", "r2", kDay0 + kDay, "treatment");
  shown("u", "r1", kDay0, "treatment");
  did("u", "buy", kDay0 - 1, {}, 3.0);
  did("u", "refund", kDay0 - 2);
  did("u", "buy", kDay0, {}, 1.5);
  did("u", "buy", kDay0 + kDay + 1);
  did("u", "buy", kDay0 + kDay + 2, {}, 2.0);
  did("u", "refund", kDay0 + 5);
  did("stranger", "buy", kDay0 + 5);
  const auto outcomes = join();
  ASSERT_EQ(outcomes.size(), 1U);
  const Outcome& u = outcomes.at("u");
  EXPECT_EQ(u.variant, 1U);
  EXPECT_EQ(u.first_ms, kDay0);
  EXPECT_EQ(u.exposures, 2);
  EXPECT_EQ(u.after.successes, 3);
  EXPECT_EQ(u.after.value, 3.5);
  EXPECT_THAT(u.after.guardrails, ElementsAre(1));
  EXPECT_EQ(u.before.successes, 1);
  EXPECT_EQ(u.before.value, 3.0);
  EXPECT_THAT(u.before.guardrails, ElementsAre(1));
  EXPECT_TRUE(u.acted);
  EXPECT_FALSE(u.truncated);
  const std::int64_t day = period_of(kDay0, kDay);
  EXPECT_THAT(u.successes_by_period, ElementsAre(Pair(day, 1), Pair(day + 1, 2)));
  rules_.period_ms = 1;
  EXPECT_THAT(join().at("u").successes_by_period,
              ElementsAre(Pair(kDay0, 1), Pair(kDay0 + kDay + 1, 1), Pair(kDay0 + kDay + 2, 1)));
  EXPECT_THAT(u.credit, IsEmpty());
}

TEST_F(Outcomes, OfARequestCountWhenThatWasAnExposureOfTheExperiment) {
  shown("u", "ours", kDay0, "control");
  plant(*db_, PlantedExposure{"u", "another's", kDay0 + 1, "control", 1, "another", {}, {}});
  shown("u", "earlier version", kDay0 + 2, "control", 0);
  did("u", "buy", kDay0 + 10, "ours");
  did("u", "buy", kDay0 + 11, "another's");
  did("u", "buy", kDay0 + 12, "earlier version");
  did("u", "buy", kDay0 + 13, "unheard of");
  rules_.window_ms = 5;  // joined by its request, whenever it was
  EXPECT_EQ(join().at("u").after.successes, 1);
  did("u", "buy", kDay0 + 4);
  did("u", "buy", kDay0 + 5);  // the window has passed
  EXPECT_EQ(join().at("u").after.successes, 2);
  rules_.window_ms.reset();
  EXPECT_EQ(join().at("u").after.successes, 3);
}

TEST_F(Outcomes, LeaveOutWhoSawTwoVariants) {
  shown("crossed", "r1", kDay0, "control");
  shown("crossed", "r2", kDay0 + 1, "treatment");
  shown("kept", "r3", kDay0, "control");
  shown("kept", "r4", kDay0 + 1, "control");
  shown("strange", "r5", kDay0, "gone");
  EXPECT_THAT(join(), ElementsAre(Pair("kept", testing::_)));
  EXPECT_EQ(left_out_.crossovers, 1);
  EXPECT_EQ(left_out_.undeclared, 1);
  rules_.now_ms = kDay0;  // then the second variant had not been shown yet
  EXPECT_EQ(join().size(), 2U);
  EXPECT_EQ(left_out_.crossovers, 0);
}

TEST_F(Outcomes, KeepVersionsApart) {
  shown("both", "r1", kDay0, "control", 1);
  shown("both", "r2", kDay0 + 10, "treatment", 2);
  shown("old", "r3", kDay0, "control", 1);
  did("both", "buy", kDay0 + 5);
  did("both", "buy", kDay0 + 15);
  EXPECT_EQ(join().at("both").after.successes, 2);
  EXPECT_EQ(join().at("both").variant, 0U);
  rules_.version = 2;
  const auto outcomes = join();
  EXPECT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes.at("both").variant, 1U);
  EXPECT_EQ(outcomes.at("both").after.successes, 1);
  EXPECT_EQ(left_out_.other_versions, 1);
}

TEST_F(Outcomes, LookAtNothingLaterThanNow) {
  shown("u", "r1", kDay0, "control");
  shown("later", "r2", kDay0 + 11, "control");
  did("u", "buy", kDay0 + 10);
  did("u", "buy", kDay0 + 11);
  rules_.now_ms = kDay0 + 10;
  const auto outcomes = join();
  EXPECT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes.at("u").after.successes, 1);
}

TEST_F(Outcomes, SayWhoseKeptHistoryBeginsTooLate) {
  db_.reset();
  db_ = directory_.open({.history_events_max = 3});
  for (const char* user : {"cut", "full", "short"})
    shown(user, std::string("r ") + user, kDay0, "control");
  for (int i = 1; i <= 4; ++i) did("cut", "buy", kDay0 + i);
  for (int i = 0; i <= 2; ++i) did("full", "buy", kDay0 - i);
  for (int i = 1; i <= 2; ++i) did("short", "buy", kDay0 + i);
  const auto outcomes = join();
  EXPECT_TRUE(outcomes.at("cut").truncated);
  EXPECT_EQ(outcomes.at("cut").after.successes, 3);
  EXPECT_FALSE(outcomes.at("full").truncated) << "nothing after the exposure is missing";
  EXPECT_FALSE(outcomes.at("short").truncated);
}

TEST_F(Outcomes, CreditTheTeamThatBroughtAnItemIn) {
  for (const char* item : {"a", "b", "c", "d"}) {
    plant(*db_, PlantedEvent{"u", "view", kDay0 - kDay, {}, {}, item});
  }
  const auto interleaved = [&](std::string request, std::int64_t time_ms,
                               std::vector<std::string> items, std::vector<std::uint8_t> teams) {
    plant(*db_, PlantedExposure{"u", std::move(request), time_ms, "interleaved", 1, "e",
                                std::move(items), std::move(teams)});
  };
  interleaved("r1", kDay0, {"a", "b", "c"}, {0, 1, storage::kNoTeam});
  interleaved("r2", kDay0 + 100, {"a", "d"}, {1, 0});
  const auto buy = [&](std::string item, std::int64_t time_ms, std::optional<std::string> request) {
    plant(*db_, PlantedEvent{"u", "buy", time_ms, std::move(request), {}, std::move(item)});
  };
  buy("a", kDay0 + 150, "r1");          // control's, of the list that it names
  buy("b", kDay0 + 5, "r1");            // treatment's
  buy("c", kDay0 + 6, "r1");            // nobody's
  buy("a", kDay0 + 50, std::nullopt);   // before the second list: control's
  buy("a", kDay0 + 151, std::nullopt);  // of the second list: treatment's
  buy("d", kDay0 + 99, std::nullopt);   // not shown yet
  buy("d", kDay0 + 200, "unheard of");
  EXPECT_THAT(join().at("u").credit, ElementsAre(2, 2));
  rules_.window_ms = 51;  // since the list that showed it, not since the first
  EXPECT_THAT(join().at("u").credit, ElementsAre(2, 1));
  rules_.window_ms = 52;
  EXPECT_THAT(join().at("u").credit, ElementsAre(2, 2));
}

TEST_F(Outcomes, RefuseASuccessThatNobodyHas) {
  rules_.success = "by";
  EXPECT_THAT([&] { join(); },
              testing::ThrowsMessage<InvalidRequest>(HasSubstr(
                  "success is 'by', which is not declared; declared are: view, buy, refund")));
}

/// The rules once more, over lists of everything, looked through again for every unit.
std::map<std::string, std::vector<std::int64_t>> by_reading_the_rules(
    const std::vector<PlantedExposure>& exposures, const std::vector<PlantedEvent>& events,
    const OutcomeRules& rules) {
  std::map<std::string, std::vector<std::int64_t>> result;
  std::set<std::string> users;
  for (const auto& exposure : exposures) users.insert(exposure.user);
  for (const std::string& user : users) {
    std::set<std::string> variants;
    std::set<std::string> requests;
    std::int64_t first = INT64_MAX;
    for (const auto& exposure : exposures) {
      if (exposure.user != user || exposure.experiment != "e" ||
          exposure.version != rules.version || exposure.time_ms > rules.now_ms) {
        continue;
      }
      variants.insert(exposure.variant);
      requests.insert(exposure.request);
      first = std::min(first, exposure.time_ms);
    }
    if (variants.size() != 1) continue;
    std::int64_t buys = 0;
    std::int64_t before = 0;
    std::int64_t refunds = 0;
    for (const auto& event : events) {
      if (event.user != user || event.time_ms > rules.now_ms) continue;
      if (event.time_ms < first) {
        before += event.action == "buy" ? 1 : 0;
        continue;
      }
      const bool counts = event.request
                              ? requests.contains(*event.request)
                              : !rules.window_ms || event.time_ms < first + *rules.window_ms;
      if (!counts) continue;
      buys += event.action == "buy" ? 1 : 0;
      refunds += event.action == "refund" ? 1 : 0;
    }
    result[user] = {*variants.begin() == "treatment" ? 1 : 0,
                    static_cast<std::int64_t>(requests.size()), buys, before, refunds};
  }
  return result;
}

TEST_F(Outcomes, AgreeWithAPlainReadingOfTheRules) {
  std::mt19937_64 random(7);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  std::vector<PlantedExposure> exposures;
  std::vector<PlantedEvent> events;
  for (int u = 0; u < 120; ++u) {
    const std::string user = "user " + std::to_string(u);
    const bool steady = below(4) != 0;
    const char* own = below(2) != 0 ? "treatment" : "control";
    const auto shows = below(4);
    for (int i = 0; i < shows; ++i) {
      exposures.push_back({user,
                           user + "/" + std::to_string(i),
                           kDay0 + below(200),
                           steady ? own : (below(2) != 0 ? "treatment" : "control"),
                           static_cast<std::int32_t>(below(6) == 0 ? 2 : 1),
                           below(6) == 0 ? "another" : "e",
                           {},
                           {}});
    }
    const auto acts = below(12);
    for (int i = 0; i < acts; ++i) {
      std::optional<std::string> request;
      if (below(2) != 0) request = user + "/" + std::to_string(below(4));
      const char* action = below(3) == 0 ? "refund" : below(2) != 0 ? "buy" : "view";
      events.push_back({user, action, kDay0 - 50 + below(300), request, {}, "x"});
    }
  }
  for (const auto& exposure : exposures) plant(*db_, exposure);
  for (const auto& event : events) plant(*db_, event);
  for (const std::int32_t version : {1, 2}) {
    for (const std::int64_t now : {kDay0 + 90, kDay0 + 1000}) {
      for (const std::optional<std::int64_t> window :
           {std::optional<std::int64_t>{}, std::optional<std::int64_t>{40}}) {
        rules_.version = version;
        rules_.now_ms = now;
        rules_.window_ms = window;
        std::map<std::string, std::vector<std::int64_t>> joined;
        for (const auto& [user, outcome] : join()) {
          joined[user] = {static_cast<std::int64_t>(outcome.variant), outcome.exposures,
                          outcome.after.successes, outcome.before.successes,
                          outcome.after.guardrails.at(0)};
          std::int64_t by_period = 0;
          for (const auto& [day, count] : outcome.successes_by_period) by_period += count;
          EXPECT_EQ(by_period, outcome.after.successes);
        }
        EXPECT_FALSE(joined.empty());
        EXPECT_EQ(joined, by_reading_the_rules(exposures, events, rules_));
      }
    }
  }
}

}  // namespace
}  // namespace fovea::engine
