// The engine's calls: what they refuse, and that versions come and go under load without a failed
// request.
#include "engine/engine.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "engine/fresh_transitions.h"
#include "engine/pipeline.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class EngineTest : public testing::Test {
 protected:
  EngineTest() : engine_(shop_.open()) { shop_.stock(*engine_); }

  std::string publish() { return shop_.publish(shop_.learned_version(engine_->db())); }
  void damage(const std::string& version) const {
    const auto file = shop_.directory() / "versions" / version / "model.safetensors";
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  }
  static RankRequest for_user(const std::string& user) {
    RankRequest request;
    request.user_id = user;
    return request;
  }
  template <typename Call>
  static std::string refused_field(const Call& call) {
    try {
      call();
      return "";
    } catch (const InvalidRequest& invalid) {
      return invalid.field;
    }
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, WhatIsRecordedIsInTheHistory) {
  Event event = shop_.event("ann", "soup-1");
  event.time_ms.reset();
  event.value = 4.5;
  event.event_id = "e-1";
  event.request_id = "r-1";
  EXPECT_EQ(engine_->record(std::vector{event, event}), 1) << "the same id is recorded once";
  shop_.now_ms += 5;
  EXPECT_EQ(engine_->record(std::vector{shop_.event("ann", "soup-2")}), 1);
  const auto history = engine_->get_history("ann", 10);
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0].item_id, "soup-2");
  EXPECT_EQ(history[1].user_id, "ann");
  EXPECT_EQ(history[1].item_id, "soup-1");
  EXPECT_EQ(history[1].action, "view");
  EXPECT_EQ(history[1].time_ms, shop_.now_ms - 5) << "no time: when it was received";
  EXPECT_EQ(history[1].value, 4.5);
  EXPECT_EQ(history[1].event_id, "e-1");
  EXPECT_EQ(history[1].request_id, "r-1");
  EXPECT_EQ(engine_->get_history("ann", 1).size(), 1U);

  engine_->delete_user("ann");
  EXPECT_THAT(engine_->get_history("ann", 10), IsEmpty());
}

TEST_F(EngineTest, ItemsComeBackInTheOrderAsked) {
  Item item;
  item.item_id = "bowl";
  item.text = "a bowl";
  item.attributes = {{"price", 3.5}, {"tags", std::vector<std::string>{"a", "b"}}};
  EXPECT_EQ(engine_->put_items(std::vector{item}), 1);
  const std::vector<std::string> asked = {"soup-2", "unheard-of", "bowl", "soup-2"};
  const auto items = engine_->get_items(asked);
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[0].item_id, "soup-2");
  EXPECT_EQ(items[1].attributes, item.attributes);
  EXPECT_EQ(items[1].text, item.text);
  EXPECT_EQ(items[2].item_id, "soup-2");
}

TEST_F(EngineTest, TheCallersMistakesNameTheirField) {
  auto event = shop_.event("ann", "soup-1");
  event.action = "juggle";
  const std::vector<Event> events = {shop_.event("ann", "soup-2"), event};
  EXPECT_EQ(refused_field([&] { engine_->record(events); }), "events[1].action");
  EXPECT_THAT(engine_->get_history("ann", 10), IsEmpty()) << "all or nothing";
  try {
    engine_->record(events);
  } catch (const InvalidRequest& invalid) {
    EXPECT_THAT(invalid.what(), HasSubstr("juggle"));
    EXPECT_THAT(invalid.what(), HasSubstr("view, skip"));
  }
  auto request = for_user("ann");
  request.session = {event};
  EXPECT_EQ(refused_field([&] { engine_->rank(request); }), "session[0].action");
  EXPECT_EQ(refused_field([&] { engine_->get_history("ann", 0); }), "limit");
  EXPECT_EQ(refused_field([&] { engine_->get_history("", 1); }), "user_id");
  EXPECT_EQ(refused_field([&] { engine_->delete_user(std::string(513, 'x')); }), "user_id");
  const std::vector<std::string> names = {"soup-1", ""};
  EXPECT_EQ(refused_field([&] { engine_->get_items(names); }), "item_ids[1]");
  EXPECT_EQ(refused_field([&] { engine_->remove_items(names); }), "item_ids[1]");
}

