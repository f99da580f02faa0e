#include "api/trace_context.h"

#include <algorithm>
#include <cstddef>

namespace fovea::api {
namespace {

// version "-" trace-id "-" parent-id "-" flags
constexpr std::size_t kTraceAt = 3;
constexpr std::size_t kTraceDigits = 32;
constexpr std::size_t kParentAt = 36;
constexpr std::size_t kParentDigits = 16;
constexpr std::size_t kFlagsAt = 53;
constexpr std::size_t kLength = 55;

/// Upper case is not hexadecimal here: the standard allows lower case only.
bool hexadecimal(std::string_view digits) {
  return std::all_of(digits.begin(), digits.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view digits) {
  return digits.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace

std::optional<std::string> trace_id(std::string_view traceparent) {
  if (traceparent.size() < kLength) return std::nullopt;
  const auto version = traceparent.substr(0, 2);
  const auto trace = traceparent.substr(kTraceAt, kTraceDigits);
  const auto parent = traceparent.substr(kParentAt, kParentDigits);
  const auto flags = traceparent.substr(kFlagsAt, 2);
  for (const std::size_t dash : {kTraceAt - 1, kParentAt - 1, kFlagsAt - 1}) {
    if (traceparent[dash] != '-') return std::nullopt;
  }
  if (!hexadecimal(version) || !hexadecimal(trace) || !hexadecimal(parent) || !hexadecimal(flags) ||
      version == "ff" || all_zero(trace) || all_zero(parent)) {
    return std::nullopt;
  }
  // Later versions may append fields; this one ends here.
  if (traceparent.size() > kLength && (version == "00" || traceparent[kLength] != '-')) {
    return std::nullopt;
  }
  return std::string(trace);
}

}  // namespace fovea::api
