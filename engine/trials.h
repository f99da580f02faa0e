// A request as its experiments want it: ranked by its variants, made of two lists or shuffled where
// they say so, and written down. Owns what of a response belongs to an experiment; who is in which
// variant is engine/treatment's, how a list is ranked engine/pipeline's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/exposure_counts.h"
#include "engine/pipeline.h"
#include "engine/treatment.h"

namespace fovea::engine {

/// What is ranked from: by a version that an experiment names, or absent: by the one that serves.
using SnapshotOf = std::function<Snapshot(const std::optional<std::string>& version)>;

/// The answer to a valid request. It is written under the user's id, with a trial of each
/// experiment that can have changed it (bears_on()) and was not forced, which `counts` counts; a
/// trial of a session under the session's id. Nothing shown: no trial. A list that was to be made
/// of two and had no time for the second is the first alone, degraded, and no trial of that
/// experiment. `counts` null: nothing is written.
RankResponse rank(const Treatment& treatment, const SnapshotOf& snapshot_of,
                  const RankRequest& request, std::int64_t now_ms, const ExposureCounts* counts);

}  // namespace fovea::engine
