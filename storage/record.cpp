// Recording: which events of a call are new, and the one write that keeps them.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "storage/bytes.h"
#include "storage/state.h"
#include "storage/values.h"

namespace fovea::storage {
namespace {

struct Kept {
  PackedEvent event;
  const NewEvent* arrived = nullptr;  // null: it was stored before this call
};

/// One user's history with the events of this call put in, newest first.
struct Changed {
  std::vector<Kept> events;
  bool was_empty = true;
  std::unordered_map<std::uint64_t, const NewEvent*> details;  // new in this call, by event key
  std::unordered_set<std::uint64_t> dropped;                   // stored details that go with it
};

/// One call of Db::record, under the locks of its users.
class Recording {
 public:
  Recording(Rocks& rocks, const History::State& history) : rocks_(rocks), history_(history) {}

  void read(std::span<const NewEvent> events);
  /// Whether it was new.
  bool add(const NewEvent& event, std::uint32_t row, std::uint16_t action);
  void add_to(rocksdb::WriteBatch& batch) const;
  std::int64_t new_users() const;

 private:
  bool recorded_without_id(const Changed& user, const PackedEvent& event) const;
  std::optional<std::uint64_t> free_event_key(const Changed& user, const NewEvent& event,
                                              const PackedEvent& packed) const;
  void drop_oldest(Changed& user) const;

  Rocks& rocks_;
  const History::State& history_;
  std::unordered_map<std::string_view, Changed> users_;
};

void Recording::read(std::span<const NewEvent> events) {
  std::vector<std::string_view> user_ids;
  std::vector<std::string> keys;
  for (const NewEvent& event : events) {
    if (!users_.try_emplace(event.user_id).second) continue;
    user_ids.push_back(event.user_id);
    keys.push_back(history_key(event.user_id));
  }
  const auto values = rocks_.get_many(keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!values[i]) continue;
    Changed& user = users_[user_ids[i]];
    for (const PackedEvent& event :
         history_.unpack(user_ids[i], values[i]->ToStringView(), SIZE_MAX)) {
      user.events.push_back({event});
    }
    user.was_empty = user.events.empty();
    while (user.events.size() > history_.events_max) drop_oldest(user);
  }
}

bool Recording::add(const NewEvent& event, std::uint32_t row, std::uint16_t action) {
  Changed& user = users_[event.user_id];
  PackedEvent packed;
  packed.time_ms = event.time_ms;
  packed.row = row;
  packed.action = action;
  packed.flags = static_cast<std::uint16_t>((event.value ? kHasValue : 0) |
                                            (event.event_id ? kHasEventId : 0));
  packed.value = event.value.value_or(0);
  if (!event.event_id && recorded_without_id(user, packed)) return false;
  if (event.event_id || event.request_id) {
    const auto key = free_event_key(user, event, packed);
    if (!key) return false;
    packed.event_key = *key;
    packed.flags |= kHasDetails;
  }

  // Before those of the same time: the newest arrival comes first.
  const auto place =
      std::partition_point(user.events.begin(), user.events.end(),
                           [&](const Kept& kept) { return kept.event.time_ms > packed.time_ms; });
  if (place == user.events.end() && user.events.size() >= history_.events_max) {
    return false;  // older than all that a full history keeps
  }
  user.events.insert(place, {packed, &event});
  if (packed.flags & kHasDetails) user.details[packed.event_key] = &event;
  if (user.events.size() > history_.events_max) drop_oldest(user);
  return true;
}

bool Recording::recorded_without_id(const Changed& user, const PackedEvent& event) const {
  const auto same = [&](const PackedEvent& kept) {
    return kept.row == event.row && kept.action == event.action &&
           (kept.flags & (kHasValue | kHasEventId)) == event.flags &&
           std::bit_cast<std::uint64_t>(kept.value) == std::bit_cast<std::uint64_t>(event.value);
  };
  auto kept = std::partition_point(user.events.begin(), user.events.end(), [&](const Kept& each) {
    return each.event.time_ms > event.time_ms;
  });
  for (; kept != user.events.end() && kept->event.time_ms == event.time_ms; ++kept) {
    if (same(kept->event)) return true;
  }
  return false;
}

/// Absent: the user has this event id.
std::optional<std::uint64_t> Recording::free_event_key(const Changed& user, const NewEvent& event,
                                                       const PackedEvent& packed) const {
  std::string content;
  if (!event.event_id) pack_event(packed, content);
  const std::string_view hashed = event.event_id ? *event.event_id : std::string_view(content);
  for (std::uint64_t seed = 0;; ++seed) {
    const std::uint64_t key = event_key(hashed, seed);
    if (const auto arrived = user.details.find(key); arrived != user.details.end()) {
      if (event.event_id && arrived->second->event_id == event.event_id) return std::nullopt;
      continue;  // another event with the same hash
    }
    rocksdb::PinnableSlice value;
    if (user.dropped.contains(key) || !rocks_.get(details_key(event.user_id, key), value)) {
      return key;
    }
    const auto details = decode_details(value.ToStringView());
    if (!details) throw rocks_.damaged(fmt::format("an event of user {}", event.user_id));
    if (event.event_id && details->event_id == *event.event_id) return std::nullopt;
  }
}

void Recording::drop_oldest(Changed& user) const {
  const Kept& oldest = user.events.back();
  if (oldest.event.flags & kHasDetails) {
    if (oldest.arrived == nullptr) {
      user.dropped.insert(oldest.event.event_key);
    } else {
      user.details.erase(oldest.event.event_key);
    }
  }
  user.events.pop_back();
}

void Recording::add_to(rocksdb::WriteBatch& batch) const {
  for (const auto& [user_id, user] : users_) {
    std::string operand;
    for (const Kept& kept : user.events) {
      if (kept.arrived != nullptr) pack_event(kept.event, operand);
    }
    if (operand.empty()) continue;
    for (const std::uint64_t key : user.dropped) batch.Delete(details_key(user_id, key));
    for (const auto& [key, event] : user.details) {  // after the deletions: a key may come again
      batch.Put(details_key(user_id, key), encode_details(event->event_id, event->request_id));
    }
    batch.Merge(history_key(user_id), operand);
  }
  if (const std::int64_t added = new_users(); added > 0) {
    std::string operand;
    append_number(operand, added);
    batch.Merge(std::string(kUsersKey), operand);
  }
}

std::int64_t Recording::new_users() const {
  return std::count_if(users_.begin(), users_.end(), [](const auto& user) {
    return user.second.was_empty && !user.second.events.empty();
  });
}

void check(const NewEvent& event) {
  check_id(event.user_id, "user id");
  check_id(event.item_id, "item id");
  if (event.event_id) check_id(*event.event_id, "event id");
  if (event.request_id) check_id(*event.request_id, "request id");
}

}  // namespace

