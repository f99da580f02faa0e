// Random requests against a catalogue and histories that change, page after page, beside a plain
// reference that holds everything in maps: who may stand in a list always agrees, and so does the
// order, but for scores too near to each other to tell apart. Repeat a failure with FOVEA_SEED.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "engine/pipeline.h"
#include "engine/policy.h"
#include "tests/plain_policy.h"
#include "tests/shop.h"

namespace fovea::engine {
namespace {

constexpr double kNear = 1e-4;  // of two scores that rounding may put in either order

/// A filter as text and as a function.
struct PlainFilter {
  std::string text;
  std::function<bool(const Item&)> matches;
};

class Reference {
 public:
  std::map<std::string, Item> items;
  std::map<std::string, std::vector<Event>> histories;
};

enum class Serving { kNothing, kTexts, kLearned };

class RequestProperty : public testing::TestWithParam<Serving> {
 protected:
  RequestProperty() {
    const char* given = std::getenv("FOVEA_SEED");
    const auto seed = given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device{}();
    std::cout << "FOVEA_SEED=" << seed << '\n';
    random_.seed(static_cast<std::mt19937::result_type>(seed));
    EngineOptions options = shop_.options();
    options.not_seen = {"impression"};
    engine_ = Engine::open(shop_.directory(), options);
    shop_.stock(*engine_);
    engine_->declare_action("impression", 0);
    for (std::size_t kind = 0; kind < Shop::kKinds; ++kind) {
      for (std::size_t number = 0; number < Shop::kItemsPerKind; ++number) put(kind, number);
    }
    for (std::size_t user = 0; user < Shop::kUsers; ++user) {
      const std::string name = "user-" + std::to_string(user);
      for (Event& event : engine_->get_history(name, 1000)) {
        reference_.histories[name].push_back(std::move(event));
      }
    }
    if (GetParam() == Serving::kTexts) shop_.publish(shop_.text_version(engine_->db()));
    if (GetParam() == Serving::kLearned) shop_.publish(shop_.learned_version(engine_->db()));
    engine_->reload();
  }

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_()) % n; }
  bool chance(std::size_t in) { return below(in) == 0; }
  std::string any_item() {
    return Shop::id(below(Shop::kKinds), below(Shop::kItemsPerKind));  // present or not
  }
  std::string text_of(std::size_t n) { return std::string(1, static_cast<char>('a' + n)); }

  void put(std::size_t kind, std::size_t number) {
    Item item = Shop::item(kind, number);
    if (!chance(5)) item.attributes["genre"] = text_of(below(4));
    if (!chance(5)) item.attributes["year"] = static_cast<double>(1990 + below(30));
    if (!chance(4)) {
      std::set<std::string> tags;
      for (std::size_t t = below(4); t > 0; --t) tags.insert(text_of(below(6)));
      item.attributes["tags"] = std::vector<std::string>(tags.begin(), tags.end());
    }
    if (!chance(3)) item.attributes["new"] = chance(2);
    engine_->put_items(std::vector{item});
    reference_.items[item.item_id] = std::move(item);
  }

  void change_something() {
    for (std::size_t change = below(4); change > 0; --change) {
      shop_.now_ms += 1000;
      if (chance(3)) {
        put(below(Shop::kKinds), below(Shop::kItemsPerKind));
      } else if (chance(2) && reference_.items.size() > 30) {
        const std::string item = any_item();
        engine_->remove_items(std::vector{item});
        reference_.items.erase(item);
      } else {
        Event event = shop_.event("user-" + std::to_string(below(Shop::kUsers)), any_item());
        if (chance(4)) event.action = chance(2) ? "impression" : "skip";
        engine_->record(std::vector{event});
        reference_.histories[event.user_id].push_back(event);
      }
    }
  }

