// Claim: lists left to chance are read as what a policy would have put where, over what was known
// of the user before, and its estimates cover what it would have earned.
#include "engine/randomised_slice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "tests/planted_store.h"
#include "tests/shop.h"

namespace fovea::engine {
namespace {

constexpr std::size_t kPlaces = 4;

struct List {
  std::string user;
  std::int64_t time_ms = 0;
  std::vector<std::string> shown;
  std::vector<std::string> ranked;  ///< As the engine orders the same items.
};

class RandomisedSliceTest : public testing::Test {
 protected:
  RandomisedSliceTest() : engine_(shop_.open()) {
    engine_->declare_action("buy", 5);
    shop_.stock(*engine_);
    shop_.publish(shop_.learned_version(engine_->db()));
    engine_->reload();
    rules_.success = "buy";
    std::mt19937_64 random(3);
    for (std::size_t u = 0; u < Shop::kUsers; ++u) {
      for (int i = 0; i < 25; ++i) {
        shop_.now_ms += 1000;
        List list{"user-" + std::to_string(u), shop_.now_ms, {}, {}};
        while (list.shown.size() < kPlaces) {
          const std::string id = Shop::id(random() % Shop::kKinds, random() % Shop::kItemsPerKind);
          if (std::ranges::find(list.shown, id) == list.shown.end()) list.shown.push_back(id);
        }
        RankRequest request;
        request.user_id = list.user;
        request.candidates = list.shown;
        request.include_seen = true;
        list.ranked = ids(engine_->rank(request));
        lists_.push_back(list);
      }
    }
    // What was earned comes after all lists, so that none of them is ranked over it.
    for (const List& list : lists_) {
      expose(list, std::vector<float>(kPlaces, 1.0F / kPlaces));
      for (std::size_t place = 0; place < kPlaces; ++place) {
        if (!earns(list.user, list.shown[place], place)) continue;
        Event event = shop_.event(list.user, list.shown[place]);
        event.action = "buy";
        event.event_id = request_of(list) + list.shown[place];
        event.request_id = request_of(list);
        engine_->record({&event, 1});
      }
    }
    rules_.now_ms = shop_.now_ms;
    // As the store gives them back: users by their keys, the newest list of each first.
    std::ranges::sort(lists_, [](const List& a, const List& b) {
      return std::tuple(a.user.size(), a.user, -a.time_ms) <
             std::tuple(b.user.size(), b.user, -b.time_ms);
    });
  }

