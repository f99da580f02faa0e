#include "engine/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "engine/count_tests.h"
#include "engine/multiple_testing.h"
#include "engine/request.h"

namespace fovea::engine {
namespace {

/// What a period adds, of one variant.
struct PeriodSums {
  std::int64_t new_units = 0;
  double successes = 0;
  double squares = 0;         // of the units' successes in it
  double squares_so_far = 0;  // how much it adds to those of their successes until its end
};

/// One unit of an arm with its second quantity.
void add(Arm& arm, std::optional<SecondSums> Arm::* quantity, double value, double second) {
  ++arm.n;
  arm.sum += value;
  arm.sum_squares += value * value;
  auto& sums = arm.*quantity;
  if (!sums) sums.emplace();
  sums->sum += second;
  sums->sum_squares += second * second;
  sums->sum_of_products += value * second;
}

/// Every sum that a report is made of.
class Sums {
 public:
  Sums(const Report& report, const std::vector<std::string>& guardrails)
      : arms_(4 + guardrails.size(), std::vector<Arm>(report.variants.size())),
        variants_(report.variants.size()),
        period_ms_(report.period_ms) {}

  void take(const Outcome& outcome, Report& report) {
    if (!outcome.credit.empty()) {
      prefer(outcome, report);
      return;
    }
    ReportVariant& variant = report.variants[outcome.variant];
    const Counts& after = outcome.after;
    const Counts& before = outcome.before;
    ++variant.units;
    variant.exposures += outcome.exposures;
    variant.acted += outcome.acted ? 1 : 0;
    variant.converted += after.successes > 0 ? 1 : 0;
    variant.truncated += outcome.truncated ? 1 : 0;

    const auto of = [&](std::size_t metric) -> Arm& { return arms_[metric][outcome.variant]; };
    const auto successes = static_cast<double>(after.successes);
    add(of(0), &Arm::before, successes, static_cast<double>(before.successes));
    add(of(1), &Arm::before, after.successes > 0 ? 1 : 0, before.successes > 0 ? 1 : 0);
    valued_ = valued_ || after.value.has_value();
    add(of(2), &Arm::before, after.value.value_or(0), before.value.value_or(0));
    add(of(3), &Arm::denominator, successes, static_cast<double>(outcome.exposures));
    for (std::size_t i = 0; i < after.guardrails.size(); ++i) {
      add(of(4 + i), &Arm::before, static_cast<double>(after.guardrails[i]),
          static_cast<double>(before.guardrails[i]));
    }
    add_periods(outcome);
  }

  std::vector<Arm> arms(std::size_t metric) const { return arms_[metric]; }
  bool valued() const { return valued_; }
  using Periods = std::map<std::int64_t, std::vector<PeriodSums>>;
  const Periods& periods() const { return periods_; }

 private:
  PeriodSums& in(std::int64_t period, std::size_t variant) {
    auto& sums = periods_[period];
    sums.resize(variants_);
    return sums[variant];
  }

  void add_periods(const Outcome& outcome) {
    ++in(period_of(outcome.first_ms, period_ms_), outcome.variant).new_units;
    double so_far = 0;
    for (const auto& [period, count] : outcome.successes_by_period) {
      PeriodSums& sums = in(period, outcome.variant);
      const auto successes = static_cast<double>(count);
      sums.successes += successes;
      sums.squares += successes * successes;
      sums.squares_so_far += (so_far + successes) * (so_far + successes) - so_far * so_far;
      so_far += successes;
    }
  }

  static void prefer(const Outcome& outcome, Report& report) {
    report.interleaved = true;
    report.preferences.resize(report.variants.size() - 1);
    for (std::size_t i = 0; i < report.preferences.size(); ++i) {
      Preference& preference = report.preferences[i];
      const std::int64_t control = outcome.credit[0];
      const std::int64_t treatment = outcome.credit[i + 1];
      ++preference.units;
      ++(treatment > control   ? preference.wins
         : treatment < control ? preference.losses
                               : preference.draws);
    }
  }

