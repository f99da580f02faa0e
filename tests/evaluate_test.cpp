// Evaluation measures what serves: the learned list beats the popular one on a generated shop, and
// the figures are those that a plain recount gives.
#include "engine/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "api/evaluation.h"
#include "engine/engine.h"
#include "engine/learning.h"
#include "engine/synthetic.h"
#include "sanitized.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr SyntheticOptions kShop{
    .users = unless_sanitized<std::size_t>(500, 250), .items = 300, .events_per_user = 25};

/// Of this process alone: tests run side by side.
fs::path fresh(const std::string& name) {
  const fs::path path = fs::path(testing::TempDir()) / (name + std::to_string(::getpid()));
  fs::remove_all(path);
  return path;
}

std::unique_ptr<Engine> open(const fs::path& directory) {
  EngineOptions options;
  options.reload_interval = std::chrono::milliseconds(0);
  return Engine::open(directory, options);
}

void learn(const fs::path& directory, Split split) {
  LearnOptions options;
  options.split = split;
  options.train.width = 32;
  options.train.threads = 1;  // tests run side by side
  options.train.epochs_max = 12;
  options.force = true;  // also of shops too small to beat what is popular
  engine::learn(directory, options, {});
}

/// One shop, learned once.
class Evaluate : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = fresh("fovea_evaluate");
    {
      const auto engine = open(directory_);
      engine->put_items(synthetic_items(kShop));
      engine->declare_action("view", 1);
      engine->declare_action("purchase", 1);
      std::vector<Event> batch;
      synthetic_events(kShop, [&](std::span<const Event> events) {
        histories_.emplace_back(events.begin(), events.end());
        batch.insert(batch.end(), events.begin(), events.end());
      });
      for (std::size_t begin = 0; begin < batch.size(); begin += kEventsPerRecordMax) {
        engine->record(
            std::span(batch).subspan(begin, std::min(kEventsPerRecordMax, batch.size() - begin)));
      }
    }
    learn(directory_, Split::kLeaveOneOut);
    evaluation_ = evaluate(*open(directory_), {}, {});
  }
  static void TearDownTestSuite() { fs::remove_all(directory_); }

  static fs::path directory_;
  static std::vector<std::vector<Event>> histories_;
  static Evaluation evaluation_;
};
fs::path Evaluate::directory_;
std::vector<std::vector<Event>> Evaluate::histories_;
Evaluation Evaluate::evaluation_;

TEST_F(Evaluate, TheLearnedListsBeatThePopularOneSeveralTimesOver) {
  EXPECT_EQ(evaluation_.users, kShop.users);
  EXPECT_GT(evaluation_.ranked.ndcg_10, 3 * evaluation_.popular.ndcg_10);
  EXPECT_GT(evaluation_.retrieval.ndcg_10, 2 * evaluation_.popular.ndcg_10);
  EXPECT_GT(evaluation_.ranked.coverage_10, evaluation_.popular.coverage_10);
}

TEST_F(Evaluate, PopularIsWhatAPlainCountGives) {
  std::map<std::string, int> counts;
  for (const auto& history : histories_) {
    for (std::size_t i = 0; i + 2 < history.size(); ++i) ++counts[history[i].item_id];
  }
  // Items were put in the order of their names, so rows tie as names do.
  std::vector<std::pair<int, std::string>> order;
  for (const Item& item : synthetic_items(kShop))
    order.emplace_back(-counts[item.item_id], item.item_id);
  std::ranges::sort(order);
  double hr_10 = 0;
  double mrr = 0;
  std::set<std::string> shown;
  for (const auto& history : histories_) {
    std::set<std::string> seen;
    for (std::size_t i = 0; i + 1 < history.size(); ++i) seen.insert(history[i].item_id);
    std::size_t rank = 0;
    bool found = false;
    for (const auto& [count, item] : order) {
      if (seen.contains(item)) continue;
      if (rank < 10) shown.insert(item);
      if (item == history.back().item_id) {
        found = true;
        mrr += 1.0 / static_cast<double>(rank + 1);
        hr_10 += rank < 10 ? 1 : 0;
      }
      ++rank;
    }
    ASSERT_TRUE(found);
  }
  const auto users = static_cast<double>(histories_.size());
  EXPECT_NEAR(evaluation_.popular.hr_10, hr_10 / users, 1e-9);
  EXPECT_NEAR(evaluation_.popular.mrr, mrr / users, 1e-9);
  EXPECT_NEAR(evaluation_.popular.coverage_10, static_cast<double>(shown.size()) / kShop.items,
              1e-9);
}

