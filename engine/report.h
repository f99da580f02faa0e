// What an experiment has shown so far: its variants side by side, metric by metric and period by
// period, from the store alone. Owns which sums are made of the units' outcomes and which tests
// they are put to; engine/outcomes says what counts, engine/statistics computes, engine/verdict
// speaks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/experiments.h"
#include "engine/outcomes.h"
#include "engine/statistics.h"
#include "engine/verdict.h"
#include "storage/db.h"

namespace fovea::engine {

/// Units of both arms at which the confidence sequences of a report are tightest. It must not
/// depend on what was seen, so it is one number for all.
inline constexpr double kSequentialUnits = 5000;

/// Most periods that a report lists, the newest; earlier ones are in its sums all the same.
inline constexpr std::int64_t kReportPeriodsMax = 400;

struct ReportOptions {
  std::optional<std::string> success;   ///< Action; absent: the declared one.
  std::optional<std::int32_t> version;  ///< Absent: the declared one, which is the newest.
  std::optional<std::int64_t> window_ms;
  bool sequential = false;  ///< Intervals and p-values hold at every look.
  double alpha = 0.05;
  std::int64_t now_ms = 0;          ///< Milliseconds since 1970; nothing later is looked at.
  std::int64_t period_ms = kDayMs;  ///< Above 0: what `periods` are.
  std::function<bool()> go_on;      ///< As OutcomeRules has it.
};

/// A treatment against the control.
struct Comparison {
  std::optional<Estimate> absolute;  ///< Absent: `not_compared` says why.
  std::optional<Estimate> relative;  ///< Absent where the control's mean is 0 and the like.
  std::string not_compared;          ///< A sentence.
  /// On the scale of lift(), less what the units did before. Absent: nothing was before, or a
  /// ratio.
  std::optional<Estimate> with_cuped;
  double variance_reduction = 0;  ///< By CUPED, share of the absolute difference's variance.
  double adjusted_p_value = 1;    ///< Holm over guardrails, Benjamini and Hochberg over the others.

  /// The relative difference, else the absolute one; only where there is a comparison.
  const Estimate& lift() const { return relative ? *relative : *absolute; }
};

enum class MetricKind : std::uint8_t {
  kSuccesses,    ///< Successes per unit: what the verdict is about.
  kConverted,    ///< Share of units with a success.
  kValue,        ///< Sum of the successes' values per unit; only where some carry one.
  kPerExposure,  ///< Successes per exposure, a ratio.
  kGuardrail,    ///< Behaviours of a guarded action per unit.
};

struct Metric {
  MetricKind kind = MetricKind::kSuccesses;
  std::string action;
  /// Of a guardrail: what its action's declared weight says, less being better below 0.
  bool more_is_better = true;
  std::vector<Arm> arms;                       ///< By variant; with `before` but for the ratio.
  std::vector<std::optional<Estimate>> means;  ///< By variant; absent: fewer than two units.
  std::vector<Comparison> against_control;     ///< Of the variants after the first.
};

struct ReportVariant {
  std::string name;
  double weight = 0;
  std::int64_t units = 0;
  std::int64_t exposures = 0;
  std::int64_t acted = 0;      ///< Units with a behaviour that counts.
  std::int64_t converted = 0;  ///< Units with a success.
  std::int64_t truncated = 0;  ///< Units of whose kept history the beginning is missing.
};

struct ReportPeriod {
  std::int64_t number = 0;  ///< period_of()
  struct OfVariant {
    std::int64_t new_units = 0;
    std::int64_t units = 0;  ///< Exposed until its end.
    /// The period's successes per unit exposed until its end; absent: fewer than two.
    std::optional<Estimate> mean;
  };
  std::vector<OfVariant> variants;
  /// Of the variants after the first: the relative lift in all successes until its end, with
  /// a confidence sequence, since a curve is a look at every point. Absent: nothing to compare yet.
  std::vector<std::optional<Estimate>> lifts;
};

/// Of an interleaved experiment: a treatment's credit against the control's, unit by unit.
struct Preference {
  std::int64_t units = 0;
  std::int64_t wins = 0;
  std::int64_t losses = 0;
  std::int64_t draws = 0;
  Estimate share_of_wins;  ///< sign_test()
};

struct Report {
  std::string experiment;
  std::int32_t version = 1;
  Unit unit = Unit::kUser;
  std::string success;
  std::optional<std::int64_t> window_ms;
  bool sequential = false;
  double alpha = 0.05;
  std::int64_t now_ms = 0;

  std::vector<ReportVariant> variants;         ///< The first is the control.
  std::optional<double> sample_ratio_p_value;  ///< Absent: the version's weights are not known.
  bool interleaved = false;                    ///< Then `preferences` and no metrics.
  std::vector<Metric> metrics;                 ///< Successes first, guardrails last.
  std::int64_t period_ms = kDayMs;
  std::vector<ReportPeriod> periods;    ///< From the first exposure on, without gaps.
  std::vector<Preference> preferences;  ///< Of the variants after the first.
  std::vector<Verdict> verdicts;        ///< Of the variants after the first.
  LeftOut left_out;
};

/// Reads exposures and histories once, unit by unit; memory is that of a unit and of sums by
/// period. Throws InvalidRequest: no success is declared or given, or it is no action of the store;
/// a window that is not above 0; alpha.
Report make_report(storage::Db& db, const Experiment& experiment, const ReportOptions& options);

}  // namespace fovea::engine