  PlainFilter leaf() {
    const auto value = [](const Item& item, const char* name) -> const storage::AttributeValue* {
      const auto at = item.attributes.find(name);
      return at == item.attributes.end() ? nullptr : &at->second;
    };
    switch (below(6)) {
      case 0: {
        const std::string genre = text_of(below(5));
        const bool equal = chance(2);
        return {"genre " + std::string(equal ? "=" : "!=") + " '" + genre + "'",
                [=](const Item& item) {
                  const auto* v = value(item, "genre");
                  return (v != nullptr && std::get<std::string>(*v) == genre) == equal;
                }};
      }
      case 1: {
        const auto year = static_cast<double>(1988 + below(34));
        const bool less = chance(2);
        return {"year " + std::string(less ? "<" : ">=") + " " + std::to_string(year),
                [=](const Item& item) {
                  const auto* v = value(item, "year");
                  return v != nullptr && (std::get<double>(*v) < year) == less;
                }};
      }
      case 2: {
        const std::set<std::string> wanted = {text_of(below(7)), text_of(below(7))};
        return {"tags in ('" + *wanted.begin() + "', \"" + *wanted.rbegin() + "\")",
                [=](const Item& item) {
                  const auto* v = value(item, "tags");
                  if (v == nullptr) return false;
                  return std::ranges::any_of(
                      std::get<std::vector<std::string>>(*v),
                      [&](const std::string& tag) { return wanted.contains(tag); });
                }};
      }
      case 3: {
        const char* names[] = {"genre", "year", "tags", "new", "nothing"};
        const char* name = names[below(5)];
        return {"has(" + std::string(name) + ")",
                [=](const Item& item) { return value(item, name) != nullptr; }};
      }
      case 4:
        return {"new = true", [=](const Item& item) {
                  const auto* v = value(item, "new");
                  return v != nullptr && std::get<bool>(*v);
                }};
      default:
        return {"year = 'text'", [](const Item&) { return false; }};
    }
  }

  PlainFilter filter(std::size_t depth) {
    if (depth == 0 || chance(3)) return leaf();
    PlainFilter a = filter(depth - 1);
    if (chance(4)) {
      return {"not (" + a.text + ")", [a](const Item& item) { return !a.matches(item); }};
    }
    PlainFilter b = filter(depth - 1);
    if (chance(2)) {
      return {"(" + a.text + ") and (" + b.text + ")",
              [a, b](const Item& item) { return a.matches(item) && b.matches(item); }};
    }
    return {"(" + a.text + ") OR (" + b.text + ")",
            [a, b](const Item& item) { return a.matches(item) || b.matches(item); }};
  }

  struct Case {
    RankRequest request;
    PlainFilter filter;
    std::vector<PlainFilter> boosts;
  };

  Case draw() {
    Case drawn;
    RankRequest& request = drawn.request;
    if (!chance(4)) {
      request.user_id = chance(5) ? "nobody" : "user-" + std::to_string(below(Shop::kUsers));
    }
    if (chance(4)) {
      for (std::size_t e = 1 + below(3); e > 0; --e) {
        Event event = shop_.event("", any_item());
        event.time_ms.reset();
        if (chance(4)) event.action = "impression";
        request.session.push_back(event);
      }
    }
    if (chance(4)) request.query = Shop::item(below(Shop::kKinds), below(20)).text;
    if (chance(4)) request.seed_items = {any_item(), any_item()};
    if (chance(5)) {
      request.candidates.emplace();
      for (std::size_t c = below(40); c > 0; --c) request.candidates->push_back(any_item());
      if (chance(2)) request.candidates->emplace_back("unheard-of");
    }
    if (!request.user_id && request.session.empty() && !request.query &&
        request.seed_items.empty() && !request.candidates) {
      request.user_id = "user-1";
    }
    request.limit = static_cast<std::int32_t>(1 + below(chance(3) ? 100 : 15));
    request.include_seen = chance(3);
    for (std::size_t e = below(6); e > 0; --e) request.exclude_items.push_back(any_item());
    if (chance(2)) {
      drawn.filter = filter(3);
      request.filter = drawn.filter.text;
    }
    for (std::size_t b = chance(3) ? 1 + below(3) : 0; b > 0; --b) {
      drawn.boosts.push_back(filter(1));
      request.boosts.push_back(
          {drawn.boosts.back().text, (static_cast<double>(below(80)) - 40) / 8});
    }
    std::set<std::string> pinned;
    std::set<std::int32_t> positions;
    for (std::size_t p = chance(3) ? 1 + below(4) : 0; p > 0; --p) {
      const std::string item = any_item();
      const auto position = static_cast<std::int32_t>(below(25));
      if (!pinned.insert(item).second || !positions.insert(position).second) continue;
      request.pins.push_back({item, position});
    }
    if (chance(3)) request.caps.push_back({"genre", static_cast<std::int32_t>(1 + below(4))});
    if (chance(5)) request.caps.push_back({"tags", static_cast<std::int32_t>(1 + below(4))});
    if (chance(3)) request.diversity = static_cast<double>(1 + below(10)) / 10;
    return drawn;
  }

