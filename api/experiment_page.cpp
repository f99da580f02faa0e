// See experiment_page.h.
#include "api/experiment_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "api/chart.h"
#include "api/experiment_report.h"

namespace fovea::api {
namespace {

constexpr std::string_view kStyle = R"(
.verdict { font-size: 1.15rem; font-weight: 600; border-left: 5px solid var(--quiet); padding: .1rem 0 .1rem .8rem;
  margin: .8rem 0; } .verdict.better { border-color: var(--second); } .verdict.worse { border-color: var(--fourth); }
.verdict.withheld { border-color: var(--kept); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin-top: .5rem; } .legend span::before { content: "";
  display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem; background: var(--of); }
.n0 { --of: var(--curve); } .n1 { --of: var(--second); } .n2 { --of: var(--third); } .n3 { --of: var(--fourth); }
.n4 { --of: var(--fifth); } .n5 { --of: var(--sixth); }
.funnel { display: grid; grid-template-columns: max-content 1fr max-content; gap: .25rem .8rem; align-items: center;
  margin-top: .75rem; } .funnel b { grid-column: 1 / -1; font-weight: 600; font-size: .85rem; margin-top: .4rem; }
.track { background: var(--line); border-radius: 3px; height: .9rem; } .track div { background: var(--of);
  border-radius: 3px; height: 100%; min-width: 1px; }
td:first-child, th:first-child { text-align: left; } td.reason { text-align: left; white-space: normal; }
table { font-size: .8rem; }
figure { display: flex; flex-direction: column; justify-content: space-between; } tr.metric td { font-weight: 600; padding-top: .6rem; }
)";

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string colour_class(std::size_t variant) {
  return fmt::format("n{}", variant % kChartColours);
}

Axis across(const engine::Report& report) {
  const std::int64_t first = report.periods.front().number;
  const std::int64_t last = report.periods.back().number;
  return {.name = fmt::format("UTC {}, {} to {}", period_name(report), period_text(report, first),
                              period_text(report, last)),
          .least = static_cast<double>(first) - 0.5,
          .most = static_cast<double>(last) + 0.5,
          .period_ms = report.period_ms};
}

std::string legend(const engine::Report& report) {
  std::string text = "<p class=\"legend\">";
  for (std::size_t v = 0; v < report.variants.size(); ++v) {
    text += fmt::format("<span class=\"{}\">{}{}</span>", colour_class(v),
                        escaped(report.variants[v].name),
                        v == 0 && report.variants[v].name != "control" ? " (control)" : "");
  }
  return text + "</p>\n";
}

/// Intervals so many times as wide as the newest would flatten it, and say nothing.
constexpr double kWidthMax = 4;

double width(const engine::Estimate& estimate) { return estimate.ci.high - estimate.ci.low; }

std::string lift_figure(const engine::Report& report, std::size_t treatment) {
  std::vector<Point> points;
  std::vector<Range> ranges;
  double width_max = 0;
  Axis up{.name = "", .least = 0, .most = 0};
  for (const engine::ReportPeriod& period : report.periods) {
    if (const auto& lift = period.lifts[treatment]) width_max = kWidthMax * width(*lift);
  }
  for (const engine::ReportPeriod& period : report.periods) {
    const auto& lift = period.lifts[treatment];
    if (!lift || (points.empty() && width(*lift) > width_max)) continue;
    const auto x = static_cast<double>(period.number);
    points.push_back(
        {x, 100 * lift->estimate,
         fmt::format("{}: {:+.2f} %, {:+.2f} % to {:+.2f} %", period_text(report, period.number),
                     100 * lift->estimate, 100 * lift->ci.low, 100 * lift->ci.high)});
    ranges.push_back({x, 100 * lift->ci.low, 100 * lift->ci.high});
    up.least = std::min(up.least, ranges.back().low);
    up.most = std::max(up.most, ranges.back().high);
  }
  const std::string caption = fmt::format(
      "Lift of {} in '{}' so far, %, with its {:g} % confidence sequence; dashed: no lift",
      report.variants[treatment + 1].name, report.success, 100 * (1 - report.alpha));
  if (points.empty()) {
    return fmt::format(
        "<figure><figcaption>{}</figcaption><p class=\"quiet\">There is no {} yet "
        "in which the two could be compared.</p></figure>",
        escaped(caption), period_name(report));
  }
  Chart chart(across(report), up);
  chart.colour(treatment + 1);
  chart.band(ranges);
  chart.curve(points);
  chart.mark_up(0, "");
  return chart.figure(caption);
}

std::string users_figure(const engine::Report& report) {
  double most = 1;
  for (const auto& of_variant : report.periods.back().variants) {
    most = std::max(most, static_cast<double>(of_variant.units));
  }
  Chart chart(across(report), {.name = "", .least = 0, .most = most});
  for (std::size_t v = 0; v < report.variants.size(); ++v) {
    std::vector<Point> points;
    for (const engine::ReportPeriod& period : report.periods) {
      points.push_back({static_cast<double>(period.number),
                        static_cast<double>(period.variants[v].units),
                        fmt::format("{}: {} {}, {} of them new", period_text(report, period.number),
                                    period.variants[v].units, units_name(report),
                                    period.variants[v].new_units)});
    }
    chart.curve(points);
  }
  return chart.figure(fmt::format("Exposed {} so far", units_name(report)));
}

std::string success_figure(const engine::Report& report) {
  double most = 0;
  std::vector<std::vector<Point>> points(report.variants.size());
  std::vector<std::vector<Range>> ranges(report.variants.size());
  for (const engine::ReportPeriod& period : report.periods) {
    for (std::size_t v = 0; v < report.variants.size(); ++v) {
      const auto& mean = period.variants[v].mean;
      if (!mean) continue;
      const auto x = static_cast<double>(period.number);
      points[v].push_back(
          {x, mean->estimate,
           fmt::format("{}: {:.4g}, {:.4g} to {:.4g}", period_text(report, period.number),
                       mean->estimate, mean->ci.low, mean->ci.high)});
      ranges[v].push_back({x, mean->ci.low, mean->ci.high});
      most = std::max(most, mean->estimate);
    }
  }
  for (const auto& of_variant : ranges) {
    // Of the first period's few units the interval says little, and would flatten the rest.
    for (std::size_t i = of_variant.size() > 1 ? 1 : 0; i < of_variant.size(); ++i) {
      most = std::max(most, of_variant[i].high);
    }
  }
  Chart chart(across(report), {.name = "", .least = 0, .most = most});
  for (std::size_t v = 0; v < report.variants.size(); ++v) {
    chart.colour(v);
    chart.band(ranges[v]);
    chart.curve(points[v]);
  }
  return chart.figure(fmt::format("'{}' per exposed {} in the {}, with {:g} % intervals",
                                  report.success,
                                  report.unit == engine::Unit::kUser ? "user" : "session",
                                  period_name(report), 100 * (1 - report.alpha)));
}

std::string funnel(const engine::Report& report) {
  std::string text = "<div class=\"funnel\">\n";
  const auto stage = [&](std::string_view title, auto count_of) {
    text += fmt::format("<b>{}</b>\n", escaped(title));
    for (std::size_t v = 0; v < report.variants.size(); ++v) {
      const engine::ReportVariant& variant = report.variants[v];
      const std::int64_t count = count_of(variant);
      const double share =
          variant.units == 0 ? 0 : static_cast<double>(count) / static_cast<double>(variant.units);
      text += fmt::format(
          "<span>{}</span><div class=\"track {}\"><div style=\"width:{:.2f}%\"></div></div>"
          "<span>{} ({})</span>\n",
          escaped(variant.name), colour_class(v), 100 * share, count, percent(share));
    }
  };
  stage("Exposed", [](const auto& variant) { return variant.units; });
  stage("Acted at all", [](const auto& variant) { return variant.acted; });
  stage("Success: '" + report.success + "'", [](const auto& variant) { return variant.converted; });
  return text + "</div>\n";
}

std::string cells_against_control(const engine::Comparison& comparison) {
  if (!comparison.absolute) {
    return fmt::format("<td class=\"reason\" colspan=\"6\">{}</td>",
                       escaped(comparison.not_compared));
  }
  const auto number = [&](double value) { return lift_number(comparison, value); };
  const engine::Estimate& lift = comparison.lift();
  std::string cells =
      fmt::format("<td>{}</td><td>{} to {}</td><td>{}</td><td>{}</td>", number(lift.estimate),
                  number(lift.ci.low), number(lift.ci.high), escaped(p_number(lift.p_value)),
                  escaped(p_number(comparison.adjusted_p_value)));
  if (const auto& cuped = comparison.with_cuped) {
    return cells + fmt::format("<td>{} ({} to {})</td><td>{:+.1f} %</td>", number(cuped->estimate),
                               number(cuped->ci.low), number(cuped->ci.high),
                               -100 * comparison.variance_reduction);
  }
  return cells + "<td></td><td></td>";
}

std::string metrics_section(const engine::Report& report) {
  std::string rows = fmt::format(
      "<tr><th>metric</th><th>mean</th><th>interval</th><th>lift</th><th>{:g} % interval</th>"
      "<th>p</th><th>adjusted</th><th>lift with CUPED</th><th>variance</th></tr>\n",
      100 * (1 - report.alpha));
  for (const engine::Metric& metric : report.metrics) {
    rows += fmt::format("<tr class=\"metric\"><td colspan=\"9\">{}</td></tr>\n",
                        escaped(metric_title(report, metric)));
    for (std::size_t v = 0; v < metric.arms.size(); ++v) {
      rows += fmt::format("<tr><td>{}</td>", escaped(report.variants[v].name));
      if (const auto& mean = metric.means[v]) {
        rows += fmt::format("<td>{:.5g}</td><td>{:.4g} to {:.4g}</td>", mean->estimate,
                            mean->ci.low, mean->ci.high);
      } else {
        rows += "<td></td><td></td>";
      }
      rows += (v == 0 ? "<td></td><td></td><td></td><td></td><td></td><td></td>"
                      : cells_against_control(metric.against_control[v - 1])) +
              "</tr>\n";
    }
  }
  return "<div class=\"wide\"><table>\n" + rows + "</table></div>\n";
}

std::string preferences(const engine::Report& report) {
  std::string rows = fmt::format(
      "<tr><th>against {}</th><th>{}</th><th>wins</th><th>losses</th><th>draws</th>"
      "<th>wins of both</th><th>{:g} % interval</th><th>p</th></tr>\n",
      escaped(report.variants[0].name), units_name(report), 100 * (1 - report.alpha));
  std::string bars = "<div class=\"funnel\">\n";
  for (std::size_t i = 0; i < report.preferences.size(); ++i) {
    const engine::Preference& preference = report.preferences[i];
    const engine::Estimate& share = preference.share_of_wins;
    const std::string name = escaped(report.variants[i + 1].name);
    rows += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} to {}</td>"
        "<td>{}</td></tr>\n",
        name, preference.units, preference.wins, preference.losses, preference.draws,
        percent(share.estimate), percent(share.ci.low), percent(share.ci.high),
        escaped(p_number(share.p_value)));
    bars += fmt::format(
        "<span>{}</span><div class=\"track {}\"><div style=\"width:{:.2f}%\"></div></div>"
        "<span>{} of those that preferred one</span>\n",
        name, colour_class(i + 1), 100 * share.estimate, percent(share.estimate));
  }
  return "<section>\n<h2>Preferences</h2>\n<div class=\"wide\"><table>\n" + rows +
         "</table></div>\n" + bars + "</div>\n</section>\n";
}

