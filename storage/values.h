// Values of variable width: item records, details of an event, exposures. Owns their bytes;
// numbers are little-endian, a text is led by its length, and a damaged value decodes to nothing.
//
//   item      revision u64 | flags u8: 1 text, 2 embedding | text u32-led, when flagged
//             | embedding u32 numbers, f32 each, when flagged | attributes u32, each:
//             name u32-led, kind u8, value: 0 text u32-led, 1 number f64, 2 flag u8,
//             3 texts u32 of them, u32-led each
//   details   flags u8: 1 event id, 2 request id | each that is flagged, u16-led
//   exposure  model version u16-led | rows u32 each, to the end
//   trials    model version u16-led | rows u16 of them, u32 each | trials u16 of them, each:
//             experiment u16-led, version i32, variant u16-led, flags u8: 1 propensities, 2 teams
//             | propensities f32 a row, when flagged | teams u8 a row, when flagged
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/catalog.h"
#include "storage/exposures.h"

namespace fovea::storage {

std::string encode_item(const Item& item, std::uint64_t revision);
/// Without item_id and row, which are not in the value.
std::optional<StoredItem> decode_item(std::string_view bytes);
/// Only the revision, for scans that leave out most items.
std::optional<std::uint64_t> decode_revision(std::string_view bytes);

struct Details {
  std::optional<std::string> event_id;
  std::optional<std::string> request_id;
};
std::string encode_details(std::optional<std::string_view> event_id,
                           std::optional<std::string_view> request_id);
std::optional<Details> decode_details(std::string_view bytes);

struct ExposureValue {
  std::string model_version;
  std::vector<std::uint32_t> rows;
};
std::string encode_exposure(std::string_view model_version, const std::vector<std::uint32_t>& rows);
std::optional<ExposureValue> decode_exposure(std::string_view bytes);

std::string encode_trials(const Exposure& exposure);
/// All but the request id and the time, which are the key's.
std::optional<Exposure> decode_trials(std::string_view bytes);

}  // namespace fovea::storage
