#include "engine/request_id.h"

#include <fmt/format.h>

#include <random>

namespace fovea::engine {

std::string new_request_id() {
  thread_local std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace fovea::engine
