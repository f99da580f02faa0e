// The lists of an experiment whose first places were left to chance, read as a log of choices for a
// policy that never served: what it would have put at each of those places, and what was earned
// there. Owns the reading; engine/off_policy estimates.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/experiments.h"
#include "engine/off_policy.h"
#include "engine/pipeline.h"

namespace fovea::engine {

/// What is to be judged, beside the version of the snapshot.
struct TargetPolicy {
  bool ranker = true;         ///< False: by closeness to the user's state alone, without boosts.
  std::vector<Boost> boosts;  ///< As of a request.
};

struct SliceRules {
  std::int32_t version = 1;  ///< Of the declaration.
  std::string success;       ///< Action; InvalidRequest "success" if nobody has it.
  /// How long after a list successes count that name no request; absent: until now.
  std::optional<std::int64_t> window_ms;
  std::int64_t now_ms = 0;
};

/// Most choices that are read; 240 MB of memory.
inline constexpr std::size_t kSliceChoicesMax = 5'000'000;

struct RandomisedSlice {
  /// By list and place. Reward: 1 with a success on the item, joined by its request or, where it
  /// names none, to the newest shuffled list before it that showed the item; else 0. Expected: the
  /// mean reward of the place over the log.
  std::vector<LoggedChoice> choices;
  std::int64_t lists = 0;
  /// Lists whose shuffled items are no longer all in the catalogue, or were not shuffled uniformly
  /// among one set of places.
  std::int64_t left_out = 0;
  double logged_reward = 0;  ///< Mean over the choices, as they were served; 0 without any.
};

/// For each list the snapshot's version orders the shuffled items over the user's behaviours from
/// before the list, as far as they are kept; the n-th best belongs to the n-th of the places. A
/// version that has learned from behaviours after the lists is judged too well. Throws
/// InvalidRequest beyond kSliceChoicesMax. Reads unit by unit; an erasure waits.
RandomisedSlice randomised_slice(const Snapshot& snapshot, const Experiment& experiment,
                                 const SliceRules& rules, const TargetPolicy& policy);

}  // namespace fovea::engine