  std::vector<std::vector<Arm>> arms_;  // by metric and variant
  std::size_t variants_;
  std::int64_t period_ms_;
  bool valued_ = false;
  Periods periods_;
};

/// Absent, with the reason, where the arms cannot be compared on this scale.
std::optional<Estimate> try_compare(const Arm& control, const Arm& treatment,
                                    const CompareOptions& options, std::string* reason = nullptr) {
  try {
    return compare(control, treatment, options);
  } catch (const InvalidRequest& error) {
    if (reason != nullptr) *reason = error.what();
    return std::nullopt;
  }
}

CompareOptions compare_options(const Report& report, Scale scale) {
  CompareOptions options{scale, report.alpha, {}};
  if (report.sequential) options.tuning = kSequentialUnits;
  return options;
}

Arm plain(Arm arm) {
  arm.before.reset();
  return arm;
}

Comparison compare_arms(const Report& report, const Arm& control, const Arm& treatment) {
  Comparison result;
  const auto absolute = compare_options(report, Scale::kAbsolute);
  const auto relative = compare_options(report, Scale::kRelative);
  result.absolute = try_compare(plain(control), plain(treatment), absolute, &result.not_compared);
  if (!result.absolute) return result;
  result.relative = try_compare(plain(control), plain(treatment), relative);
  const bool known_before = control.before && treatment.before &&
                            (control.before->sum != 0 || treatment.before->sum != 0);
  const double error = result.absolute->standard_error;
  if (!known_before || error == 0) return result;
  const auto reduced = try_compare(control, treatment, absolute);
  result.with_cuped = result.relative ? try_compare(control, treatment, relative) : reduced;
  if (reduced) {
    const double share = reduced->standard_error / error;
    result.variance_reduction = 1 - share * share;
  }
  return result;
}

Metric metric_of(const Report& report, MetricKind kind, std::string action, std::vector<Arm> arms) {
  Metric metric{kind, std::move(action), true, std::move(arms), {}, {}};
  for (const Arm& arm : metric.arms) {
    auto& mean_of_arm = metric.means.emplace_back();
    if (arm.n < 2) continue;
    try {
      mean_of_arm = mean(arm, "variant", report.alpha);
    } catch (const InvalidRequest&) {
      mean_of_arm.reset();  // Sums beyond what a double holds: they are not compared either, and
                            // that says so.
    }
  }
  for (std::size_t i = 1; i < metric.arms.size(); ++i) {
    auto& comparison = metric.against_control.emplace_back();
    if (metric.arms[0].n < 2 || metric.arms[i].n < 2) {
      comparison.not_compared = fmt::format(
          "{} and {} have {} and {} units; a comparison takes two of each", report.variants[0].name,
          report.variants[i].name, metric.arms[0].n, metric.arms[i].n);
    } else {
      comparison = compare_arms(report, metric.arms[0], metric.arms[i]);
    }
  }
  return metric;
}

void adjust(Report& report, bool guardrails) {
  std::vector<Comparison*> family;
  std::vector<double> p_values;
  for (Metric& metric : report.metrics) {
    if ((metric.kind == MetricKind::kGuardrail) != guardrails) continue;
    for (Comparison& comparison : metric.against_control) {
      if (!comparison.absolute) continue;
      family.push_back(&comparison);
      p_values.push_back(comparison.lift().p_value);
    }
  }
  const auto adjusted = guardrails ? holm(p_values) : benjamini_hochberg(p_values);
  for (std::size_t i = 0; i < family.size(); ++i) family[i]->adjusted_p_value = adjusted[i];
}

void add_metrics(Report& report, const Sums& sums, storage::Catalog& catalog,
                 const std::vector<std::string>& guardrails) {
  const auto add = [&](MetricKind kind, std::size_t place) {
    report.metrics.push_back(metric_of(report, kind, report.success, sums.arms(place)));
  };
  add(MetricKind::kSuccesses, 0);
  add(MetricKind::kConverted, 1);
  if (sums.valued()) add(MetricKind::kValue, 2);
  add(MetricKind::kPerExposure, 3);
  const auto actions = catalog.actions();
  for (std::size_t i = 0; i < guardrails.size(); ++i) {
    Metric metric = metric_of(report, MetricKind::kGuardrail, guardrails[i], sums.arms(4 + i));
    const auto action = catalog.action(guardrails[i]);
    metric.more_is_better = !action || actions[*action].weight >= 0;
    if (!action) {
      for (Comparison& comparison : metric.against_control) {
        comparison = {};
        comparison.not_compared =
            fmt::format("no action of this store is named '{}'", guardrails[i]);
      }
    }
    report.metrics.push_back(std::move(metric));
  }
  adjust(report, /*guardrails=*/false);
  adjust(report, /*guardrails=*/true);
}

void add_periods(Report& report, const Sums::Periods& periods) {
  if (periods.empty()) return;
  const std::size_t variants = report.variants.size();
  std::vector<Arm> so_far(variants);
  const std::int64_t last = periods.rbegin()->first;
  const std::int64_t first = std::max(periods.begin()->first, last - kReportPeriodsMax + 1);
  const std::vector<PeriodSums> nothing(variants);
  const auto begin = [&](const std::vector<PeriodSums>& sums) {
    for (std::size_t v = 0; v < variants; ++v) {
      so_far[v].n += sums[v].new_units;
      so_far[v].sum += sums[v].successes;
      so_far[v].sum_squares += sums[v].squares_so_far;
    }
  };
  auto next = periods.begin();
  for (; next->first < first; ++next) begin(next->second);
  const CompareOptions so_often{Scale::kRelative, report.alpha, kSequentialUnits};
  for (std::int64_t number = first; number <= last; ++number) {
    const bool happened = next != periods.end() && next->first == number;
    const auto& sums = happened ? next->second : nothing;
    begin(sums);
    ReportPeriod& period = report.periods.emplace_back();
    period.number = number;
    for (std::size_t v = 0; v < variants; ++v) {
      auto& of_variant = period.variants.emplace_back();
      of_variant.new_units = sums[v].new_units;
      of_variant.units = so_far[v].n;
      if (so_far[v].n < 2) continue;
      of_variant.mean =
          mean({so_far[v].n, sums[v].successes, sums[v].squares, {}, {}}, "variant", report.alpha);
    }
    for (std::size_t v = 1; v < variants; ++v) {
      period.lifts.push_back(try_compare(so_far[0], so_far[v], so_often));
    }
    if (happened) ++next;
  }
}

/// Variants without weight are for those who are put in by hand, and no part of the split.
double split_p_value(const std::vector<ReportVariant>& variants) {
  std::vector<std::int64_t> units;
  std::vector<double> weights;
  for (const ReportVariant& variant : variants) {
    if (variant.weight == 0) continue;
    units.push_back(variant.units);
    weights.push_back(variant.weight);
  }
  return units.size() < 2 ? 1 : sample_ratio_p_value(units, weights);
}

}  // namespace

Report make_report(storage::Db& db, const Experiment& experiment, const ReportOptions& options) {
  check_alpha(options.alpha);
  if (!options.success && !experiment.success) {
    throw InvalidRequest("success",
                         fmt::format("experiment '{}' declares no success; name the action that "
                                     "counts, --success ACTION",
                                     experiment.name));
  }
  if (options.window_ms && *options.window_ms <= 0) {
    throw InvalidRequest(
        "window", fmt::format("the window is {} ms; more than 0 is expected", *options.window_ms));
  }
  Report report;
  report.experiment = experiment.name;
  report.version = options.version.value_or(experiment.version);
  report.unit = experiment.unit;
  report.success = options.success ? *options.success : *experiment.success;
  report.window_ms = options.window_ms;
  report.sequential = options.sequential;
  report.alpha = options.alpha;
  report.now_ms = options.now_ms;
  report.period_ms = options.period_ms;
  for (const Variant& variant : experiment.variants) {
    report.variants.push_back({variant.name, variant.weight, 0, 0, 0, 0, 0});
  }
  Sums sums(report, experiment.guardrails);
  report.left_out =
      for_each_outcome(db, experiment,
                       {report.version, report.success, experiment.guardrails, options.window_ms,
                        options.now_ms, options.period_ms, options.go_on},
                       [&](const Outcome& outcome) { sums.take(outcome, report); });
  if (report.version == experiment.version) {
    report.sample_ratio_p_value = split_p_value(report.variants);
  }
  if (report.interleaved) {
    for (Preference& preference : report.preferences) {
      preference.share_of_wins = sign_test(preference.wins, preference.losses, report.alpha);
    }
  } else {
    add_metrics(report, sums, db.catalog(), experiment.guardrails);
    add_periods(report, sums.periods());
  }
  for (std::size_t i = 0; i + 1 < report.variants.size(); ++i) {
    report.verdicts.push_back(judge(report, i));
  }
  return report;
}

}  // namespace fovea::engine
