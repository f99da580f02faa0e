// Claim: what was removed, or no longer passes the filter, stands in no list that was asked for
// afterwards: beside changes of the catalogue, while indexes are built anew and versions swapped,
// with every kind of index, by every way into a list, and on no later page. Repeat a failure with
// FOVEA_SEED.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/live_model.h"
#include "engine/models.h"
#include "engine/pipeline.h"
#include "tests/shop.h"

namespace fovea::engine {
namespace {

constexpr std::size_t kWriters = 2;
constexpr std::size_t kReaders = 2;
constexpr std::size_t kListsOfReader = 1'500;
constexpr std::size_t kRebuildsMin = 3;
constexpr std::size_t kPages = 4;
constexpr std::size_t kItems = Shop::kKinds * Shop::kItemsPerKind;

/// Where an item is to be found. While a call that changes that is under way it may be either.
enum class Shelf : std::uint8_t { kChanging, kGone, kFront, kBack };

/// One word, so that both are read at once: whoever reads the same before and after a list knows
/// that nothing changed in between.
struct Known {
  Shelf shelf = Shelf::kChanging;
  std::uint32_t changes = 0;
  bool operator==(const Known&) const = default;
};

enum class Kind { kExact, kLists, kTextsAlone };

class GoneItems : public testing::TestWithParam<Kind> {
 protected:
  GoneItems() {
    const char* given = std::getenv("FOVEA_SEED");
    seed_ = given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device{}();
    std::cout << "FOVEA_SEED=" << seed_ << '\n';
    EngineOptions options = shop_.options();
    options.rebuild.changes_min = 5;
    if (GetParam() == Kind::kLists) options.rebuild.index = {.exact_items_max = 0, .probes = 4};
    engine_ = Engine::open(shop_.directory(), options);
    shop_.stock(*engine_);
    for (std::string& version : versions_) {
      version =
          shop_.publish(GetParam() == Kind::kTextsAlone ? shop_.text_version(engine_->db())
                                                        : shop_.learned_version(engine_->db()));
    }
    engine_->reload();
    for (std::size_t item = 0; item < kItems; ++item) put(item, Shelf::kFront);
    engine_->rebuild();
  }

  static std::string id(std::size_t item) {
    return Shop::id(item / Shop::kItemsPerKind, item % Shop::kItemsPerKind);
  }

  void put(std::size_t item, Shelf shelf) {
    Item stocked = Shop::item(item / Shop::kItemsPerKind, item % Shop::kItemsPerKind);
    stocked.attributes["shelf"] = std::string(shelf == Shelf::kFront ? "front" : "back");
    engine_->put_items(std::vector{stocked});
    settle(item, shelf);
  }

  void settle(std::size_t item, Shelf shelf) {
    known_[item] = {shelf, known_[item].load().changes + 1};
  }

  /// Each writer changes items of its own, so that it knows what it did last. A few of each stay
  /// away for long.
  void change(std::size_t writer, std::mt19937_64& random) {
    const std::size_t item = random() % (kItems / kWriters) * kWriters + writer;
    settle(item, Shelf::kChanging);
    switch (random() % 4) {
      case 0:
      case 1:
        engine_->remove_items(std::vector{id(item)});
        settle(item, Shelf::kGone);
        break;
      case 2:
        put(item, Shelf::kFront);
        break;
      default:
        put(item, Shelf::kBack);
    }
  }

  RankRequest draw(std::mt19937_64& random) const {
    RankRequest request;
    const auto item = [&] { return id(random() % kItems); };
    switch (random() % 5) {
      case 0:
        request.query = Shop::item(random() % Shop::kKinds, random() % 20).text;
        break;
      case 1:
        request.seed_items = {item(), item()};
        break;
      case 2:
        request.user_id = "nobody";
        break;
      case 3:
        request.candidates.emplace();
        for (int i = 0; i < 40; ++i) request.candidates->push_back(item());
        [[fallthrough]];
      default:
        request.user_id = "user-" + std::to_string(random() % Shop::kUsers);
    }
    request.limit = static_cast<std::int32_t>(3 + random() % 10);
    request.include_seen = true;
    if (random() % 2 == 0) request.filter = "shelf = 'front'";
    if (random() % 3 == 0) request.pins = {{item(), static_cast<std::int32_t>(random() % 3)}};
    if (random() % 3 == 0) request.boosts = {{"shelf = 'back'", 5}};
    if (random() % 4 == 0) request.diversity = 0.5;
    return request;
  }

