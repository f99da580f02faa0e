// Claim: transitions are counted as their formula says, in bounded rows, and come back from a file.
#include "ranking/transitions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "ranking/random.h"

namespace fovea::ranking {
namespace {

Interactions log_of(const std::vector<std::vector<std::uint32_t>>& users) {
  Interactions log;
  for (const auto& rows : users) {
    std::vector<Behaviour> behaviours;
    for (const std::uint32_t row : rows) behaviours.push_back({.row = row});
    log.add_user(behaviours);
  }
  return log;
}

const std::vector<float> kOneAction = {1};

// Every entry by the formula, with no bound on a row's entries.
std::map<std::pair<std::uint32_t, std::uint32_t>, double> by_hand(
    const std::vector<std::vector<std::uint32_t>>& users) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, double> sums;
  std::map<std::uint32_t, double> popularity;
  for (const auto& rows : users) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ++popularity[rows[i]];
      for (std::size_t j = i + 1; j < rows.size() && j <= i + 5; ++j) {
        if (rows[i] == rows[j]) continue;
        const double amount = std::pow(0.7, static_cast<double>(j - i - 1));
        sums[{rows[i], rows[j]}] += amount;
        sums[{rows[j], rows[i]}] += 0.5 * amount;
      }
    }
  }
  for (auto& [pair, sum] : sums) {
    sum *= std::pow(popularity[pair.first], -0.25) * std::pow(popularity[pair.second], -0.1);
  }
  return sums;
}

std::vector<std::vector<std::uint32_t>> random_users(std::size_t users, std::size_t items,
                                                     std::uint64_t seed) {
  Random random(seed);
  std::vector<std::vector<std::uint32_t>> result(users);
  for (auto& rows : result) {
    for (std::size_t n = random.below(20); n > 0; --n) {
      rows.push_back(static_cast<std::uint32_t>(random.below(items)));
    }
  }
  return result;
}

TEST(Transitions, OfOneUserAreWorkedOutByHand) {
  const auto t = Transitions::count(log_of({{0, 1, 2}}), 3, kOneAction, {});
  EXPECT_FLOAT_EQ(t.weight(0, 1), 1);
  EXPECT_FLOAT_EQ(t.weight(0, 2), 0.7F);
  EXPECT_FLOAT_EQ(t.weight(2, 0), 0.35F);
  EXPECT_FLOAT_EQ(t.weight(1, 0), 0.5F);
  EXPECT_EQ(t.weight(0, 0), 0);
  EXPECT_EQ(t.weight(7, 0), 0);
  EXPECT_TRUE(t.from(3).empty());
}

TEST(Transitions, OfPopularItemsAreScaledDown) {
  // 0 four times, 1 twice, always next to each other once.
  const auto t = Transitions::count(log_of({{0, 1}, {0}, {0}, {0}, {1}}), 2, kOneAction, {});
  EXPECT_FLOAT_EQ(t.weight(0, 1), std::pow(4.0F, -0.25F) * std::pow(2.0F, -0.1F));
  EXPECT_FLOAT_EQ(t.weight(1, 0), 0.5F * std::pow(2.0F, -0.25F) * std::pow(4.0F, -0.1F));
}

TEST(Transitions, BeforeAndSinceAMomentAddUpToTheWhole) {
  const std::int64_t moment = 7;
  Interactions before, all;
  for (const auto& rows : random_users(400, 30, 3)) {
    std::vector<Behaviour> behaviours;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      behaviours.push_back({.row = rows[i], .time_ms = static_cast<std::int64_t>(i)});
    }
    all.add_user(behaviours);
    behaviours.resize(std::min<std::size_t>(behaviours.size(), moment + 1));
    before.add_user(behaviours);
  }
  // Popularity differs between the two counts; without its powers they are sums.
  const Transitions::Options plain = {.source_popularity = 0, .target_popularity = 0};
  const auto whole = Transitions::count(all, 30, kOneAction, plain);
  const auto early = Transitions::count(before, 30, kOneAction, plain);
  const auto since = Transitions::count_since(moment, {}, all, 30, kOneAction, plain);
  double early_sum = 0;
  double since_sum = 0;
  for (std::uint32_t a = 0; a < 30; ++a) {
    for (std::uint32_t b = 0; b < 30; ++b) {
      EXPECT_NEAR(early.weight(a, b) + since.weight(a, b), whole.weight(a, b), 1e-4);
      early_sum += early.weight(a, b);
      since_sum += since.weight(a, b);
    }
  }
  EXPECT_GT(early_sum, 0);
  EXPECT_GT(since_sum, 0);
  const std::vector<std::uint32_t> newest_first = {3, 5};
  auto together = early.following(newest_first, &since);
  auto counted = whole.following(newest_first);
  for (auto* entries : {&together, &counted}) {
    std::ranges::sort(*entries, {}, &Transitions::Entry::row);
  }
  ASSERT_EQ(together.size(), counted.size());
  for (std::size_t i = 0; i < counted.size(); ++i) {
    EXPECT_EQ(together[i].row, counted[i].row);
    EXPECT_NEAR(together[i].weight, counted[i].weight, 1e-4);
  }
}