TEST_F(EngineTest, EmbeddingsOfAnotherWidthAreRefusedByName) {
  std::vector<Item> items = {Shop::item(0, 0), Shop::item(0, 1), Shop::item(0, 2)};
  items[1].embedding = {{1, 0, 0}};
  items[2].embedding = {{1, 0}};
  EXPECT_EQ(refused_field([&] { engine_->put_items(items); }), "items[2].embedding");
  items.pop_back();
  engine_->put_items(items);
  items[0].embedding = {{1, 0}};
  EXPECT_EQ(refused_field([&] { engine_->put_items(items); }), "items[0].embedding");
}

TEST_F(EngineTest, RankManyAnswersInOrderOrNotAtAll) {
  std::vector<RankRequest> requests(3);
  requests[0].candidates = {{"soup-1"}};
  requests[1].candidates = {{"soup-2"}};
  requests[2].candidates = {{"soup-3"}};
  const auto responses = engine_->rank_many(requests);
  ASSERT_EQ(responses.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(ids(responses[i]), ElementsAre("soup-" + std::to_string(i + 1)));
  }
  requests[0].user_id = "ann";
  requests[2].limit = 0;
  EXPECT_EQ(refused_field([&] { engine_->rank_many(requests); }), "requests[2].limit");
  requests[2].limit = 1;
  requests[2].session = {shop_.event("", "soup-1")};
  requests[2].session[0].action = "juggle";
  EXPECT_EQ(refused_field([&] { engine_->rank_many(requests); }), "requests[2].session[0].action");
  EXPECT_THAT(engine_->db().exposures().read("ann", 1), IsEmpty()) << "nothing was shown";
}

