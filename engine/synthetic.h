// A generated catalogue and what its users do: tastes that drift, so that there is something to
// learn. Seeded: the same options give the same bytes on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/request.h"

namespace fovea::engine {

struct SyntheticOptions {
  std::size_t users = 1500;
  std::size_t items = 1200;
  std::size_t events_per_user = 30;  ///< Mean; the number varies by user.
  std::uint64_t seed = 1;
  std::int64_t end_ms = 1'760'000'000'000;  ///< Time of the newest behaviour at the latest.
};

std::vector<Item> synthetic_items(const SyntheticOptions& options);

/// Calls `emit` for one user at a time, events oldest first, so that a million users need no
/// memory.
void synthetic_events(const SyntheticOptions& options,
                      const std::function<void(std::span<const Event>)>& emit);

}  // namespace fovea::engine
