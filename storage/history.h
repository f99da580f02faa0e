// What users did: one key per user, packed fixed-width events, newest first, truncated by the merge
// operator. Owns reading; writing goes through Db::record, which also names the items.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::storage {

struct Event {
  std::uint32_t row = 0;  ///< The item, by Catalog row; the item itself may be absent or removed.
  std::uint16_t action = 0;  ///< Index into Catalog::actions().
  std::int64_t time_ms = 0;
  std::optional<double> value;
};

/// An event with the ids it was recorded under, for people and for joins; costs a second read.
struct DetailedEvent : Event {
  std::optional<std::string> event_id;
  std::optional<std::string> request_id;
};

struct UserCount {
  std::string user_id;
  std::size_t behaviours = 0;  ///< Of those that are kept.
};

/// Obtained from Db; thread-safe.
class History {
 public:
  /// At most `limit` behaviours, newest first; equal times newest-arrived first. Empty for an
  /// unknown user.
  std::vector<Event> read(std::string_view user_id, std::size_t limit) const;

  /// The same for many users at once, in their order (one MultiGet).
  std::vector<std::vector<Event>> read_many(std::span<const std::string_view> user_ids,
                                            std::size_t limit) const;

  std::vector<DetailedEvent> read_detailed(std::string_view user_id, std::size_t limit) const;

  /// Calls `visit` for each user in key order over one consistent snapshot; events newest first.
  /// A delete_user waits until the visit is over, so `visit` must not call it.
  void for_each_user(const std::function<void(std::string_view user_id,
                                              std::span<const Event> events)>& visit) const;

  /// The first `limit` users whose ids begin with `prefix`, in the ids' order of bytes. Reads their
  /// histories' sizes and no event.
  std::vector<UserCount> users_with_prefix(std::string_view prefix, std::size_t limit) const;

  /// The most that is kept of a user: a history of so many may have lost older behaviours.
  std::size_t events_max() const;

  /// Users with at least one behaviour. Exact, and kept: nothing is scanned for it.
  std::int64_t users() const;

  struct State;
  explicit History(State& state) : state_(state) {}

 private:
  State& state_;
};

}  // namespace fovea::storage