TEST(Transitions, SinceAMomentAreScaledByThePopularityUntilThen) {
  Interactions log;
  log.add_user(std::vector<Behaviour>{{.row = 0, .time_ms = 1}, {.row = 1, .time_ms = 2}});
  const std::vector<float> log_popularity = {std::log1p(16.0F), std::log1p(7.0F)};
  const auto t = Transitions::count_since(1, log_popularity, log, 2, kOneAction, {});
  EXPECT_FLOAT_EQ(t.weight(0, 1), std::pow(16.0F, -0.25F) * std::pow(8.0F, -0.1F));
}

TEST(Transitions, OfManyUsersAreTheSumsOfTheFormula) {
  const auto users = random_users(400, 30, 3);
  const auto t = Transitions::count(log_of(users), 30, kOneAction, {});
  const auto expected = by_hand(users);
  std::size_t entries = 0;
  for (std::uint32_t source = 0; source < 30; ++source) {
    entries += t.from(source).size();
    EXPECT_TRUE(std::ranges::is_sorted(t.from(source), {}, &Transitions::Entry::row));
  }
  EXPECT_EQ(entries, expected.size());
  for (const auto& [pair, weight] : expected) {
    EXPECT_NEAR(t.weight(pair.first, pair.second), weight, 1e-5 * weight);
  }
}

TEST(Transitions, KeepTheStrongestOfEachSource) {
  const auto users = random_users(400, 30, 4);
  Transitions::Options options;
  const auto all = Transitions::count(log_of(users), 30, kOneAction, options);
  options.row_entries_max = 7;
  const auto kept = Transitions::count(log_of(users), 30, kOneAction, options);
  for (std::uint32_t source = 0; source < 30; ++source) {
    std::vector<float> weights, strongest;
    for (const auto& entry : all.from(source)) strongest.push_back(entry.weight);
    for (const auto& entry : kept.from(source)) {
      weights.push_back(entry.weight);
      EXPECT_EQ(entry.weight, all.weight(source, entry.row));
    }
    std::ranges::sort(strongest, std::greater{});
    strongest.resize(7);
    EXPECT_THAT(weights, testing::UnorderedElementsAreArray(strongest));
  }
}

TEST(Transitions, DoNotCountRepeatsUnknownItemsAndUnwantedActions) {
  Interactions log;
  const Behaviour unwanted{.row = 2, .action = 1};
  const Behaviour unknown{.row = 9};
  const Behaviour beyond{.row = 3, .action = 40};
  log.add_user(std::vector<Behaviour>{{.row = 0}, {.row = 0}, unwanted, unknown, beyond});
  const auto t = Transitions::count(log, 4, std::vector<float>{1, 0}, {});
  EXPECT_EQ(t.weight(0, 0), 0);
  EXPECT_EQ(t.weight(0, 2), 0);
  EXPECT_TRUE(t.from(2).empty());
  EXPECT_TRUE(t.from(9).empty());
  // Neither the unwanted nor the unknown one stands between 0 and 3.
  EXPECT_FLOAT_EQ(t.weight(0, 3), 1.7F * std::pow(2.0F, -0.25F));
}