TEST_F(EngineTest, StatusSaysWhatServes) {
  auto status = engine_->status();
  EXPECT_EQ(status.model_version, "");
  EXPECT_EQ(status.items, static_cast<std::int64_t>(Shop::kKinds * Shop::kItemsPerKind));
  EXPECT_EQ(status.users, static_cast<std::int64_t>(Shop::kUsers));
  EXPECT_EQ(status.device, "cpu");
  EXPECT_THAT(status.version, testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_THAT(status.faiss, HasSubstr("Faiss"));
  EXPECT_TRUE(status.ready);
  const auto version = publish();
  EXPECT_TRUE(engine_->reload());
  EXPECT_FALSE(engine_->reload()) << "it serves already";
  EXPECT_EQ(engine_->status().model_version, version);
  engine_.reset();
  EXPECT_EQ(shop_.open()->status().model_version, version) << "found when opening";
}

TEST_F(EngineTest, ADamagedVersionIsRefusedAndTheOldOneServes) {
  const auto good = publish();
  ASSERT_TRUE(engine_->reload());
  damage(publish());
  EXPECT_FALSE(engine_->reload());
  EXPECT_FALSE(engine_->reload());
  EXPECT_EQ(engine_->rank(for_user("user-0")).model_version, good);
  EXPECT_EQ(engine_->rank(for_user("user-0")).items.size(), 20U);

  std::ofstream(shop_.directory() / "versions" / "CURRENT") << "nonsense";
  EXPECT_FALSE(engine_->reload());
  EXPECT_EQ(engine_->rank(for_user("user-0")).model_version, good);

  const auto next = publish();
  EXPECT_TRUE(engine_->reload());
  EXPECT_EQ(engine_->rank(for_user("user-0")).model_version, next);
}

TEST_F(EngineTest, OpeningOnADamagedVersionSaysSoUnlessNoModelIsWanted) {
  const auto version = publish();
  engine_.reset();
  damage(version);
  EXPECT_THROW(shop_.open(), VersionError);
  auto options = shop_.options();
  options.load_model = false;
  EXPECT_EQ(Engine::open(shop_.directory(), options)->status().model_version, "");
}

TEST_F(EngineTest, APublishedVersionIsFoundWithoutBeingAsked) {
  engine_.reset();
  auto options = shop_.options();
  options.reload_interval = std::chrono::milliseconds(5);
  engine_ = Engine::open(shop_.directory(), options);
  const auto version = publish();
  // Bounded by the test's own time limit only.
  while (engine_->status().model_version != version) std::this_thread::yield();
  EXPECT_EQ(engine_->rank(for_user("user-0")).model_version, version);
}

TEST_F(EngineTest, WhatFollowsWhatIsLearnedFromOthersWithoutATraining) {
  publish();
  engine_.reset();
  auto options = shop_.options();
  options.reload_interval = std::chrono::milliseconds(1);
  engine_ = Engine::open(shop_.directory(), options);
  const auto transitions = [&] {
    RankRequest request;
    request.seed_items = {"dragons-3"};
    request.candidates = {"music-7"};
    request.explain = true;
    const RankResponse response = engine_->rank(request);
    return response.items.at(0).explanation->parts.at("transitions");
  };
  const double before = transitions();
  std::vector<Event> events;
  for (std::size_t user = 0; user < 5; ++user) {
    for (const char* item : {"dragons-3", "music-7"}) {
      events.push_back(shop_.event("new-" + std::to_string(user), item));
      events.back().time_ms = shop_.now_ms + (item[0] == 'm' ? 2 : 1);
    }
  }
  engine_->record(events);
  // Bounded by the test's own time limit only.
  while (transitions() <= before) std::this_thread::yield();

  // Counted from the store: the same after a restart, gone with those who did it.
  engine_.reset();
  engine_ = Engine::open(shop_.directory(), options);
  while (transitions() <= before) std::this_thread::yield();
  for (std::size_t user = 0; user < 5; ++user) engine_->delete_user("new-" + std::to_string(user));
  while (transitions() > before) std::this_thread::yield();
}

TEST_F(EngineTest, AVersionThatWasTrainedToBeMeasuredKeepsItsTransitions) {
  auto version = shop_.learned_version(engine_->db());
  version.card.split = Split::kLeaveOneOut;
  shop_.publish(std::move(version));
  FreshTransitions fresh(engine_->db());
  ASSERT_TRUE(engine_->reload());
  auto late = shop_.event("user-0", "music-7");
  late.time_ms = shop_.now_ms + 1;
  engine_->record(std::vector{late});
  const auto model = engine_->snapshot().model;
  fresh.update(model);
  EXPECT_EQ(fresh.of(model.get()), nullptr);

  // The same with nothing held out does take it in.
  publish();
  ASSERT_TRUE(engine_->reload());
  late.time_ms = shop_.now_ms + 2;
  late.item_id = "music-8";
  engine_->record(std::vector{late});
  fresh.update(engine_->snapshot().model);
  EXPECT_NE(fresh.of(engine_->snapshot().model.get()), nullptr);
}

TEST_F(EngineTest, AVersionCatchesUpWithWhatCameAfterItsTraining) {
  auto version = shop_.learned_version(engine_->db());
  engine_->remove_items(std::vector<std::string>{"music-1"});
  Item item = Shop::item(3, 2);
  item.item_id = "music-new";
  engine_->put_items(std::vector{item});
  Item changed = Shop::item(0, 0);
  changed.text = *Shop::item(3, 0).text;
  engine_->put_items(std::vector{changed});
  shop_.publish(std::move(version));
  ASSERT_TRUE(engine_->reload());
  RankRequest request;
  request.query = "music violin orchestra";
  request.limit = 21;
  const auto shown = ids(engine_->rank(request));
  EXPECT_THAT(shown, Contains("music-new"));
  EXPECT_THAT(shown, Contains("dragons-0")) << "its text is about music now";
  EXPECT_THAT(shown, testing::Not(Contains("music-1")));
  const auto snapshot = engine_->snapshot();
  EXPECT_EQ(snapshot.model->item_index()->size(), Shop::kKinds * Shop::kItemsPerKind);
}

TEST_F(EngineTest, AStoreOpenForReadingRanksAndRefusesToWrite) {
  publish();
  engine_.reset();
  auto options = shop_.options();
  options.access = storage::Access::kReadOnly;
  engine_ = Engine::open(shop_.directory(), options);
  EXPECT_EQ(engine_->rank(for_user("user-0")).items.size(), 20U);
  EXPECT_THROW(engine_->record(std::vector{shop_.event("ann", "soup-1")}), storage::StoreError);
  EXPECT_THROW(engine_->put_items(std::vector{Shop::item(0, 0)}), storage::StoreError);
}

TEST_F(EngineTest, OneProcessAtATimeWrites) { EXPECT_THROW(shop_.open(), storage::StoreError); }

// Rankings, puts, removals and records from threads while versions are published and taken over: no
// call fails, every response names one version, and what was put is found by the very next request.
TEST_F(EngineTest, SwapsUnderLoadFailNoRequestAndLoseNoPut) {
  std::set<std::string> published = {publish()};
  ASSERT_TRUE(engine_->reload());
  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0;
  std::mutex mutex;
  std::set<std::string> served;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        auto request = for_user("user-" + std::to_string((3 * i + t) % 24));
        request.explain = i % 4 == 0;
        if (i % 3 == 0) request.query = "winged concert";
        const auto response = engine_->rank(request);
        EXPECT_EQ(response.items.size(), 20U);
        ++answered;
        const std::lock_guard lock(mutex);
        served.insert(response.model_version);
      }
    });
  }
  std::vector<std::string> put;
  threads.emplace_back([&] {
    for (int i = 0; !stop; ++i) {
      Item item = Shop::item(static_cast<std::size_t>(i) % 4, 0);
      item.item_id = "new-" + std::to_string(i % 100);
      engine_->put_items(std::vector{item});
      RankRequest request;
      request.query = *item.text;
      request.limit = 1000;
      request.explain = true;
      auto response = engine_->rank(request);
      const auto found = std::ranges::find(response.items, item.item_id, &RankedItem::item_id);
      ASSERT_NE(found, response.items.end());
      EXPECT_GT(found->explanation->parts["vectors"], 0) << "put, and not in the text index";
      if (i % 5 == 0) {
        engine_->remove_items(std::vector{item.item_id});
        EXPECT_THAT(ids(engine_->rank(request)), testing::Not(Contains(item.item_id)));
      }
    }
  });
  threads.emplace_back([&] {
    for (int i = 0; !stop; ++i) {
      auto event = shop_.event("user-" + std::to_string(i % 24), Shop::id(0, i % 20));
      event.time_ms = *event.time_ms + i;
      EXPECT_EQ(engine_->record(std::vector{event}), 1);
    }
  });
  for (int swap = 0; swap < 15; ++swap) {
    const int before = answered;
    published.insert(publish());
    EXPECT_TRUE(engine_->reload());
    while (answered < before + 5) std::this_thread::yield();
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_GT(served.size(), 5U);
  for (const auto& version : served) EXPECT_TRUE(published.contains(version)) << version;
}

