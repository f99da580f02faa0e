// The byte format of the store: every key and every fixed-width value, documented before it is
// coded. Owns layout only; the values of variable width are in values.h, and reading and writing
// is db, history, catalog and exposures.
//
// Numbers are little-endian in values and big-endian in keys, so that the order of bytes is the
// order of numbers. USER is a user id led by its length (u16), so that no user's keys lie among
// another's.
//
//   key                                value
//   "format"                           u32, kFormatVersion
//   "meta/revision"                    u64 of the newest put; absent: nothing was put
//   "meta/embedding_width"             u32; absent: no embedding was put
//   "meta/users"                       i64, users with a history; merged: operands are added
//   "meta/erasures"                    u64, changed by every delete_user
//   'a' action u16                     weight f64, then the name to the end
//   'n' row u32                        present u8 (0, 1), then the item id to the end
//   'i' row u32                        item record (values.h); only while present
//   'h' user id                        packed events, newest first; merged (merge.h)
//   'd' USER event_key u64             details (values.h): the ids of one event of 'h'
//   'e' USER newest_first u64 request  exposure (values.h); the request id goes to the key's end
//   't' USER newest_first u64 request  the same response as part of experiments (values.h)
//   'x' experiment                     its declaration, as text
//
// Rows and action indexes are dense: 0 .. n-1. newest_first is the bitwise complement of the time
// in milliseconds with its sign bit flipped, so that the newest exposure of a user comes first.
//
// A packed event is 32 bytes:
//
//   time_ms i64 | row u32 | action u16 | flags u16 | value f64 | event_key u64
//
//   flags      1 has a value, 2 has details under event_key, 4 has an event id among them
//   event_key  a hash of the event id (of the packed event where there is only a request id),
//              moved on to the next seed while another event of the user holds the key
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::storage {

/// Written under the key "format" when a store is created. A store of another number is refused.
inline constexpr std::uint32_t kFormatVersion = 1;

/// Longest item id, user id, action, event id or request id, in bytes.
inline constexpr std::size_t kIdBytesMax = 512;

inline constexpr std::string_view kFormatKey = "format";
inline constexpr std::string_view kRevisionKey = "meta/revision";
inline constexpr std::string_view kEmbeddingWidthKey = "meta/embedding_width";
inline constexpr std::string_view kUsersKey = "meta/users";
inline constexpr std::string_view kErasuresKey = "meta/erasures";

/// First byte of a key. One past the tag ends its range.
enum class Tag : char {
  kAction = 'a',
  kDetails = 'd',
  kExposure = 'e',
  kHistory = 'h',
  kItem = 'i',
  kName = 'n',
  kTrial = 't',
  kDeclaration = 'x',
};

static_assert(std::endian::native == std::endian::little, "values are copied as they lie");

struct PackedEvent {
  std::int64_t time_ms = 0;
  std::uint32_t row = 0;
  std::uint16_t action = 0;
  std::uint16_t flags = 0;
  double value = 0;
  std::uint64_t event_key = 0;
};
inline constexpr std::size_t kPackedEventBytes = 32;
static_assert(sizeof(PackedEvent) == kPackedEventBytes);

inline constexpr std::uint16_t kHasValue = 1;
inline constexpr std::uint16_t kHasDetails = 2;
inline constexpr std::uint16_t kHasEventId = 4;

/// Up to `events_max` events from the front; absent: not a whole number of events.
std::optional<std::vector<PackedEvent>> unpack_events(std::string_view bytes,
                                                      std::size_t events_max = SIZE_MAX);
void pack_event(const PackedEvent& event, std::string& bytes);

/// Stable for the store's life. `seed` tells colliding ids apart.
std::uint64_t event_key(std::string_view bytes, std::uint64_t seed);

std::string tag_begin(Tag tag);
std::string tag_end(Tag tag);  ///< The first key after the tag's.
std::string action_key(std::uint16_t action);
std::string name_key(std::uint32_t row);
std::string item_key(std::uint32_t row);
std::string history_key(std::string_view user_id);
std::string declaration_key(std::string_view experiment);
std::string details_key(std::string_view user_id, std::uint64_t event_key);
/// `tag`: kExposure or kTrial.
std::string exposure_key(Tag tag, std::string_view user_id, std::int64_t time_ms,
                         std::string_view request_id);
/// Start of every key of the user under kDetails, kExposure or kTrial.
std::string user_prefix(Tag tag, std::string_view user_id);
/// The first key after those that start with `prefix`.
std::string prefix_end(std::string prefix);

/// The number in an action, name or item key; absent: the key is of another length.
std::optional<std::uint32_t> numbered_key(std::string_view key);

struct ExposureKey {
  // Views into the key that was parsed.
  std::string_view user_id;
  std::int64_t time_ms = 0;
  std::string_view request_id;
};
/// Absent: not a whole key.
std::optional<ExposureKey> parse_exposure_key(std::string_view key);

}  // namespace fovea::storage