  /// What every present item that the filter leaves scores for this user and query: without further
  /// rules, all are ranked.
  std::map<std::string, double> scores(const RankRequest& request) {
    RankRequest all;
    all.user_id = request.user_id;
    all.session = request.session;
    all.query = request.query;
    all.seed_items = request.seed_items;
    all.filter = request.filter;
    all.limit = kLimitMax;
    all.candidates.emplace();
    for (const auto& [id, item] : reference_.items) all.candidates->push_back(id);
    std::map<std::string, double> result;
    for (const auto& ranked : engine_->rank(all).items) result[ranked.item_id] = ranked.score;
    return result;
  }

  bool may_stand(const Case& drawn, const std::string& id, const std::set<std::string>& shown,
                 bool pinned) const {
    const RankRequest& request = drawn.request;
    const auto item = reference_.items.find(id);
    if (item == reference_.items.end() || shown.contains(id)) return false;
    if (std::ranges::count(request.exclude_items, id) > 0) return false;
    if (request.filter && !drawn.filter.matches(item->second)) return false;
    if (request.candidates) return std::ranges::count(*request.candidates, id) > 0;
    if (pinned) return true;
    if (std::ranges::count(request.seed_items, id) > 0) return false;
    if (request.include_seen) return true;
    const auto seen = [&](const Event& event) {
      return event.item_id == id && event.action != "impression";
    };
    if (std::ranges::any_of(request.session, seen)) return false;
    const auto history =
        reference_.histories.find(request.user_id.value_or("of no stored user at all"));
    return history == reference_.histories.end() || std::ranges::none_of(history->second, seen);
  }

  /// One page and what the plain reading of the contract says of it.
  void check(const Case& drawn, const std::set<std::string>& shown, const RankResponse& response) {
    const RankRequest& request = drawn.request;
    std::set<std::string> pinned;
    for (const auto& pin : request.pins) pinned.insert(pin.item_id);
    std::set<std::string> allowed;
    for (const auto& [id, item] : reference_.items) {
      if (may_stand(drawn, id, shown, pinned.contains(id))) allowed.insert(id);
    }
    std::set<std::string> listed;
    for (const auto& item : response.items) {
      ASSERT_TRUE(allowed.contains(item.item_id)) << item.item_id << " may not stand here";
      ASSERT_TRUE(listed.insert(item.item_id).second) << item.item_id << " stands twice";
    }
    if (request.candidates) {
      std::vector<std::string> unknown;
      for (const auto& id : *request.candidates) {
        if (!reference_.items.contains(id)) unknown.push_back(id);
      }
      ASSERT_EQ(response.unknown_candidates, unknown);
    }

    // The order, over all that may stand.
    const auto base = scores(request);
    const std::vector<std::string> ids(allowed.begin(), allowed.end());
    std::vector<double> score(ids.size());
    std::vector<std::uint32_t> rows(ids.size());
    Rules rules{.limit = static_cast<std::size_t>(request.limit), .first = shown.size()};
    for (std::size_t i = 0; i < ids.size(); ++i) {
      score[i] = base.at(ids[i]);
      for (std::size_t b = 0; b < drawn.boosts.size(); ++b) {
        if (drawn.boosts[b].matches(reference_.items.at(ids[i]))) {
          score[i] += request.boosts[b].add;
        }
      }
      rows[i] = *engine_->db().catalog().row(ids[i]);
      for (const auto& pin : request.pins) {
        if (pin.item_id == ids[i]) {
          rules.pins.push_back({i, static_cast<std::size_t>(pin.position)});
        }
      }
    }
    for (const Cap& cap : request.caps) {
      CapValues& values =
          rules.caps.emplace_back(CapValues{cap.attribute, static_cast<std::size_t>(cap.at_most)});
      for (const auto& id : ids) {
        auto& keys = values.keys.emplace_back();
        const auto& attributes = reference_.items.at(id).attributes;
        const auto at = attributes.find(cap.attribute);
        if (at == attributes.end()) continue;
        if (const auto* text = std::get_if<std::string>(&at->second)) {
          keys.push_back({.bits = std::hash<std::string>{}(*text)});
        } else {
          for (const auto& one : std::get<std::vector<std::string>>(at->second)) {
            keys.push_back({.bits = std::hash<std::string>{}(one)});
          }
        }
      }
    }
    std::vector<std::size_t> by_score(ids.size());
    std::iota(by_score.begin(), by_score.end(), std::size_t{0});
    std::ranges::sort(by_score, [&](auto a, auto b) {
      return score[a] != score[b] ? score[a] > score[b] : rows[a] < rows[b];
    });
    const Snapshot snapshot = engine_->snapshot();
    std::vector<float> vectors;
    if (request.diversity > 0 && snapshot.model) {
      rules.diversity = request.diversity;
      auto gathered = snapshot.model->vectors().gather(rows);
      vectors = snapshot.model->model() != nullptr ? gathered.items : gathered.texts;
      rules.width = ids.empty() ? 0 : vectors.size() / ids.size();
      for (std::size_t i = 0; i < ids.size(); ++i) {
        double square = 0;
        for (std::size_t d = 0; d < rules.width; ++d) {
          square += std::pow(static_cast<double>(vectors[i * rules.width + d]), 2);
        }
        for (std::size_t d = 0; d < rules.width && square > 0; ++d) {
          vectors[i * rules.width + d] /= static_cast<float>(std::sqrt(square));
        }
      }
      rules.vectors = vectors;
    }
    std::vector<std::string> expected;
    for (const std::size_t i : plainly(by_score, score, rules)) expected.push_back(ids[i]);
    ++pages_;
    if (ids_of(response) == expected) return;
    // Rounding may have put two in the other order, and rules make more of that.
    bool near = false;
    for (std::size_t i = 1; i < by_score.size(); ++i) {
      const double difference = score[by_score[i - 1]] - score[by_score[i]];
      near = near || (difference > 0 && difference < kNear);
    }
    EXPECT_TRUE(near || request.diversity > 0) << "got " << testing::PrintToString(ids_of(response))
                                               << "\nnot " << testing::PrintToString(expected);
    // Under caps another order may leave another number of places.
    if (request.caps.empty()) {
      ASSERT_EQ(response.items.size(), expected.size());
    }
    ++near_pages_;
  }