TEST_F(Evaluate, RankedIsWhatServingGives) {
  // A store with the same items and version in which the test behaviours have not happened yet.
  const fs::path before = directory_.string() + "_before";
  fs::remove_all(before);
  {
    const auto engine = open(before);
    engine->put_items(synthetic_items(kShop));
    engine->declare_action("view", 1);
    engine->declare_action("purchase", 1);
    for (const auto& history : histories_)
      engine->record(std::span(history).first(history.size() - 1));
  }
  fs::copy(directory_ / "versions", before / "versions", fs::copy_options::recursive);
  std::map<std::string, EvaluatedUser> users;
  evaluate(*open(directory_),
           {.user = [&](const EvaluatedUser& user) { users[user.user_id] = user; }}, {});
  const auto engine = open(before);
  std::size_t in_top_10 = 0;
  for (const auto& history : histories_) {
    const auto response = engine->rank({.user_id = history.back().user_id, .limit = 10});
    const EvaluatedUser& user = users.at(history.back().user_id);
    EXPECT_EQ(user.item_id, history.back().item_id);
    ASSERT_EQ(response.items.size(), user.top.size());
    for (std::size_t i = 0; i < user.top.size(); ++i) {
      EXPECT_EQ(response.items[i].item_id, user.top[i].first);
      EXPECT_NEAR(response.items[i].score, user.top[i].second, 1e-5);
      if (response.items[i].item_id != user.item_id) continue;
      ++in_top_10;
      EXPECT_EQ(user.ranked, i + 1);
    }
  }
  EXPECT_EQ(in_top_10,
            static_cast<std::size_t>(std::lround(evaluation_.ranked.hr_10 * kShop.users)));
  fs::remove_all(before);
}

TEST_F(Evaluate, ThePartsAreThoseThatTheHistoriesSay) {
  std::size_t tie_free = 0;
  std::map<std::size_t, std::size_t> by_least;
  for (const auto& history : histories_) {
    if (history.back().item_id < history[history.size() - 2].item_id) ++tie_free;
    std::size_t least = 1;
    for (const std::size_t start : {5, 10, 20, 50}) {
      if (history.size() - 1 >= start) least = start;
    }
    ++by_least[least];
  }
  EXPECT_EQ(evaluation_.tie_free.users, tie_free);
  ASSERT_EQ(evaluation_.history_length.size(), by_least.size());
  for (const auto& length : evaluation_.history_length) {
    EXPECT_EQ(length.stages.users, by_least.at(length.least));
  }
}

TEST_F(Evaluate, TransitionsAloneBeatThePopularAndAreBeatenByTheirSum) {
  EXPECT_EQ(evaluation_.transitions.users, kShop.users);
  EXPECT_GT(evaluation_.transitions.ndcg_10, evaluation_.popular.ndcg_10);
  EXPECT_GT(evaluation_.ranked.ndcg_10, evaluation_.transitions.ndcg_10);
}

TEST(EvaluateSeeds, MeanAndSpreadAreThoseOfTheRuns) {
  Evaluation one;
  one.users = one.tie_free.users = 10;
  one.ranked.ndcg_10 = 0.1;
  one.cold.users = 4;
  one.history_length.push_back({1, 4, one});
  Evaluation two = one;
  two.ranked.ndcg_10 = 0.2;
  two.cold.users = 6;
  const std::vector<std::uint64_t> seeds = {7, 8};
  const std::vector<boost::json::object> runs = {api::to_json(one), api::to_json(two)};
  const auto result = api::over_seeds(seeds, runs);
  EXPECT_NEAR(result.at("mean").at("ranked").at("ndcg@10").as_double(), 0.15, 1e-12);
  EXPECT_NEAR(result.at("spread").at("ranked").at("ndcg@10").as_double(), 0.1 / std::sqrt(2),
              1e-12);
  EXPECT_NEAR(result.at("mean").at("cold").at("users").as_double(), 5, 1e-12);
  EXPECT_NEAR(result.at("spread").at("popular").at("mrr").as_double(), 0, 1e-12);
  EXPECT_EQ(result.at("runs").as_array().size(), 2U);
  EXPECT_THAT(api::seeds_table(result), HasSubstr("0.1500 ± 0.0707"));
  EXPECT_THAT(api::seeds_table(result), HasSubstr("2 seeds"));
}

