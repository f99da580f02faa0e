#include "storage/history.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/bytes.h"
#include "storage/keys.h"
#include "storage/state.h"
#include "storage/values.h"

namespace fovea::storage {
namespace {

Event plain(const PackedEvent& packed) {
  Event event{packed.row, packed.action, packed.time_ms, {}};
  if (packed.flags & kHasValue) event.value = packed.value;
  return event;
}

std::vector<Event> plain(const std::vector<PackedEvent>& packed) {
  std::vector<Event> events;
  events.reserve(packed.size());
  for (const PackedEvent& event : packed) events.push_back(plain(event));
  return events;
}

}  // namespace

History::State::State(Rocks& store, Catalog::State& items, std::uint32_t history_events_max)
    : rocks(store), catalog(items), events_max(history_events_max) {
  rocksdb::PinnableSlice value;
  if (!rocks.get(kUsersKey, value)) return;
  ByteReader reader(value.ToStringView());
  users = reader.number<std::int64_t>();
  if (!reader.ended_well()) throw rocks.damaged("the number of its users");
}

std::vector<PackedEvent> History::State::unpack(std::string_view user_id,
                                                const std::optional<std::string_view>& value,
                                                std::size_t limit) const {
  if (!value) return {};
  auto events = unpack_events(*value, limit);
  if (!events) throw rocks.damaged(fmt::format("the history of user {}", user_id));
  std::uint32_t largest = 0;
  for (const PackedEvent& event : *events) largest = std::max(largest, event.row);
  if (!events->empty()) catalog.await_row(largest);
  return *std::move(events);
}

std::vector<Event> History::read(std::string_view user_id, std::size_t limit) const {
  rocksdb::PinnableSlice value;
  if (!state_.rocks.get(history_key(user_id), value)) return {};
  return plain(state_.unpack(user_id, value.ToStringView(),
                             std::min<std::size_t>(limit, state_.events_max)));
}

std::vector<std::vector<Event>> History::read_many(std::span<const std::string_view> user_ids,
                                                   std::size_t limit) const {
  std::vector<std::string> keys;
  keys.reserve(user_ids.size());
  for (const std::string_view user_id : user_ids) keys.push_back(history_key(user_id));
  const auto values = state_.rocks.get_many(keys);
  std::vector<std::vector<Event>> histories(user_ids.size());
  for (std::size_t i = 0; i < user_ids.size(); ++i) {
    if (!values[i]) continue;
    histories[i] = plain(state_.unpack(user_ids[i], values[i]->ToStringView(),
                                       std::min<std::size_t>(limit, state_.events_max)));
  }
  return histories;
}

std::vector<DetailedEvent> History::read_detailed(std::string_view user_id,
                                                  std::size_t limit) const {
  if (user_id.size() > kIdBytesMax) return {};
  rocksdb::PinnableSlice value;
  if (!state_.rocks.get(history_key(user_id), value)) return {};
  const auto packed =
      state_.unpack(user_id, value.ToStringView(), std::min<std::size_t>(limit, state_.events_max));
  std::vector<DetailedEvent> events;
  std::vector<std::size_t> with_details;
  std::vector<std::string> keys;
  for (const PackedEvent& event : packed) {
    if (event.flags & kHasDetails) {
      with_details.push_back(events.size());
      keys.push_back(details_key(user_id, event.event_key));
    }
    static_cast<Event&>(events.emplace_back()) = plain(event);
  }
  const auto values = state_.rocks.get_many(keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!values[i]) continue;  // it left the history between the two reads
    auto details = decode_details(values[i]->ToStringView());
    if (!details) throw state_.rocks.damaged(fmt::format("an event of user {}", user_id));
    events[with_details[i]].event_id = std::move(details->event_id);
    events[with_details[i]].request_id = std::move(details->request_id);
  }
  return events;
}

void History::for_each_user(const std::function<void(std::string_view user_id,
                                                     std::span<const Event> events)>& visit) const {
  for (Scan scan(state_.rocks, tag_begin(Tag::kHistory), tag_end(Tag::kHistory)); scan.valid();
       scan.next()) {
    const std::string_view user_id = scan.key().substr(1);
    const auto events = plain(state_.unpack(user_id, scan.value(), state_.events_max));
    if (!events.empty()) visit(user_id, events);
  }
}

std::vector<UserCount> History::users_with_prefix(std::string_view prefix,
                                                  std::size_t limit) const {
  std::vector<UserCount> users;
  const std::string begin = history_key(prefix);
  for (Scan scan(state_.rocks, begin, prefix_end(begin)); users.size() < limit && scan.valid();
       scan.next()) {
    const std::string_view user_id = scan.key().substr(1);
    const std::size_t bytes = scan.value().size();
    if (bytes % kPackedEventBytes != 0) {
      throw state_.rocks.damaged(fmt::format("the history of user {}", user_id));
    }
    if (bytes == 0) continue;
    users.push_back({std::string(user_id),
                     std::min<std::size_t>(bytes / kPackedEventBytes, state_.events_max)});
  }
  return users;
}

std::size_t History::events_max() const { return state_.events_max; }
std::int64_t History::users() const { return state_.users; }

}  // namespace fovea::storage
