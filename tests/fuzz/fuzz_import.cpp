// Import lines: JSON Lines and CSV, to items and events. The first byte chooses the format;
// whatever follows is records that are valid, or that are refused with a sentence.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "api/json.h"
#include "api/records.h"
#include "engine/request.h"

using namespace fovea::api;

namespace {

template <typename Read>
void try_to(Read read) {
  try {
    read();
  } catch (const fovea::engine::InvalidRequest& invalid) {
    if (std::string(invalid.what()).empty()) std::abort();
  }
}

/// What was valid is written and read as the same.
template <typename Record, typename FromJson>
void check_round_trip(const Record& record, FromJson from_json) {
  fovea::engine::validate(record, "");
  const std::string text = boost::json::serialize(to_json(record));
  const Record again = from_json(parse_object(text));
  if (boost::json::serialize(to_json(again)) != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::istringstream in(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  try {
    RecordReader reader(in, data[0] & 1 ? Format::kCsv : Format::kJsonLines);
    for (;;) {
      try {
        const auto object = reader.next();
        if (!object) break;
        try_to([&] { check_round_trip(item_from_json(*object), item_from_json); });
        try_to([&] { check_round_trip(event_from_json(*object), event_from_json); });
      } catch (const BadRecord& bad) {
        if (std::string(bad.what()).empty()) std::abort();
      }
    }
  } catch (const BadRecord& bad) {  // the CSV header
    if (std::string(bad.what()).empty()) std::abort();
  }
  return 0;
}
