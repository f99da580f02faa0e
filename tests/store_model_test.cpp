// Claim: through random operations and reopening, a store answers as plain maps in memory do.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "storage/db.h"
#include "tests/flaky_file_system.h"
#include "tests/store_directory.h"

namespace fovea::storage {
namespace {

struct ModelEvent {
  std::string user_id, item_id, action;
  std::int64_t time_ms = 0;
  std::optional<double> value;
  std::optional<std::string> event_id, request_id;

  NewEvent wire() const { return {user_id, item_id, action, time_ms, value, event_id, request_id}; }
  bool same_happening(const ModelEvent& other) const {
    return item_id == other.item_id && action == other.action && time_ms == other.time_ms &&
           value == other.value;
  }
};

class Model {
 public:
  explicit Model(std::size_t events_max) : events_max_(events_max) {}

  bool record(const ModelEvent& event) {
    auto& history = histories[event.user_id];
    for (const ModelEvent& kept : history) {
      if (event.event_id ? kept.event_id == event.event_id
                         : !kept.event_id && kept.same_happening(event)) {
        return false;
      }
    }
    auto place = history.begin();
    while (place != history.end() && place->time_ms > event.time_ms) ++place;
    if (place == history.end() && history.size() == events_max_) return false;
    history.insert(place, event);
    if (history.size() > events_max_) history.pop_back();
    return true;
  }
  std::int64_t users() const {
    return std::count_if(histories.begin(), histories.end(),
                         [](const auto& user) { return !user.second.empty(); });
  }

  std::map<std::string, std::vector<ModelEvent>> histories;
  std::map<std::string, std::string> texts;  // of the items present
  std::map<std::string, std::uint32_t> rows;
  std::map<std::string, std::vector<Exposure>> exposures;  // newest first

 private:
  std::size_t events_max_;
};

class Comparison {
 public:
  explicit Comparison(std::uint64_t seed) : random_(seed) { reopen(); }

  void step() {
    const std::size_t dice = random_() % 100;
    if (dice < 60) {
      record();
    } else if (dice < 72) {
      put();
    } else if (dice < 79) {
      remove();
    } else if (dice < 88) {
      expose();
    } else if (dice < 92) {
      delete_user();
    } else {
      reopen();
    }
  }

  void compare() {
    compare_histories();
    compare_items();
    for (int u = 0; u < kUsers; ++u) {
      const auto stored = db_->exposures().read(user(u), 100);
      const auto& expected = model_.exposures[user(u)];
      ASSERT_EQ(stored.size(), expected.size());
      for (std::size_t i = 0; i < stored.size(); ++i) {
        ASSERT_EQ(stored[i].request_id, expected[i].request_id);
        ASSERT_EQ(stored[i].rows, expected[i].rows);
      }
    }
  }

 private:
  static constexpr int kUsers = 5;
  static constexpr int kItems = 12;
  static constexpr std::size_t kEventsMax = 6;

  static std::string user(std::size_t u) { return "u" + std::string(u, 'u'); }
  std::string any_user() { return user(random_() % kUsers); }
  std::string any_item() { return "item" + std::to_string(random_() % kItems); }

  void record() {
    std::vector<ModelEvent> events(1 + random_() % 10);
    std::size_t expected = 0;
    std::vector<NewEvent> wire;
    for (ModelEvent& event : events) {
      event.user_id = any_user();
      event.item_id = any_item();
      event.action = random_() % 3 == 0 ? "skip" : "view";
      event.time_ms = static_cast<std::int64_t>(random_() % 12) - 3;
      if (random_() % 3 == 0) event.value = static_cast<double>(random_() % 2);
      if (random_() % 2 == 0) event.event_id = "e" + std::to_string(random_() % 15);
      if (random_() % 3 == 0) event.request_id = "r" + std::to_string(random_() % 15);
      if (model_.record(event)) ++expected;
      wire.push_back(event.wire());
    }
    ASSERT_EQ(db_->record(wire), expected);
    learn_rows();
  }

  void put() {
    std::vector<Item> items;
    for (std::size_t i = 0; i <= random_() % 4; ++i) {
      items.push_back(item(any_item(), std::to_string(random_())));
      model_.texts[items.back().item_id] = *items.back().text;
    }
    const std::uint64_t before = db_->catalog().revision();
    ASSERT_EQ(db_->catalog().put(items).revision, before + items.size());
    learn_rows();
  }

  void remove() {
    const std::string id = any_item();
    const std::string_view view = id;
    ASSERT_EQ(db_->catalog().remove({&view, 1}).size(), model_.texts.erase(id));
  }