TEST_F(Evaluate, OneThreadGivesTheSameFigures) {
  std::size_t calls = 0;
  std::size_t last = 0;
  const Evaluation again =
      evaluate(*open(directory_), {.threads = 1}, [&](std::size_t done, std::size_t of) {
        EXPECT_EQ(of, kShop.users);
        EXPECT_GT(done, last);
        last = done;
        ++calls;
      });
  EXPECT_GT(calls, 1U);
  EXPECT_EQ(last, kShop.users);
  EXPECT_EQ(again.ranked.ndcg_10, evaluation_.ranked.ndcg_10);
  EXPECT_EQ(again.retrieval.mrr, evaluation_.retrieval.mrr);
}

TEST_F(Evaluate, SeenItemsMakeTheTaskHarder) {
  const Evaluation with_seen = evaluate(*open(directory_), {.include_seen = true}, {});
  EXPECT_EQ(with_seen.users, kShop.users);
  EXPECT_LT(with_seen.popular.mrr, evaluation_.popular.mrr);
}

TEST_F(Evaluate, TheFiguresAreOrderedAsTheirDefinitionsAre) {
  for (const ranking::Metrics& metrics :
       {evaluation_.popular, evaluation_.retrieval, evaluation_.ranked}) {
    EXPECT_EQ(metrics.users, kShop.users);
    EXPECT_LE(metrics.hr_5, metrics.hr_10);
    EXPECT_LE(metrics.ndcg_5, metrics.ndcg_10);
    EXPECT_LE(metrics.ndcg_10, metrics.hr_10);
  }
  EXPECT_GE(evaluation_.candidates_recall, evaluation_.ranked.hr_10);
  EXPECT_LE(evaluation_.candidates_recall, 1);
  EXPECT_LE(evaluation_.cold.users, evaluation_.users);
}

TEST_F(Evaluate, TheJsonHasTheFractionsByTheirNames) {
  const boost::json::object json = api::to_json(evaluation_);
  EXPECT_EQ(json.at("users").to_number<std::size_t>(), kShop.users);
  for (const char* stage : {"popular", "retrieval", "ranked"}) {
    for (const char* metric : {"hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr", "coverage@10"}) {
      EXPECT_GE(json.at(stage).at(metric).as_double(), 0) << stage << ' ' << metric;
      EXPECT_LE(json.at(stage).at(metric).as_double(), 1) << stage << ' ' << metric;
      EXPECT_TRUE(json.at("cold").at(stage).as_object().contains(metric));
    }
  }
  EXPECT_EQ(json.at("ranked").at("ndcg@10").as_double(), evaluation_.ranked.ndcg_10);
  EXPECT_EQ(json.at("ranked").at("recall@K").as_double(), evaluation_.candidates_recall);
  EXPECT_EQ(json.at("cold").at("users").to_number<std::size_t>(), evaluation_.cold.users);
  EXPECT_GE(json.at("transitions").at("ndcg@10").as_double(), 0);
  EXPECT_EQ(json.at("tie_free").at("users").to_number<std::size_t>(), evaluation_.tie_free.users);
  EXPECT_EQ(json.at("history_length").as_array().size(), evaluation_.history_length.size());
  EXPECT_THAT(api::table(evaluation_), HasSubstr(std::to_string(kShop.users) + " users"));
}

/// Own stores: what they do to them must not be seen by the others.
class EvaluateRefuses : public testing::Test {
 protected:
  EvaluateRefuses() {
    directory_ = fresh("fovea_evaluate_refuses");
    const auto engine = open(directory_);
    engine->put_items(synthetic_items({.users = 20, .items = 30}));
    engine->declare_action("view", 1);
    engine->declare_action("purchase", 1);
    synthetic_events({.users = 20, .items = 30, .events_per_user = 6},
                     [&](std::span<const Event> events) { engine->record(events); });
  }
  ~EvaluateRefuses() override { fs::remove_all(directory_); }

  void expect_refusal(const std::string& sentence) const {
    const auto engine = open(directory_);
    EXPECT_THAT([&] { evaluate(*engine, {}, {}); },
                testing::ThrowsMessage<InvalidRequest>(HasSubstr(sentence)));
  }
  fs::path directory_;
};

TEST_F(EvaluateRefuses, AStoreThatNothingWasLearnedFrom) {
  expect_refusal("nothing has been trained yet");
}

TEST_F(EvaluateRefuses, AVersionThatHeldNothingOut) {
  learn(directory_, Split::kNone);
  expect_refusal("has learned from everything");
}

TEST_F(EvaluateRefuses, AStoreThatHasChangedSince) {
  learn(directory_, Split::kLeaveOneOut);
  const Event event{"reader-0001", "book-0030", "view", {}, {}, {}, {}};
  open(directory_)->record(std::span(&event, 1));
  expect_refusal("train again before measuring");
}

}  // namespace
}  // namespace fovea::engine
