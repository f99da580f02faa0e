// The generated shop: the same bytes everywhere, valid, and with something to learn from text,
// order and recency.
#include "engine/synthetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace fovea::engine {
namespace {

using History = std::vector<Event>;

std::vector<History> histories(const SyntheticOptions& options) {
  std::vector<History> result;
  synthetic_events(options, [&](std::span<const Event> events) {
    result.emplace_back(events.begin(), events.end());
  });
  return result;
}

/// FNV-1a over everything that is generated.
std::uint64_t fingerprint(const SyntheticOptions& options) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](std::string_view bytes) {
    for (const char byte : bytes) {
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    }
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  for (const Item& item : synthetic_items(options)) {
    mix(item.item_id);
    mix(*item.text);
    mix(std::get<std::string>(item.attributes.at("category")));
    mix(std::to_string(std::get<double>(item.attributes.at("price"))));
  }
  for (const History& history : histories(options)) {
    for (const Event& event : history) {
      mix(event.user_id);
      mix(event.item_id);
      mix(event.action);
      mix(std::to_string(*event.time_ms));
    }
  }
  return hash;
}

class Shop : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (Item& item : synthetic_items({})) items_.emplace(item.item_id, std::move(item));
    histories_ = histories({});
  }
  static const std::string& category(const Event& event) {
    return std::get<std::string>(items_.at(event.item_id).attributes.at("category"));
  }

  static std::map<std::string, Item> items_;
  static std::vector<History> histories_;
};
std::map<std::string, Item> Shop::items_;
std::vector<History> Shop::histories_;

TEST(Synthetic, GivesTheSameBytesOnEveryMachine) {
  EXPECT_EQ(fingerprint({.users = 50, .items = 200, .events_per_user = 40}),
            16444474528699346205ULL);
}

TEST(Synthetic, AnotherSeedGivesAnotherShop) {
  EXPECT_NE(fingerprint({.users = 20, .items = 50, .seed = 1}),
            fingerprint({.users = 20, .items = 50, .seed = 2}));
}

TEST(Synthetic, AUserDoesTheSameWhateverTheNumberOfUsers) {
  const std::vector<History> few = histories({.users = 3});
  const std::vector<History> more = histories({.users = 30});
  ASSERT_EQ(few.back().size(), more[2].size());
  EXPECT_EQ(few.back().back().item_id, more[2].back().item_id);
}

TEST_F(Shop, HasAsManyItemsUsersAndEventsAsAsked) {
  EXPECT_EQ(items_.size(), SyntheticOptions{}.items);
  EXPECT_EQ(histories_.size(), SyntheticOptions{}.users);
  std::size_t events = 0;
  for (const History& history : histories_) events += history.size();
  EXPECT_NEAR(static_cast<double>(events) / static_cast<double>(histories_.size()),
              static_cast<double>(SyntheticOptions{}.events_per_user), 2);
}

TEST_F(Shop, ItemsAndEventsAreValidAndEveryEventNamesAnItem) {
  for (const auto& [id, item] : items_) EXPECT_NO_THROW(validate(item, ""));
  for (const History& history : histories_) {
    std::set<std::string> read;
    for (std::size_t i = 0; i < history.size(); ++i) {
      ASSERT_NO_THROW(validate(history[i], ""));
      ASSERT_TRUE(items_.contains(history[i].item_id));
      ASSERT_TRUE(read.insert(history[i].item_id).second) << "read twice";
      ASSERT_LE(*history[i].time_ms, SyntheticOptions{}.end_ms);
      if (i > 0) {
        ASSERT_GT(*history[i].time_ms, *history[i - 1].time_ms);
      }
    }
  }
}

TEST_F(Shop, TheTextSaysWhatTheItemIs) {
  for (const auto& [id, item] : items_) {
    EXPECT_THAT(*item.text,
                testing::HasSubstr(std::get<std::string>(item.attributes.at("category"))));
    EXPECT_THAT(*item.text,
                testing::HasSubstr(std::get<std::string>(item.attributes.at("author"))));
  }
}

TEST_F(Shop, ThereIsAnOrderToLearnThatNoPopularityTells) {
  std::map<std::string, std::map<std::string, int>> followers;
  std::map<std::string, int> popularity;
  for (const History& history : histories_) {
    for (std::size_t i = 1; i < history.size(); ++i) {
      ++followers[history[i - 1].item_id][history[i].item_id];
      ++popularity[history[i].item_id];
    }
  }
  std::size_t events = 0;
  std::size_t follows_most_often = 0;
  int most_popular = 0;
  for (const auto& [item, counts] : followers) {
    int most = 0;
    for (const auto& [next, count] : counts) {
      most = std::max(most, count);
      events += static_cast<std::size_t>(count);
    }
    follows_most_often += static_cast<std::size_t>(most);
  }
  for (const auto& [item, count] : popularity) most_popular = std::max(most_popular, count);
  const double by_order = static_cast<double>(follows_most_often) / static_cast<double>(events);
  const double by_popularity = static_cast<double>(most_popular) / static_cast<double>(events);
  EXPECT_GT(by_order, 0.25);
  EXPECT_GT(by_order, 20 * by_popularity);
}

TEST_F(Shop, WhatWasReadLastTellsMoreThanWhatWasReadLongAgo) {
  const auto same_category_as_the_newest = [](std::size_t back) {
    std::size_t same = 0;
    std::size_t all = 0;
    for (const History& history : histories_) {
      if (history.size() <= back) continue;
      ++all;
      same += category(history.back()) == category(history[history.size() - 1 - back]) ? 1 : 0;
    }
    return static_cast<double>(same) / static_cast<double>(all);
  };
  const double just_before = same_category_as_the_newest(1);
  const double long_ago = same_category_as_the_newest(25);
  EXPECT_GT(just_before, 0.7);
  EXPECT_LT(long_ago, 0.5 * just_before);
}

TEST_F(Shop, MostBehavioursAreViewsSomeArePurchasesWithAPrice) {
  std::size_t views = 0;
  std::size_t purchases = 0;
  for (const History& history : histories_) {
    for (const Event& event : history) {
      ASSERT_TRUE(event.action == "view" || event.action == "purchase");
      ASSERT_EQ(event.value.has_value(), event.action == "purchase");
      ++(event.action == "view" ? views : purchases);
    }
  }
  EXPECT_GT(purchases, views / 10);
  EXPECT_LT(purchases, views / 3);
}

TEST(Synthetic, ACatalogueOfOneItemStillGivesEvents) {
  const std::vector<History> all = histories({.users = 2, .items = 1});
  for (const History& history : all) EXPECT_EQ(history.size(), 1U);
}

}  // namespace
}  // namespace fovea::engine