TEST(Transitions, ScoreNewestBehavioursMost) {
  const auto users = random_users(200, 25, 5);
  const auto t = Transitions::count(log_of(users), 25, kOneAction, {});
  std::vector<std::uint32_t> newest_first;
  for (std::uint32_t i = 0; i < 24; ++i) newest_first.push_back(i % 23);
  std::vector<Transitions::Entry> expected;
  for (std::uint32_t item = 0; item < 25; ++item) {
    float score = 0;
    for (std::size_t age = 0; age < 20; ++age) {
      score += std::pow(0.6F, static_cast<float>(age)) * t.weight(newest_first[age], item);
    }
    if (score > 0) expected.push_back({item, score});
  }
  std::ranges::sort(expected, std::greater{}, &Transitions::Entry::weight);
  const auto best = t.best(newest_first, 10);
  ASSERT_EQ(best.size(), 10U);
  for (std::size_t i = 0; i < best.size(); ++i) {
    EXPECT_EQ(best[i].row, expected[i].row);
    EXPECT_NEAR(best[i].weight, expected[i].weight, 1e-5);
  }
  EXPECT_EQ(t.best(newest_first, 1000).size(), expected.size());
  EXPECT_TRUE(t.best({}, 10).empty());
  EXPECT_TRUE(t.best(newest_first, 0).empty());
}

TEST(Transitions, OfALogTooLongForOnePassAreTheSame) {
  // 1,200,000 users of two behaviours: more than one range of sources is counted at a time.
  Interactions log;
  for (std::uint32_t u = 0; u < 1'200'000; ++u) {
    log.add_user(std::vector<Behaviour>{{.row = u % 4}, {.row = (u + 1) % 4}});
  }
  const auto t = Transitions::count(log, 4, kOneAction, {});
  for (std::uint32_t row = 0; row < 4; ++row) {
    EXPECT_NEAR(t.weight(row, (row + 1) % 4), 300'000 * std::pow(600'000, -0.35), 0.1);
    EXPECT_NEAR(t.weight((row + 1) % 4, row), 150'000 * std::pow(600'000, -0.35), 0.1);
    EXPECT_EQ(t.from(row).size(), 2U);
  }
}

TEST(Transitions, WithoutBehavioursAreEmpty) {
  EXPECT_TRUE(Transitions().best(std::vector<std::uint32_t>{0}, 5).empty());
  const auto t = Transitions::count({}, 3, kOneAction, {});
  EXPECT_TRUE(t.from(0).empty());
  EXPECT_TRUE(t.from(2).empty());
}

TEST(Transitions, ComeBackFromWeights) {
  const auto t = Transitions::count(log_of(random_users(100, 12, 6)), 12, kOneAction, {});
  Weights weights;
  t.save(weights, "transitions");
  const auto back = ItemPairs::load(weights, "transitions");
  for (std::uint32_t a = 0; a < 12; ++a) {
    for (std::uint32_t b = 0; b < 12; ++b) EXPECT_EQ(back.weight(a, b), t.weight(a, b));
  }
}

TEST(Transitions, AreRefusedWhereTheirArraysDisagree) {
  const auto with = [](std::vector<std::uint32_t> offsets, std::vector<std::uint32_t> rows) {
    Weights weights;
    weights.put("transitions.weights", {rows.size()}, std::vector<float>(rows.size(), 1));
    weights.put_ids("transitions.offsets", std::move(offsets));
    weights.put_ids("transitions.rows", std::move(rows));
    return weights;
  };
  EXPECT_NO_THROW((ItemPairs::load(with({0, 2, 2}, {0, 1}), "transitions")));
  EXPECT_THROW((ItemPairs::load(with({}, {}), "transitions")), WeightsError);
  EXPECT_THROW((ItemPairs::load(with({0, 2, 3}, {0, 1}), "transitions")), WeightsError);
  EXPECT_THROW((ItemPairs::load(with({0, 3, 2}, {0, 1}), "transitions")), WeightsError);
  EXPECT_THROW((ItemPairs::load(with({1, 2, 2}, {0, 1}), "transitions")), WeightsError);
  EXPECT_THROW((ItemPairs::load(with({0, 2, 2}, {1, 0}), "transitions")), WeightsError);
  EXPECT_THROW((ItemPairs::load(with({0, 2, 2}, {1, 1}), "transitions")), WeightsError);
  EXPECT_THROW((ItemPairs::load(with({0, 2, 2}, {0, 2}), "transitions")), WeightsError);
}

}  // namespace
}  // namespace fovea::ranking