  static std::vector<std::string> ids_of(const RankResponse& response) { return ids(response); }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
  Reference reference_;
  std::mt19937 random_;
  std::size_t pages_ = 0, near_pages_ = 0;
};

std::string print(const RankRequest& request) {
  std::string text = "user " + request.user_id.value_or("-") + ", limit " +
                     std::to_string(request.limit) + ", filter " + request.filter.value_or("-");
  if (request.query) text += ", query";
  if (request.candidates) text += ", candidates";
  if (!request.session.empty()) text += ", session";
  if (!request.seed_items.empty()) text += ", seeds";
  for (const auto& boost : request.boosts) {
    text += ", boost " + std::to_string(boost.add) + ": " + boost.filter;
  }
  for (const auto& pin : request.pins) {
    text += ", pin " + pin.item_id + " at " + std::to_string(pin.position);
  }
  for (const auto& cap : request.caps) {
    text += ", cap " + cap.attribute + " " + std::to_string(cap.at_most);
  }
  return text + ", diversity " + std::to_string(request.diversity);
}

TEST_P(RequestProperty, ListsAgreeWithAPlainReferencePageAfterPage) {
  for (int round = 0; round < 150; ++round) {
    change_something();
    Case drawn = draw();
    SCOPED_TRACE(testing::Message() << "round " << round << ": " << print(drawn.request));
    std::set<std::string> shown;
    for (int page = 0; page < 5; ++page) {
      const RankResponse response = engine_->rank(drawn.request);
      check(drawn, shown, response);
      if (HasFatalFailure()) return;
      for (const auto& item : response.items) ASSERT_TRUE(shown.insert(item.item_id).second);
      if (!response.next_page_token) {
        break;
      }
      drawn.request.page_token = response.next_page_token;
      change_something();
    }
  }
  std::cout << pages_ << " pages, " << near_pages_ << " with scores too near to tell\n";
  EXPECT_LE(near_pages_ * 10, pages_);
}

INSTANTIATE_TEST_SUITE_P(Serving, RequestProperty,
                         testing::Values(Serving::kNothing, Serving::kTexts, Serving::kLearned));

}  // namespace
}  // namespace fovea::engine
