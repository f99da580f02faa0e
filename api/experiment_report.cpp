#include "api/experiment_report.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "api/chart.h"
#include "api/estimates.h"
#include "api/terminal_text.h"
#include "engine/count_tests.h"

namespace fovea::api {
namespace {

namespace json = boost::json;
using engine::MetricKind;

constexpr std::size_t kNameColumns = 20;
constexpr std::size_t kSentenceColumns = 4000;

const char* key(MetricKind kind) {
  switch (kind) {
    case MetricKind::kSuccesses:
      return "successes_per_unit";
    case MetricKind::kConverted:
      return "converted";
    case MetricKind::kValue:
      return "value_per_unit";
    case MetricKind::kPerExposure:
      return "successes_per_exposure";
    case MetricKind::kGuardrail:
      break;
  }
  return "guardrail";
}

json::object to_json(const engine::Arm& arm) {
  json::object sums{{"n", arm.n}, {"sum", arm.sum}, {"sum_squares", arm.sum_squares}};
  if (arm.before) {
    sums["pre_sum"] = arm.before->sum;
    sums["pre_sum_squares"] = arm.before->sum_squares;
    sums["post_pre_sum_of_products"] = arm.before->sum_of_products;
  }
  if (arm.denominator) {
    sums["denominator_sum"] = arm.denominator->sum;
    sums["denominator_sum_squares"] = arm.denominator->sum_squares;
    sums["numerator_denominator_sum_of_products"] = arm.denominator->sum_of_products;
  }
  return sums;
}

json::object to_json(const engine::Comparison& comparison) {
  json::object object;
  if (!comparison.absolute) {
    object["not_compared"] = comparison.not_compared;
    return object;
  }
  object["absolute"] = estimate_json(*comparison.absolute);
  if (comparison.relative) object["relative"] = estimate_json(*comparison.relative);
  object["adjusted_p_value"] = comparison.adjusted_p_value;
  if (comparison.with_cuped) {
    object["with_cuped"] = estimate_json(*comparison.with_cuped);
    object["variance_reduction"] = comparison.variance_reduction;
  }
  return object;
}

json::object to_json(const engine::Report& report, const engine::Metric& metric) {
  json::object object{{"metric", key(metric.kind)}, {"action", metric.action}};
  if (metric.kind == MetricKind::kGuardrail) object["more_is_better"] = metric.more_is_better;
  auto& variants = object["variants"].emplace_array();
  for (std::size_t v = 0; v < metric.arms.size(); ++v) {
    json::object variant{{"name", report.variants[v].name}, {"sums", to_json(metric.arms[v])}};
    if (metric.means[v]) {
      variant["mean"] = metric.means[v]->estimate;
      variant["ci"] = interval_json(metric.means[v]->ci);
    }
    if (v > 0) variant["against_control"] = to_json(metric.against_control[v - 1]);
    variants.push_back(std::move(variant));
  }
  return object;
}

json::object to_json(const engine::Report& report, const engine::ReportPeriod& period) {
  json::object object{{"begins", period_text(report, period.number)}};
  auto& variants = object["variants"].emplace_array();
  for (std::size_t v = 0; v < period.variants.size(); ++v) {
    const auto& of_variant = period.variants[v];
    json::object variant{{"name", report.variants[v].name},
                         {"new_units", of_variant.new_units},
                         {"units", of_variant.units}};
    if (of_variant.mean) {
      variant["mean"] = of_variant.mean->estimate;
      variant["ci"] = interval_json(of_variant.mean->ci);
    }
    if (v > 0 && period.lifts[v - 1]) variant["lift_so_far"] = estimate_json(*period.lifts[v - 1]);
    variants.push_back(std::move(variant));
  }
  return object;
}

std::string metrics_table(const engine::Report& report) {
  const std::string level = fmt::format("{:g} % interval", 100 * (1 - report.alpha));
  std::string text =
      fmt::format("{:<{}}{:>10} {:>10} {:>22} {:>9} {:>9} {:>31} {:>9}\n", "", kNameColumns + 2,
                  "mean", "lift", level, "p", "adjusted", "lift with CUPED", "variance");
  for (const engine::Metric& metric : report.metrics) {
    text += cut(metric_title(report, metric), 120) + "\n";
    for (std::size_t v = 0; v < metric.arms.size(); ++v) {
      const auto& mean = metric.means[v];
      text += fmt::format("  {}{:>10}", padded(report.variants[v].name, kNameColumns),
                          mean ? fmt::format("{:.5g}", mean->estimate) : "-");
      if (v > 0) {
        const engine::Comparison& comparison = metric.against_control[v - 1];
        const auto number = [&](double value) { return lift_number(comparison, value); };
        if (!comparison.absolute) {
          text += "  " + cut(comparison.not_compared, kSentenceColumns);
        } else {
          const engine::Estimate& lift = comparison.lift();
          text += fmt::format(" {:>10} {:>22} {:>9} {:>9}", number(lift.estimate),
                              fmt::format("{} to {}", number(lift.ci.low), number(lift.ci.high)),
                              p_number(lift.p_value), p_number(comparison.adjusted_p_value));
        }
        if (const auto& cuped = comparison.with_cuped) {
          text += fmt::format(" {:>31} {:>9}",
                              fmt::format("{} ({} to {})", number(cuped->estimate),
                                          number(cuped->ci.low), number(cuped->ci.high)),
                              fmt::format("{:+.1f} %", -100 * comparison.variance_reduction));
        }
      }
      text += '\n';
    }
  }
  return text;
}

std::string preferences_table(const engine::Report& report) {
  std::string text = fmt::format("{:<{}}{:>10}{:>10}{:>10}{:>10}{:>14}{:>22}{:>10}\n",
                                 "against " + cut(report.variants[0].name, 10), kNameColumns + 2,
                                 units_name(report), "wins", "losses", "draws", "wins of both",
                                 fmt::format("{:g} % interval", 100 * (1 - report.alpha)), "p");
  for (std::size_t i = 0; i < report.preferences.size(); ++i) {
    const engine::Preference& preference = report.preferences[i];
    const engine::Estimate& share = preference.share_of_wins;
    text += fmt::format(
        "  {}{:>10}{:>10}{:>10}{:>10}{:>14}{:>22}{:>10}\n",
        padded(report.variants[i + 1].name, kNameColumns), preference.units, preference.wins,
        preference.losses, preference.draws, fmt::format("{:.1f} %", 100 * share.estimate),
        fmt::format("{:.1f} % to {:.1f} %", 100 * share.ci.low, 100 * share.ci.high),
        p_number(share.p_value));
  }
  return text;
}

}  // namespace

std::string p_number(double p_value) {
  return p_value < 1e-4 ? "<0.0001" : fmt::format("{:.4f}", p_value);
}

std::string lift_number(const engine::Comparison& comparison, double value) {
  return comparison.relative ? fmt::format("{:+.2f} %", 100 * value)
                             : fmt::format("{:+.4g}", value);
}

std::string_view period_name(const engine::Report& report) {
  for (const auto& [name, period_ms] : kReportPeriods) {
    if (period_ms == report.period_ms) return name;
  }
  return "period";
}

std::string period_text(const engine::Report& report, std::int64_t number) {
  return period_text(number, report.period_ms);
}

std::string until_text(const engine::Report& report) {
  return period_text(report, engine::period_of(report.now_ms, report.period_ms));
}

const char* units_name(const engine::Report& report) {
  return report.unit == engine::Unit::kUser ? "users" : "sessions";
}

std::string metric_title(const engine::Report& report, const engine::Metric& metric) {
  const char* unit = report.unit == engine::Unit::kUser ? "user" : "session";
  switch (metric.kind) {
    case MetricKind::kSuccesses:
      return fmt::format("'{}' per {}", metric.action, unit);
    case MetricKind::kConverted:
      return fmt::format("share of {}s with a '{}'", unit, metric.action);
    case MetricKind::kValue:
      return fmt::format("value of '{}' per {}", metric.action, unit);
    case MetricKind::kPerExposure:
      return fmt::format("'{}' per exposure", metric.action);
    case MetricKind::kGuardrail:
      break;
  }
  return fmt::format("guardrail: '{}' per {} ({} is worse)", metric.action, unit,
                     metric.more_is_better ? "less" : "more");
}

std::vector<std::string> report_notes(const engine::Report& report) {
  std::vector<std::string> notes;
  const char* units = units_name(report);
  if (report.sample_ratio_p_value && !report.interleaved) {
    const double p_value = *report.sample_ratio_p_value;
    notes.push_back(p_value < engine::kSampleRatioMismatch
                        ? fmt::format("The split is not the one that was declared (p {}): no "
                                      "difference here is to be believed.",
                                      p_number(p_value))
                        : fmt::format("The split is as declared (p {}).", p_number(p_value)));
  }
  const auto left_out = [&](std::int64_t n, std::string_view why) {
    if (n > 0) notes.push_back(fmt::format("Left out: {} {} {}.", n, units, why));
  };
  left_out(report.left_out.crossovers, "that were shown two variants");
  left_out(report.left_out.undeclared, "that were shown a variant that is not declared");
  left_out(report.left_out.other_versions, "that were exposed to other versions only");
  std::int64_t truncated = 0;
  for (const engine::ReportVariant& variant : report.variants) truncated += variant.truncated;
  if (truncated > 0) {
    notes.push_back(fmt::format(
        "Of {} {} the kept history is full and begins after the first exposure: what they did "
        "before it begins is not counted.",
        truncated, units));
  }
  if (!report.interleaved) {
    notes.emplace_back(
        report.sequential
            ? "Intervals and p-values hold at every look, however often."
            : "Intervals and p-values hold for one look at the planned end; who looks "
              "daily asks for --sequential.");
  }
  return notes;
}

json::object report_json(const engine::Report& report) {
  json::object object{{"experiment", report.experiment},
                      {"version", report.version},
                      {"unit", engine::name_in(engine::kUnits, report.unit)},
                      {"success", report.success},
                      {"now_ms", report.now_ms},
                      {"alpha", report.alpha},
                      {"sequential", report.sequential}};
  if (report.window_ms) object["window_ms"] = *report.window_ms;
  auto& verdicts = object["verdicts"].emplace_array();
  for (std::size_t i = 0; i < report.verdicts.size(); ++i) {
    verdicts.push_back({{"variant", report.variants[i + 1].name},
                        {"verdict", engine::name(report.verdicts[i].judgement)},
                        {"sentence", report.verdicts[i].sentence}});
  }
  if (report.sample_ratio_p_value && !report.interleaved) {
    object["sample_ratio"] = {
        {"p_value", *report.sample_ratio_p_value},
        {"mismatch", *report.sample_ratio_p_value < engine::kSampleRatioMismatch}};
  }
  object["left_out"] = {{"crossovers", report.left_out.crossovers},
                        {"undeclared", report.left_out.undeclared},
                        {"other_versions", report.left_out.other_versions}};
  if (report.interleaved) {
    auto& list = object["interleaved"].emplace_array();
    for (std::size_t i = 0; i < report.preferences.size(); ++i) {
      const engine::Preference& preference = report.preferences[i];
      list.push_back({{"variant", report.variants[i + 1].name},
                      {"units", preference.units},
                      {"wins", preference.wins},
                      {"losses", preference.losses},
                      {"draws", preference.draws},
                      {"share_of_wins", estimate_json(preference.share_of_wins)}});
    }
    return object;
  }
  auto& variants = object["variants"].emplace_array();
  for (const engine::ReportVariant& variant : report.variants) {
    variants.push_back({{"name", variant.name},
                        {"weight", variant.weight},
                        {"units", variant.units},
                        {"exposures", variant.exposures},
                        {"acted", variant.acted},
                        {"converted", variant.converted},
                        {"truncated", variant.truncated}});
  }
  auto& metrics = object["metrics"].emplace_array();
  for (const engine::Metric& metric : report.metrics) metrics.push_back(to_json(report, metric));
  object["period"] = period_name(report);
  auto& periods = object["periods"].emplace_array();
  for (const engine::ReportPeriod& period : report.periods) {
    periods.push_back(to_json(report, period));
  }
  return object;
}

std::string report_text(const engine::Report& report) {
  std::string text = fmt::format("{}, version {}, until {}\n\n", cut(report.experiment, 80),
                                 report.version, until_text(report));
  for (const engine::Verdict& verdict : report.verdicts)
    text += cut(verdict.sentence, kSentenceColumns) + "\n";
  text += '\n';
  if (report.interleaved) {
    text += preferences_table(report);
  } else {
    text += fmt::format("{:<{}}{:>8}{:>10}{:>11}{:>10}{:>11}\n", "variant", kNameColumns + 2,
                        "weight", units_name(report), "exposures", "acted", "converted");
    for (const engine::ReportVariant& variant : report.variants) {
      text += fmt::format("  {}{:>8.3g}{:>10}{:>11}{:>10}{:>11}\n",
                          padded(variant.name, kNameColumns), variant.weight, variant.units,
                          variant.exposures, variant.acted, variant.converted);
    }
    text += '\n' + metrics_table(report);
  }
  text += '\n';
  for (const std::string& note : report_notes(report)) text += note + '\n';
  return text;
}

}  // namespace fovea::api
