#include "tests/slow_shop.h"

#include <utility>

namespace fovea::engine {

SlowShop::SlowShop() : engine_(shop_.open()) {
  engine_->declare_action("view", 1);
  std::vector<Item> items;
  for (std::size_t i = 0; i < kItems; ++i) {
    Item item = Shop::item(i % Shop::kKinds, i / Shop::kKinds % Shop::kItemsPerKind);
    item.item_id = "item-" + std::to_string(i);
    items_.push_back(item.item_id);
    items.push_back(std::move(item));
  }
  engine_->put_items(items);
  std::vector<Event> events;
  for (std::size_t i = 0; i < kBehaviours; ++i) {
    Event event = shop_.event(kUser, items_[i * 7 % kItems]);
    event.time_ms = shop_.now_ms - static_cast<std::int64_t>(kBehaviours - i) * 60'000;
    events.push_back(std::move(event));
  }
  engine_->record(events);
  shop_.publish(shop_.learned_version(engine_->db(), {.width = 64, .behaviours_max = kBehaviours}));
  engine_->reload();
}

}  // namespace fovea::engine
