// Summaries: whatever they say, they are refused with a sentence or answered with finite numbers,
// p-values from 0 to 1 and intervals the right way round.
#include <boost/json.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/analysis.h"
#include "api/json.h"
#include "engine/request.h"

namespace json = boost::json;

namespace {

void check(std::string_view name, const json::value& value) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.get_object()) check(key, inner);
  } else if (value.is_array()) {
    for (const json::value& inner : value.get_array()) check(name, inner);
    if (name == "ci" && value.at(0).as_double() > value.at(1).as_double()) std::abort();
  } else if (value.is_number()) {
    const auto number = value.to_number<double>();
    if (!std::isfinite(number)) std::abort();
    const bool probability = name == "p_value" || name == "holm" || name == "benjamini_hochberg";
    if (probability && !(number >= 0 && number <= 1)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    check("", fovea::api::analyze(fovea::api::parse_object(text, fovea::api::kSummaryDepthMax)));
  } catch (const fovea::engine::InvalidRequest& error) {
    if (*error.what() == '\0') std::abort();
  }
  return 0;
}