std::string drawings(const engine::Report& report) {
  std::string text =
      fmt::format("<section>\n<h2>{0} by {0}</h2>\n", period_name(report)) + legend(report);
  if (report.periods.empty()) {
    return text + "<p class=\"quiet\">Nobody was exposed yet.</p>\n</section>\n";
  }
  text += "<div class=\"charts\">\n";
  for (std::size_t i = 0; i + 1 < report.variants.size(); ++i) {
    text += lift_figure(report, i) + "\n";
  }
  text += success_figure(report) + "\n" + users_figure(report) + "\n</div>\n</section>\n";
  return text + "<section>\n<h2>Funnel</h2>\n" + funnel(report) + "</section>\n";
}

}  // namespace

std::string experiment_page(const engine::Report& report) {
  std::string body;
  for (const engine::Verdict& verdict : report.verdicts) {
    body += fmt::format("<p class=\"verdict {}\">{}</p>\n", engine::name(verdict.judgement),
                        escaped(verdict.sentence));
  }
  for (const std::string& note : report_notes(report)) {
    body += fmt::format("<p class=\"quiet\">{}</p>\n", escaped(note));
  }
  if (report.interleaved) {
    body += preferences(report);
  } else {
    body += drawings(report);
    body += "<section>\n<h2>Metrics</h2>\n" + metrics_section(report) + "</section>\n";
  }
  body += "<section>\n<h2>What was asked</h2>\n<dl>";
  body += term("experiment", report.experiment);
  body += term("version", fmt::format("{}", report.version));
  body += term("unit", engine::name_in(engine::kUnits, report.unit));
  body += term("success", report.success);
  body +=
      term("window", report.window_ms
                         ? fmt::format("{:g} hours", static_cast<double>(*report.window_ms) / 3.6e6)
                         : "until the report");
  body += term("until", until_text(report) + " UTC");
  body += term("alpha", fmt::format("{:g}", report.alpha));
  body += term("every look", report.sequential ? "yes" : "no");
  return page("Experiment " + report.experiment, body + "</dl>\n</section>\n", kStyle);
}

}  // namespace fovea::api
