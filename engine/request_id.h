// The name of one answer: in the response, the exposure, the log and what a user does next.
#pragma once

#include <string>

namespace fovea::engine {

/// 128 random bits in hexadecimal. Thread-safe.
std::string new_request_id();

}  // namespace fovea::engine
