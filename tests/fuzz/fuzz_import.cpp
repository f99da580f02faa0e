// Import lines: JSON Lines and CSV, to items and events. The first byte chooses the format;
// whatever follows is records that are valid, or that are refused with a sentence.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
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

/// Numbers to within what Boost.JSON 1.81 loses of a double when it reads one: a unit in the last
/// place.
bool same(const boost::json::value& a, const boost::json::value& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_double()) {
    const double x = a.get_double();
    return std::abs(x - b.get_double()) <= 2 * std::numeric_limits<double>::epsilon() * std::abs(x);
  }
  if (a.is_array()) return std::ranges::equal(a.get_array(), b.get_array(), same);
  if (!a.is_object()) return a == b;
  return std::ranges::equal(a.get_object(), b.get_object(), [](const auto& x, const auto& y) {
    return x.key() == y.key() && same(x.value(), y.value());
  });
}

/// What was valid is written and read as the same.
template <typename Record, typename FromJson>
void check_round_trip(const Record& record, FromJson from_json) {
  fovea::engine::validate(record, "");
  const auto written = to_json(record);
  const Record again = from_json(parse_object(boost::json::serialize(written)));
  if (!same(written, to_json(again))) std::abort();
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
