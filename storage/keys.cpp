#include "storage/keys.h"

#include <algorithm>
#include <cstring>

#include "storage/bytes.h"

namespace fovea::storage {
namespace {

template <typename T>
void append_ordered(std::string& key, T number) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> shift));
  }
}

std::uint64_t read_ordered(std::string_view bytes) {
  std::uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

constexpr std::uint64_t kSignBit = std::uint64_t{1} << 63;

}  // namespace

std::optional<std::vector<PackedEvent>> unpack_events(std::string_view bytes,
                                                      std::size_t events_max) {
  if (bytes.size() % kPackedEventBytes != 0) return std::nullopt;
  std::vector<PackedEvent> events(std::min(bytes.size() / kPackedEventBytes, events_max));
  if (!events.empty()) {
    std::memcpy(events.data(), bytes.data(), events.size() * kPackedEventBytes);
  }
  return events;
}

void pack_event(const PackedEvent& event, std::string& bytes) {
  char raw[kPackedEventBytes];
  std::memcpy(raw, &event, kPackedEventBytes);
  bytes.append(raw, kPackedEventBytes);
}

// FNV-1a, then the finaliser of MurmurHash3, for the seeds to differ in every bit.
std::uint64_t event_key(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325 ^ seed;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
  hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
  return hash ^ hash >> 33;
}

std::string tag_begin(Tag tag) { return {static_cast<char>(tag)}; }
std::string tag_end(Tag tag) { return {static_cast<char>(static_cast<char>(tag) + 1)}; }

std::string action_key(std::uint16_t action) {
  std::string key = tag_begin(Tag::kAction);
  append_ordered(key, action);
  return key;
}

std::string name_key(std::uint32_t row) {
  std::string key = tag_begin(Tag::kName);
  append_ordered(key, row);
  return key;
}

std::string item_key(std::uint32_t row) {
  std::string key = tag_begin(Tag::kItem);
  append_ordered(key, row);
  return key;
}

std::string history_key(std::string_view user_id) {
  return tag_begin(Tag::kHistory).append(user_id);
}

std::string declaration_key(std::string_view experiment) {
  return tag_begin(Tag::kDeclaration).append(experiment);
}

std::string user_prefix(Tag tag, std::string_view user_id) {
  std::string key = tag_begin(tag);
  append_ordered(key, static_cast<std::uint16_t>(user_id.size()));
  return key.append(user_id);
}

std::string details_key(std::string_view user_id, std::uint64_t event_key) {
  std::string key = user_prefix(Tag::kDetails, user_id);
  append_ordered(key, event_key);
  return key;
}

std::string exposure_key(Tag tag, std::string_view user_id, std::int64_t time_ms,
                         std::string_view request_id) {
  std::string key = user_prefix(tag, user_id);
  append_ordered(key, ~(static_cast<std::uint64_t>(time_ms) ^ kSignBit));
  return key.append(request_id);
}

std::string prefix_end(std::string prefix) {
  while (static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  ++prefix.back();  // the tag in front is below 0xff, so there is a last byte to raise
  return prefix;
}

std::optional<std::uint32_t> numbered_key(std::string_view key) {
  const std::size_t bytes = key.starts_with(static_cast<char>(Tag::kAction)) ? 2 : 4;
  if (key.size() != 1 + bytes) return std::nullopt;
  return static_cast<std::uint32_t>(read_ordered(key.substr(1)));
}

std::optional<ExposureKey> parse_exposure_key(std::string_view key) {
  ByteReader reader(key);
  reader.take(1);
  const std::string_view user_id = reader.take(read_ordered(reader.take(2)));
  const std::uint64_t newest_first = read_ordered(reader.take(8));
  if (!reader.ok()) return std::nullopt;
  return ExposureKey{user_id, static_cast<std::int64_t>(~newest_first ^ kSignBit),
                     reader.take(reader.left())};
}

}  // namespace fovea::storage
