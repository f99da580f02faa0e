// W3C Trace Context (https://www.w3.org/TR/trace-context/): reads a traceparent. Nothing is traced
// here; the trace's id goes to the log, so that a line there is found from a trace.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fovea::api {

/// The trace id, 32 hexadecimal digits in lower case. Absent: not a valid traceparent, which by the
/// standard counts as none.
std::optional<std::string> trace_id(std::string_view traceparent);

}  // namespace fovea::api
