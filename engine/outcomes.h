// What each unit of an experiment did once it had been shown a variant: the store's exposures and
// behaviours joined, one unit after another. Owns the rules of what counts for whom; engine/report
// adds up and compares. A unit is the id that exposures and behaviours are kept under.
//
// What counts:
//   - Exposures of one version of the declaration; other versions are other experiments.
//   - A unit belongs to the variant of its first exposure. One that was shown two variants says
//     nothing of either and is left out.
//   - Behaviours from the first exposure on. One that names the request it answers counts when that
//     request was an exposure of this experiment, and no other way; one that names none counts for
//     its unit while the window since the first exposure lasts.
//   - Nothing from after `now_ms`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/experiments.h"
#include "storage/db.h"

namespace fovea::engine {

inline constexpr std::int64_t kDayMs = 86'400'000;

/// In which period of `period_ms` a time lies, counted from 1970-01-01, UTC: with kDayMs the day.
std::int64_t period_of(std::int64_t time_ms, std::int64_t period_ms);

struct OutcomeRules {
  std::int32_t version = 1;
  std::string success;                    ///< Action; InvalidRequest "success" if nobody has it.
  std::vector<std::string> guardrails;    ///< Actions; one that nobody has counts nothing.
  std::optional<std::int64_t> window_ms;  ///< Above 0; absent: all time since the first exposure.
  std::int64_t now_ms = 0;
  std::int64_t period_ms = kDayMs;  ///< By which successes are counted over time.
  /// Asked at every exposure; false ends the reading with Unavailable. Empty: until all is read.
  std::function<bool()> go_on;
};

struct Counts {
  std::int64_t successes = 0;
  std::optional<double> value;           ///< Of the successes that carry one; absent: none does.
  std::vector<std::int64_t> guardrails;  ///< In the order of the rules.
};

struct Outcome {
  std::string_view unit;
  std::size_t variant = 0;  ///< Place in Experiment::variants; of no meaning when interleaved.
  std::int64_t first_ms = 0;
  std::int64_t exposures = 0;
  Counts after;
  /// Before the first exposure, as far back as the history is kept.
  Counts before;
  bool acted = false;  ///< With any action that counted, successes among them.
  /// The kept history is full and begins after the first exposure: what came between is not known.
  bool truncated = false;
  /// Of each period_of() with a success their count, in order.
  std::vector<std::pair<std::int64_t, std::int64_t>> successes_by_period;
  /// Of an interleaved list, by declared variant: successes on shown items that the variant brought
  /// in, each joined by its request or, where it names none, to the newest list before it that
  /// showed the item and whose window has not passed. Empty: the unit's lists were not interleaved.
  std::vector<std::int64_t> credit;
};

/// Units that were exposed and are in no outcome.
struct LeftOut {
  std::int64_t crossovers = 0;      ///< Shown two variants.
  std::int64_t undeclared = 0;      ///< Shown a variant that the declaration does not have.
  std::int64_t other_versions = 0;  ///< Exposed to other versions only.
};

/// Calls `visit` for each unit in the order of their ids; what it is given holds for the call.
/// Memory is that of one unit. An erasure waits until it returns.
LeftOut for_each_outcome(storage::Db& db, const Experiment& experiment, const OutcomeRules& rules,
                         const std::function<void(const Outcome&)>& visit);

}  // namespace fovea::engine
