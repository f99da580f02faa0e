// Which variant of an experiment a unit is in. Nothing is stored: the same names and the same unit
// give the same variant on every server and after every restart. Owns the two ways of hashing;
// engine/experiments says what there is to be assigned to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/experiments.h"

namespace fovea::engine {

/// PlanOut's: the first 15 hexadecimal digits of SHA-1(text) over 15 times F; 0 to 1.
double planout_uniform(std::string_view text);

/// FNV-1a of 32 bits, byte by byte.
std::uint32_t fnv1a32(std::string_view text);

/// GrowthBook's second: 0, .0001 up to .9999. Its SDKs hash characters where this hashes bytes of
/// UTF-8, so that they agree on ASCII.
double growthbook_uniform(std::string_view salt, std::string_view unit);

/// The place in `experiment.variants` of the one that `unit` (the id of a user, or of a session) is
/// in; absent: it is in none. Knows no clock: whether the experiment runs is asked with
/// is_running().
///
/// kPlanOut: in when from <= u("LAYER.UNIT") < to; the variant is the first whose cumulative weight
/// exceeds u("SALT.UNIT"). kGrowthBook: the k-th variant owns (to - from) times its weight, from
/// the sum of the weights before it.
std::optional<std::size_t> assign(const Experiment& experiment, std::string_view unit);

/// Whether the unit is kept out of every experiment: u("SALT.UNIT") < share.
bool is_held_out(const Holdout& holdout, std::string_view unit);

}  // namespace fovea::engine