  /// Asks for a list and its next pages; what was certainly away all the time must not be there.
  void read(std::mt19937_64& random) {
    RankRequest request = draw(random);
    std::set<std::string> shown;
    for (std::size_t page = 0; page < kPages; ++page) {
      std::array<Known, kItems> before;
      for (std::size_t item = 0; item < kItems; ++item) before[item] = known_[item];
      const RankResponse response = engine_->rank(request);
      std::set<std::string> listed;
      for (const auto& item : response.items) {
        ASSERT_TRUE(shown.insert(item.item_id).second) << item.item_id << " came twice";
        listed.insert(item.item_id);
      }
      listed_ += listed.size();
      for (std::size_t item = 0; item < kItems; ++item) {
        const Known now = known_[item];
        if (now != before[item] || now.shelf == Shelf::kChanging) continue;
        const bool gone = now.shelf == Shelf::kGone;
        if (!gone && !(request.filter && now.shelf == Shelf::kBack)) continue;
        ++(gone ? gone_ : filtered_);
        if (page > 0) ++away_on_later_pages_;
        ASSERT_FALSE(listed.contains(id(item)))
            << id(item) << (gone ? " was removed" : " does not pass the filter") << ", page "
            << page << ", query " << request.query.value_or("none");
      }
      request.page_token = response.next_page_token;
      if (!request.page_token) return;
    }
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
  std::array<std::string, 2> versions_;
  std::array<std::atomic<Known>, kItems> known_;
  std::uint64_t seed_ = 0;
  std::atomic<std::size_t> listed_ = 0, gone_ = 0, filtered_ = 0, away_on_later_pages_ = 0;
};

TEST_P(GoneItems, StandInNoListWhateverHappensMeanwhile) {
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> rebuilds = 0, swaps = 0;
  std::vector<std::jthread> others;
  for (std::size_t writer = 0; writer < kWriters; ++writer) {
    others.emplace_back([&, writer] {
      std::mt19937_64 random(seed_ + writer);
      while (!stop) change(writer, random);
    });
  }
  others.emplace_back([&] {
    const Versions versions(shop_.directory());
    while (!stop) {
      for (int i = 0; i < 3 && !stop;) {  // a version keeps its indexes for some rebuilds
        if (!engine_->rebuild()) continue;
        ++rebuilds;
        ++i;
      }
      versions.roll_back(versions_[swaps % 2]);
      swaps += engine_->reload() ? 1 : 0;
    }
  });
  {
    std::vector<std::jthread> readers;
    for (std::size_t reader = 0; reader < kReaders; ++reader) {
      readers.emplace_back([&, reader] {
        std::mt19937_64 random(seed_ + 100 + reader);
        for (std::size_t i = 0; i < kListsOfReader || rebuilds < kRebuildsMin || swaps == 0; ++i) {
          read(random);
          if (HasFatalFailure()) return;
        }
      });
    }
  }
  stop = true;
  others.clear();
  EXPECT_GT(listed_, 0);
  EXPECT_GT(gone_, 0);
  EXPECT_GT(filtered_, 0);
  EXPECT_GT(away_on_later_pages_, 0);

  // The index was of the kind that was meant.
  while (!engine_->rebuild()) {
    std::mt19937_64 random(seed_);
    change(0, random);
    seed_ += 1;
  }
  const Snapshot snapshot = engine_->snapshot();
  EXPECT_EQ(snapshot.model->text_index().kind(), GetParam() == Kind::kLists ? "ivf-sq8" : "exact");
  if (GetParam() != Kind::kTextsAlone) {
    EXPECT_EQ(snapshot.model->item_index()->kind(),
              GetParam() == Kind::kLists ? "ivf-sq8" : "exact");
  }
  std::cout << listed_ << " items listed beside " << gone_ << " removed and " << filtered_
            << " filtered, " << rebuilds << " rebuilds, " << swaps << " swaps\n";
}

INSTANTIATE_TEST_SUITE_P(, GoneItems,
                         testing::Values(Kind::kExact, Kind::kLists, Kind::kTextsAlone),
                         [](const auto& instance) {
                           switch (instance.param) {
                             case Kind::kExact:
                               return "Exact";
                             case Kind::kLists:
                               return "Lists";
                             default:
                               return "TextsAlone";
                           }
                         });

}  // namespace
}  // namespace fovea::engine