EngineOptions with_rebuilds(Shop& shop) {
  EngineOptions options = shop.options();
  options.rebuild.changes_min = 3;
  return options;
}

TEST_F(EngineTest, WhatCameAndWentIsTheSameAfterIndexesAreBuiltAnewAndAfterARestart) {
  EXPECT_FALSE(engine_->rebuild()) << "there is no version";
  publish();
  engine_.reset();
  engine_ = Engine::open(shop_.directory(), with_rebuilds(shop_));
  EXPECT_FALSE(engine_->rebuild()) << "nothing has come or gone";
  RankRequest request;
  request.query = "music violin orchestra";
  request.limit = 25;
  const auto shown = [&](Engine& engine) {
    std::vector<std::vector<std::string>> all = {ids(engine.rank(request))};
    for (int user = 0; user < 8; ++user) {
      all.push_back(ids(engine.rank(for_user("user-" + std::to_string(user)))));
    }
    return all;
  };
  for (int i = 0; i < 6; ++i) {
    Item item = Shop::item(3, 2);
    item.item_id = "music-new-" + std::to_string(i);
    engine_->put_items(std::vector{item});
  }
  Item changed = Shop::item(0, 0);
  changed.text = *Shop::item(3, 0).text;
  engine_->put_items(std::vector{changed});
  engine_->remove_items(std::vector<std::string>{"music-1", "music-new-5"});
  const auto before = shown(*engine_);
  EXPECT_THAT(before[0], Contains("music-new-4"));
  EXPECT_THAT(before[0], Contains("dragons-0")) << "its text is about music now";
  EXPECT_THAT(before[0],
              testing::Not(testing::AnyOf(Contains("music-1"), Contains("music-new-5"))));

  ASSERT_TRUE(engine_->rebuild());
  EXPECT_FALSE(engine_->rebuild());
  const auto snapshot = engine_->snapshot();
  for (const auto* index : {snapshot.model->item_index(), &snapshot.model->text_index()}) {
    const auto state = index->current()->state();
    EXPECT_EQ(state->fresh.size() + state->out_of_main, 0U);
    EXPECT_EQ(index->size(), Shop::kKinds * Shop::kItemsPerKind + 4);
  }
  EXPECT_EQ(shown(*engine_), before);

  engine_->remove_items(std::vector<std::string>{"music-new-0"});
  EXPECT_THAT(shown(*engine_)[0], testing::Not(Contains("music-new-0")));
  const auto last = shown(*engine_);
  engine_.reset();
  EXPECT_EQ(shown(*shop_.open()), last);
}