  void expose() {
    Exposure exposure{"x" + std::to_string(++requests_), requests_, "v", {}};
    for (std::size_t i = 0; i < random_() % 3; ++i) exposure.rows.push_back(random_() % 100);
    const std::string whom = any_user();
    db_->exposures().append(whom, exposure);
    auto& shown = model_.exposures[whom];
    shown.insert(shown.begin(), exposure);
  }

  void delete_user() {
    const std::string whom = any_user();
    db_->delete_user(whom);
    model_.histories.erase(whom);
    model_.exposures.erase(whom);
  }

  void reopen() {
    db_.reset();
    DbOptions options;
    options.history_events_max = kEventsMax;
    options.exposure_days_max = 0;
    options.env = disk_.env.get();
    db_ = directory_.open(options);
    db_->catalog().declare_action("skip", -1);
  }

  /// A row, once given, is for ever that name's.
  void learn_rows() {
    for (std::uint32_t row = 0; row < db_->catalog().rows(); ++row) {
      const auto [known, fresh] = model_.rows.emplace(db_->catalog().item_id(row), row);
      ASSERT_EQ(known->second, row);
    }
    ASSERT_EQ(model_.rows.size(), db_->catalog().rows());
  }

  void compare_event(const Event& stored, const ModelEvent& expected) {
    ASSERT_EQ(db_->catalog().item_id(stored.row), expected.item_id);
    ASSERT_EQ(db_->catalog().actions().at(stored.action).name, expected.action);
    ASSERT_EQ(stored.time_ms, expected.time_ms);
    ASSERT_EQ(stored.value, expected.value);
  }

  void compare_histories() {
    std::vector<std::string> ids;
    for (int u = 0; u < kUsers; ++u) ids.push_back(user(u));
    const std::vector<std::string_view> views(ids.begin(), ids.end());
    const auto many = db_->history().read_many(views, kEventsMax);
    for (std::size_t u = 0; u < ids.size(); ++u) {
      const auto& expected = model_.histories[ids[u]];
      const auto detailed = db_->history().read_detailed(ids[u], kEventsMax);
      const auto few = db_->history().read(ids[u], 2);
      ASSERT_EQ(many[u].size(), expected.size());
      ASSERT_EQ(detailed.size(), expected.size());
      ASSERT_EQ(few.size(), std::min<std::size_t>(expected.size(), 2));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        compare_event(many[u][i], expected[i]);
        compare_event(detailed[i], expected[i]);
        ASSERT_EQ(detailed[i].event_id, expected[i].event_id);
        ASSERT_EQ(detailed[i].request_id, expected[i].request_id);
        if (i < few.size()) compare_event(few[i], expected[i]);
      }
    }
    std::map<std::string, std::size_t> visited;
    db_->history().for_each_user([&](std::string_view user_id, std::span<const Event> events) {
      visited.emplace(user_id, events.size());
    });
    ASSERT_EQ(static_cast<std::int64_t>(visited.size()), model_.users());
    ASSERT_EQ(db_->history().users(), model_.users());
    for (const auto& [user_id, events] : visited) {
      ASSERT_EQ(events, model_.histories[user_id].size());
    }
  }

  void compare_items() {
    const Catalog& catalog = db_->catalog();
    ASSERT_EQ(catalog.size(), static_cast<std::int64_t>(model_.texts.size()));
    std::map<std::string, std::string> visited;
    catalog.for_each([&](const StoredItem& each) { visited.emplace(each.item_id, *each.text); });
    ASSERT_EQ(visited, model_.texts);
    for (const auto& [name, row] : model_.rows) {
      ASSERT_EQ(catalog.row(name), row);
      ASSERT_EQ(catalog.present(row), model_.texts.contains(name));
      const auto got = catalog.get(row);
      ASSERT_EQ(got.has_value(), model_.texts.contains(name));
      if (got) {
        ASSERT_EQ(got->text, model_.texts[name]);
      }
    }
  }

  std::mt19937_64 random_;
  StoreDirectory directory_;
  FlakyDisk disk_;  // never fails here; it saves the wait for syncs
  std::unique_ptr<Db> db_;
  Model model_{kEventsMax};
  std::int64_t requests_ = 0;
};

TEST(Store, AnswersAsMapsDo) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    Comparison comparison(seed);
    for (int step = 0; step < 250; ++step) {
      SCOPED_TRACE(step);
      comparison.step();
      if (step % 3 == 0) comparison.compare();
      if (::testing::Test::HasFatalFailure()) return;
    }
    comparison.compare();
  }
}

}  // namespace
}  // namespace fovea::storage