  static std::string request_of(const List& list) {
    return list.user + "@" + std::to_string(list.time_ms);
  }
  void expose(const List& list, std::vector<float> propensities) {
    storage::Exposure exposure{request_of(list), list.time_ms, "v", {}, {}};
    for (const std::string& id : list.shown) {
      exposure.rows.push_back(engine_->db().catalog().row(id).value());
    }
    exposure.trials = {{"e", 1, "control", std::move(propensities), {}}};
    engine_->db().exposures().append(list.user, exposure);
  }
  /// Users buy what is on top, if it is of their kind, and every other such item further down.
  static bool earns(const std::string& user, const std::string& item, std::size_t place) {
    const std::size_t number = std::stoul(user.substr(5));
    const bool liked = Shop::kind_of(item) == Shop::kind_of(Shop::id(number % Shop::kKinds, 0));
    return liked && (place == 0 || item.back() % 2 == 0);
  }
  RandomisedSlice read(const TargetPolicy& policy) {
    return randomised_slice(engine_->snapshot(), experiment_, rules_, policy);
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
  std::vector<List> lists_;
  Experiment experiment_ = planted_experiment();
  SliceRules rules_;
};

TEST_F(RandomisedSliceTest, IsReadOverWhatWasKnownBeforeEachList) {
  const RandomisedSlice slice = read({});
  EXPECT_EQ(slice.left_out, 0);
  ASSERT_EQ(slice.choices.size(), lists_.size() * kPlaces);
  std::map<std::size_t, double> sums;
  double rewards = 0;
  double earned = 0;  // by the policy, had it served
  for (std::size_t i = 0; i < slice.choices.size(); ++i) {
    const List& list = lists_[i / kPlaces];
    const std::size_t place = i % kPlaces;
    const LoggedChoice& choice = slice.choices[i];
    const double reward = earns(list.user, list.shown[place], place) ? 1 : 0;
    EXPECT_EQ(choice.reward, reward) << request_of(list) << " " << place;
    EXPECT_EQ(choice.propensity, 1.0 / kPlaces);
    EXPECT_EQ(choice.target_probability, list.shown[place] == list.ranked[place] ? 1 : 0)
        << request_of(list) << " " << place;
    sums[place] += reward;
    rewards += reward;
    earned += earns(list.user, list.ranked[place], place) ? 1 : 0;
  }
  const auto n = static_cast<double>(slice.choices.size());
  EXPECT_DOUBLE_EQ(slice.logged_reward, rewards / n);
  for (std::size_t i = 0; i < slice.choices.size(); ++i) {
    const double mean = sums[i % kPlaces] / static_cast<double>(lists_.size());
    EXPECT_DOUBLE_EQ(slice.choices[i].expected->of_choice, mean);
    EXPECT_DOUBLE_EQ(slice.choices[i].expected->of_target, mean);
  }
  const OffPolicy values = evaluate_policy(slice.choices, "log");
  for (const PolicyValue& value : {values.ips, values.snips, *values.doubly_robust}) {
    EXPECT_NEAR(value.estimate, earned / n, 4 * value.standard_error);
    EXPECT_LT(value.standard_error, .05);
  }
  EXPECT_GT(std::abs(earned - rewards) / n, values.ips.standard_error)
      << "the policy must differ from chance for this to say anything";
}

TEST_F(RandomisedSliceTest, WithoutTheRankerIsInTheOrderOfTheIndex) {
  const Snapshot snapshot = engine_->snapshot();
  const RandomisedSlice slice = read({.ranker = false, .boosts = {}});
  ASSERT_EQ(slice.choices.size(), lists_.size() * kPlaces);
  for (std::size_t l = 0; l < lists_.size(); ++l) {
    const List& list = lists_[l];
    RankRequest request;
    request.user_id = list.user;
    Question question = history(snapshot, request, list.time_ms);
    std::erase_if(question.behaviours, [&](const auto& b) { return b.time_ms >= list.time_ms; });
    const UserState user = user_state(snapshot, question.behaviours, 0);
    std::vector<std::string> nearest;
    for (const auto& neighbour : snapshot.model->item_index()->search(user.hidden, 1000)) {
      const std::string id = snapshot.db->catalog().item_id(neighbour.row);
      if (std::ranges::find(list.shown, id) != list.shown.end()) nearest.push_back(id);
    }
    ASSERT_EQ(nearest.size(), kPlaces);
    for (std::size_t place = 0; place < kPlaces; ++place) {
      EXPECT_EQ(slice.choices[l * kPlaces + place].target_probability,
                nearest[place] == list.shown[place] ? 1 : 0);
    }
  }
}

TEST_F(RandomisedSliceTest, FollowsTheBoostsOfTheVariant) {
  std::vector<Item> items;
  for (std::size_t k = 0; k < Shop::kKinds; ++k) {
    for (std::size_t number = 0; number < Shop::kItemsPerKind; ++number) {
      items.push_back(Shop::item(k, number));
      items.back().attributes["kind"] = Shop::kind_of(items.back().item_id);
    }
  }
  engine_->put_items(items);
  const std::string kind = Shop::kind_of(Shop::id(2, 0));
  const RandomisedSlice slice = read({.ranker = true, .boosts = {{"kind = '" + kind + "'", 1e5}}});
  for (std::size_t l = 0; l < lists_.size(); ++l) {
    const auto& shown = lists_[l].shown;
    const auto boosted = std::ranges::count_if(
        shown, [&](const std::string& id) { return Shop::kind_of(id) == kind; });
    for (std::size_t place = 0; place < kPlaces; ++place) {
      if (slice.choices[l * kPlaces + place].target_probability == 0) continue;
      EXPECT_EQ(Shop::kind_of(shown[place]) == kind, static_cast<std::ptrdiff_t>(place) < boosted);
    }
  }
}

TEST_F(RandomisedSliceTest, LeavesOutWhatCannotBeJudged) {
  List odd = lists_[0];
  odd.time_ms = shop_.now_ms;
  expose(odd, {.5F, .3F, .2F, 1});  // not uniform
  odd.time_ms -= 1;
  expose(odd, {1, 1, 1, 1});  // nothing was left to chance
  EXPECT_EQ(read({}).left_out, 1);
  EXPECT_EQ(read({}).lists, static_cast<std::int64_t>(lists_.size()));
  const std::string gone = lists_[0].shown[0];
  engine_->remove_items(std::vector<std::string>{gone});
  const auto without = std::ranges::count_if(lists_, [&](const List& list) {
    return std::ranges::find(list.shown, gone) == list.shown.end();
  });
  EXPECT_EQ(read({}).lists, without);
  rules_.version = 2;
  EXPECT_TRUE(read({}).choices.empty());
  rules_.success = "by";
  EXPECT_THROW(read({}), InvalidRequest);
}

TEST_F(RandomisedSliceTest, JoinsByItemWhereNoRequestIsNamed) {
  List last = lists_[0];
  last.time_ms = shop_.now_ms + 1000;
  expose(last, std::vector<float>(kPlaces, 1.0F / kPlaces));
  Event event = shop_.event(last.user, last.shown[3]);
  event.action = "buy";
  event.time_ms = last.time_ms + 500;
  engine_->record({&event, 1});
  rules_.now_ms = last.time_ms + 1000;
  // The newest list of the first user is the first that is read.
  EXPECT_EQ(read({}).choices[3].reward, 1);
  EXPECT_EQ(read({}).choices[0].reward, 0);
  rules_.window_ms = 500;
  EXPECT_EQ(read({}).choices[3].reward, 0);
  rules_.window_ms = 501;
  EXPECT_EQ(read({}).choices[3].reward, 1);
}

}  // namespace
}  // namespace fovea::engine