TEST_F(EngineTest, IndexesBuiltAnewUnderLoadFailNoRequestAndLoseNoPut) {
  publish();
  engine_.reset();
  auto options = with_rebuilds(shop_);
  options.reload_interval = std::chrono::milliseconds(1);
  engine_ = Engine::open(shop_.directory(), options);
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        auto request = for_user("user-" + std::to_string((2 * i + t) % 24));
        if (i % 3 == 0) request.query = "winged concert";
        EXPECT_EQ(engine_->rank(request).items.size(), 20U);
      }
    });
  }
  // Followed until the indexes have been swapped many times.
  int swaps = 0;
  std::shared_ptr<const index::LiveIndex> seen;
  for (int i = 0; swaps < 20; ++i) {
    const auto now = engine_->snapshot().model->text_index().current();
    if (now != seen) ++swaps;
    seen = now;
    Item item = Shop::item(static_cast<std::size_t>(i) % 4, 0);
    item.item_id = "new-" + std::to_string(i % 30);
    engine_->put_items(std::vector{item});
    RankRequest request;
    request.query = *item.text;
    request.limit = 1000;
    request.explain = true;
    auto response = engine_->rank(request);
    const auto found = std::ranges::find(response.items, item.item_id, &RankedItem::item_id);
    ASSERT_NE(found, response.items.end());
    EXPECT_GT(found->explanation->parts["vectors"], 0) << "put, and not in the text index";
    if (i % 2 == 0) {
      engine_->remove_items(std::vector{item.item_id});
      const auto after = engine_->rank(request);
      EXPECT_THAT(ids(after), testing::Not(Contains(item.item_id)));
    }
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace fovea::engine
