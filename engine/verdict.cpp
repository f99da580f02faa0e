#include "engine/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "engine/count_tests.h"
#include "engine/multiple_testing.h"
#include "engine/power.h"
#include "engine/report.h"
#include "engine/request.h"

namespace fovea::engine {
namespace {

const char* units_of(const Report& report) {
  return report.unit == Unit::kUser ? "users" : "sessions";
}

std::string p_text(double p_value) {
  return p_value < 1e-4 ? "p < 0.0001" : fmt::format("p = {:.2g}", p_value);
}

/// "+12.3 % (95 % interval +3.1 % to +21.5 %)", or in the metric's unit.
std::string lift_text(const Comparison& comparison, double alpha) {
  const Estimate& lift = comparison.lift();
  const auto number = [&](double value) {
    return comparison.relative ? fmt::format("{:+.3g} %", 100 * value)
                               : fmt::format("{:+.3g}", value);
  };
  return fmt::format("{} ({:g} % interval {} to {})", number(lift.estimate), 100 * (1 - alpha),
                     number(lift.ci.low), number(lift.ci.high));
}

Verdict withheld(const Report& report, std::size_t treatment, std::string_view because) {
  return {Judgement::kWithheld,
          fmt::format("No verdict on {}: {}.", report.variants[treatment + 1].name, because)};
}

/// Why the numbers must not be believed; absent: they may be.
std::optional<std::string> doubt(const Report& report, const Comparison& comparison) {
  if (!report.sample_ratio_p_value) {
    return fmt::format(
        "the weights of version {} are not known, so that the split cannot be "
        "checked; give its declaration with --config",
        report.version);
  }
  if (*report.sample_ratio_p_value < kSampleRatioMismatch) {
    return fmt::format(
        "the variants did not get the shares of {} that were declared ({}, sample ratio "
        "mismatch); look for what assigns, serves or records them unequally",
        units_of(report), p_text(*report.sample_ratio_p_value));
  }
  if (!comparison.absolute) return comparison.not_compared;
  if (comparison.absolute->standard_error == 0 && comparison.absolute->estimate != 0) {
    return fmt::format("all {} of a variant are alike, from which no error can be told",
                       units_of(report));
  }
  return std::nullopt;
}

/// What it would take to see the difference that was measured.
std::string more_units(const Report& report, std::size_t treatment) {
  const Metric& metric = report.metrics.front();
  const Arm& control = metric.arms[0];
  const Arm& other = metric.arms[treatment + 1];
  const auto variance = [](const Arm& arm, const Estimate& mean) {
    return mean.standard_error * mean.standard_error * static_cast<double>(arm.n);
  };
  const auto& mean_control = metric.means[0];
  const auto& mean_other = metric.means[treatment + 1];
  if (!mean_control || !mean_other) return "";
  PowerOptions power;
  power.alpha = report.alpha;
  power.deviation =
      std::sqrt((variance(control, *mean_control) + variance(other, *mean_other)) / 2);
  try {
    const std::int64_t needed =
        users_per_arm(metric.against_control[treatment].absolute->estimate, power);
    const std::int64_t more = needed - std::min(control.n, other.n);
    if (more <= 0) return "";
    return fmt::format(
        " A difference as large as the measured one would be seen 4 times of 5 with about {} more "
        "{} in each variant{}.",
        more, units_of(report), report.sequential ? ", looked at once" : "");
  } catch (const InvalidRequest&) {
    return "";  // no difference at all, or one that no experiment shows
  }
}

/// The guardrails that got worse for the treatment.
std::string worse_guardrails(const Report& report, std::size_t treatment) {
  std::string text;
  for (const Metric& metric : report.metrics) {
    const Comparison& comparison = metric.against_control[treatment];
    if (metric.kind != MetricKind::kGuardrail || !comparison.absolute) continue;
    if (comparison.absolute->standard_error == 0) continue;  // all alike: no evidence of it
    const bool more = comparison.lift().estimate > 0;
    if (more == metric.more_is_better || comparison.adjusted_p_value > report.alpha) continue;
    text += fmt::format(" The guardrail '{}' got worse: {}, {} by Holm.", metric.action,
                        lift_text(comparison, report.alpha), p_text(comparison.adjusted_p_value));
  }
  return text;
}

Verdict judge_preference(const Report& report, std::size_t treatment) {
  const std::string& name = report.variants[treatment + 1].name;
  const std::string& control = report.variants[0].name;
  const Preference& preference = report.preferences[treatment];
  const Estimate& share = preference.share_of_wins;
  const std::int64_t decided = preference.wins + preference.losses;
  if (decided == 0) {
    return withheld(
        report, treatment,
        fmt::format("of {} {} none preferred one of the two", preference.units, units_of(report)));
  }
  const std::string numbers = fmt::format(
      "{:.3g} % of the {} {} that preferred one preferred {} ({:g} % interval {:.3g} % "
      "to {:.3g} %, {})",
      100 * share.estimate, decided, units_of(report), name, 100 * (1 - report.alpha),
      100 * share.ci.low, 100 * share.ci.high, p_text(share.p_value));
  if (share.p_value > report.alpha) {
    return {Judgement::kNoDifference,
            fmt::format("No difference is seen between {} and {}: {}.", name, control, numbers)};
  }
  const bool better = share.estimate > 0.5;
  return {
      better ? Judgement::kBetter : Judgement::kWorse,
      fmt::format("{} is {} than {}: {}.", name, better ? "better" : "worse", control, numbers)};
}

}  // namespace

const char* name(Judgement judgement) {
  switch (judgement) {
    case Judgement::kBetter:
      return "better";
    case Judgement::kWorse:
      return "worse";
    case Judgement::kNoDifference:
      return "no_difference";
    case Judgement::kWithheld:
      break;
  }
  return "withheld";
}

Verdict judge(const Report& report, std::size_t treatment) {
  if (report.interleaved) return judge_preference(report, treatment);
  const Metric& metric = report.metrics.front();
  const Comparison& comparison = metric.against_control[treatment];
  const bool anybody = std::ranges::any_of(
      report.variants, [](const ReportVariant& variant) { return variant.units > 0; });
  if (!anybody) {
    return withheld(report, treatment,
                    fmt::format("nobody was exposed to version {} yet", report.version));
  }
  if (const auto reason = doubt(report, comparison)) return withheld(report, treatment, *reason);

  std::vector<double> p_values;
  for (const Comparison& each : metric.against_control) {
    p_values.push_back(each.absolute ? each.lift().p_value : 1);
  }
  const double p_value = holm(p_values)[treatment];
  const std::string many =
      p_values.size() > 1 ? fmt::format(" by Holm over {} variants", p_values.size()) : "";
  const std::string& treated = report.variants[treatment + 1].name;
  const std::string& control = report.variants[0].name;
  const std::string numbers =
      fmt::format("{} '{}' per {}, {}{}", lift_text(comparison, report.alpha), report.success,
                  report.unit == Unit::kUser ? "user" : "session", p_text(p_value), many);
  const std::string guardrails = worse_guardrails(report, treatment);
  if (p_value > report.alpha) {
    return {Judgement::kNoDifference,
            fmt::format("No difference is seen between {} and {}: {}.{}{}", treated, control,
                        numbers, more_units(report, treatment), guardrails)};
  }
  const bool better = comparison.lift().estimate > 0;
  return {better ? Judgement::kBetter : Judgement::kWorse,
          fmt::format("{} is {} than {}: {}.{}", treated, better ? "better" : "worse", control,
                      numbers, guardrails)};
}

}  // namespace fovea::engine
