// What the trainers read: every user's behaviours as one ragged array, and the one behaviour that
// is held out. Plain data; where it comes from and how it is split is the engine's business
// (engine/split).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fovea::ranking {

/// One behaviour. `action` is an index into the model's action weights, 0 meaning "no particular
/// action".
struct Behaviour {
  std::uint32_t row = 0;
  std::uint16_t action = 0;
  float value = 0;  ///< Rating, price or seconds as recorded; 0 when absent.
  std::int64_t time_ms = 0;
};

/// Users' behaviours, oldest first, one after another: user u owns [offsets[u], offsets[u + 1]).
struct Interactions {
  std::vector<std::uint64_t> offsets = {0};
  std::vector<Behaviour> behaviours;

  std::size_t users() const { return offsets.size() - 1; }
  std::span<const Behaviour> user(std::size_t u) const {
    return {behaviours.data() + offsets[u], behaviours.data() + offsets[u + 1]};
  }
  void add_user(std::span<const Behaviour> oldest_first) {
    behaviours.insert(behaviours.end(), oldest_first.begin(), oldest_first.end());
    offsets.push_back(behaviours.size());
  }
};

/// One question with a known answer: what came after `history` (oldest first) was `target`.
struct HeldOut {
  std::uint32_t user = 0;  ///< Index of the user whose history it is.
  std::vector<Behaviour> history;
  Behaviour target;
};

}  // namespace fovea::ranking