std::size_t Db::record(std::span<const NewEvent> events) {
  Catalog::State& catalog = state_->catalog_state;
  std::vector<std::string> user_ids;
  std::vector<std::uint16_t> actions;
  for (const NewEvent& event : events) {
    check(event);
    const auto action = state_->catalog.action(event.action);
    if (!action) {
      throw std::invalid_argument(fmt::format("the action \"{}\" is not declared", event.action));
    }
    actions.push_back(*action);
    user_ids.emplace_back(event.user_id);
  }

  const auto held = state_->users.lock(std::move(user_ids));
  Recording recording(*state_->rocks, state_->history_state);
  recording.read(events);
  // Only a call that names an unknown item changes the catalogue and waits for its other changes.
  std::unique_lock changing(catalog.changing, std::defer_lock);
  const bool new_items = std::any_of(events.begin(), events.end(), [&](const NewEvent& event) {
    return !catalog.row(event.item_id);
  });
  if (new_items) changing.lock();
  NewRows rows(catalog);
  std::size_t recorded = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const std::uint32_t row =
        new_items ? rows.row(events[i].item_id) : catalog.row(events[i].item_id).value();
    if (recording.add(events[i], row, actions[i])) ++recorded;
  }
  if (recorded == 0) {
    state_->rocks->check_not_failed();
    return 0;
  }

  rocksdb::WriteBatch batch;
  if (new_items) rows.add_to(batch, /*present=*/false);
  recording.add_to(batch);
  state_->rocks->write(batch);
  state_->history_state.users += recording.new_users();
  if (new_items) {
    const std::unique_lock published(catalog.published);
    rows.publish();
  }
  state_->rocks->sync();  // under the locks: who records the same again must not be faster
  return recorded;
}

}  // namespace fovea::storage
