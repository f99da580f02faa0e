// See bench_report.h.
#include "api/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <sstream>
#include <string_view>

#include "api/chart.h"

namespace fovea::api {
namespace {

struct Percentile {
  const char* name;
  double share;
};
constexpr Percentile kPercentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

/// The failures that were, by kind; empty: none.
std::string failures(const LoadResult& result) {
  std::string text;
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    if (outcome == Outcome::kAnswered || result.of(outcome) == 0) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", result.of(outcome), name(outcome));
  }
  return text;
}

boost::json::object to_json(const LatencyHistogram& histogram) {
  boost::json::object object;
  for (const auto& [name, share] : kPercentiles) object[name] = histogram.at_us(share);
  object["max"] = histogram.most_us();
  return object;
}

boost::json::object to_json(const LoadResult& result, double p99_max_ms) {
  boost::json::object object;
  object["rate_per_s"] = result.rate_per_s;
  object["kept"] = kept(result, p99_max_ms);
  object["due"] = result.due;
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    object[name(static_cast<Outcome>(i))] = result.outcomes[i];
  }
  object["degraded"] = result.degraded;
  object["queued"] = result.queued;
  object["answered_per_s"] = result.answered_per_s;
  object["latency_us"] = to_json(result.latency);
  object["refusal_us"] = to_json(result.refusal);
  object["lateness_us"] = to_json(result.lateness);
  object["processor_s"] = result.processor_s;
  object["generator_s"] = result.generator_s;
  if (!result.first_failure.empty()) object["first_failure"] = result.first_failure;
  return object;
}

double ms(const LoadResult& result, double share) {
  return static_cast<double>(std::max<std::uint64_t>(result.latency.at_us(share), 1)) / 1000;
}

Axis across(const BenchReport& report) {
  double most = 1;
  for (const LoadResult& result : report.rates) most = std::max(most, result.rate_per_s);
  return {.name = "requests a second", .least = 0, .most = most * 1.02};
}

std::string latency_figure(const BenchReport& report) {
  double least = report.p99_max_ms;
  double most = report.p99_max_ms;
  for (const LoadResult& result : report.rates) {
    least = std::min(least, ms(result, 0.5));
    most = std::max(most, ms(result, 0.999));
  }
  Chart chart(across(report), {.least = least, .most = most, .logarithmic = true});
  chart.mark_up(report.p99_max_ms, fmt::format("p99 at most {:g} ms", report.p99_max_ms));
  const auto best = highest_kept(report);
  for (const auto& [name, share] : kPercentiles) {
    if (share == 0.9) continue;  // a fourth curve would hide the others
    std::vector<Point> points;
    for (const LoadResult& result : report.rates) {
      points.push_back(
          {result.rate_per_s, ms(result, share),
           fmt::format("{:g} a second: {} {:.3g} ms", result.rate_per_s, name, ms(result, share)),
           share == 0.99 && result.rate_per_s == best});
    }
    std::ranges::sort(points, {}, &Point::x);
    chart.curve(points, name);
  }
  return chart.figure("Latency from when a request was due, ms");
}

/// `value_of` a rate is what is drawn, from 0 up.
template <typename Value>
std::string figure(const BenchReport& report, std::string_view caption, Value value_of) {
  double most = 0;
  std::vector<Point> points;
  for (const LoadResult& result : report.rates) {
    const double value = value_of(result);
    most = std::max(most, value);
    points.push_back(
        {result.rate_per_s, value, fmt::format("{:g} a second: {:.4g}", result.rate_per_s, value)});
  }
  std::ranges::sort(points, {}, &Point::x);
  Chart chart(across(report), {.least = 0, .most = most});
  chart.curve(points);
  return chart.figure(caption);
}

std::string table(const BenchReport& report) {
  std::string rows =
      "<tr><th>rate</th><th>due</th><th>failed</th><th>degraded</th><th>queued</th>"
      "<th>answered/s</th>";
  for (const auto& [name, share] : kPercentiles) rows += fmt::format("<th>{} us</th>", name);
  rows += "<th>max us</th><th>late p99 us</th><th>processor s</th></tr>\n";
  for (const LoadResult& result : report.rates) {
    rows += fmt::format(
        "<tr><td>{:g}</td><td>{}</td><td title=\"{}\">{}</td><td>{}</td><td>{}</td>"
        "<td>{:.1f}</td>",
        result.rate_per_s, result.due, escaped(failures(result)), result.failed(), result.degraded,
        result.queued, result.answered_per_s);
    for (const auto& [name, share] : kPercentiles) {
      rows += fmt::format("<td>{}</td>", result.latency.at_us(share));
    }
    rows += fmt::format("<td>{}</td><td>{}</td><td>{:.2f}</td></tr>\n", result.latency.most_us(),
                        result.lateness.at_us(0.99), result.processor_s);
  }
  return "<div class=\"wide\"><table>\n" + rows + "</table></div>\n";
}

std::string processor(const BenchReport& report) {
  return report.processor.empty() ? "unknown" : report.processor;
}

std::string version(const Status& status) {
  return status.model_version.empty() ? "none" : status.model_version;
}

std::string workload(const BenchReport& report) {
  const WorkloadOptions& options = report.workload;
  return options.name + (options.filter.empty() ? "" : ": " + options.filter) +
         (options.query.empty() ? "" : ": " + options.query);
}

}  // namespace

bool kept(const LoadResult& result, double p99_max_ms) {
  return result.due > 0 && result.failed() == 0 &&
         static_cast<double>(result.latency.at_us(0.99)) <= p99_max_ms * 1000;
}

std::optional<double> highest_kept(const BenchReport& report) {
  std::optional<double> highest;
  for (const LoadResult& result : report.rates) {
    if (!kept(result, report.p99_max_ms)) continue;
    highest = std::max(highest.value_or(0), result.rate_per_s);
  }
  return highest;
}

std::string introduction(const BenchReport& report) {
  return fmt::format(
      "{}; {} items, {} users; version {} on {}; fovea {}\n"
      "{} cores, {}\n"
      "workload {}, seed {}, {:g} s a rate after {:g} s that are not counted\n",
      report.target, report.status.items, report.status.users, version(report.status),
      report.status.device, report.status.version, report.cores, processor(report),
      workload(report), report.workload.seed, report.seconds, report.warm_up_s);
}

std::string table_head() {
  return fmt::format(
      "{:>8} {:>8} {:>7} {:>8} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7} {:>9}\n",
      "rate/s", "due", "failed", "degraded", "queued", "answered/s", "p50 us", "p90 us", "p99 us",
      "p99.9 us", "max us", "late p99", "cpu s", "generator");
}

std::string table_row(const LoadResult& result) {
  const auto us = [&](double share) { return result.latency.at_us(share); };
  std::string row = fmt::format(
      "{:>8g} {:>8} {:>7} {:>8} {:>8} {:>10.1f} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7.2f} "
      "{:>9.2f}\n",
      result.rate_per_s, result.due, result.failed(), result.degraded, result.queued,
      result.answered_per_s, us(.5), us(.9), us(.99), us(.999), result.latency.most_us(),
      result.lateness.at_us(.99), result.processor_s, result.generator_s);
  if (result.failed() > 0) {
    row += fmt::format("         {}; the first: {}\n", failures(result), result.first_failure);
  }
  return row;
}

std::string verdict(const BenchReport& report) {
  const auto best = highest_kept(report);
  if (!best) {
    return fmt::format("No rate was answered whole with a p99 of at most {:g} ms.",
                       report.p99_max_ms);
  }
  return fmt::format(
      "{:g} requests a second is the highest rate that was answered whole with a "
      "p99 of at most {:g} ms.",
      *best, report.p99_max_ms);
}

std::string bench_json(const BenchReport& report) {
  boost::json::object object;
  object["machine"] = {{"cores", report.cores}, {"processor", report.processor}};
  object["target"] = report.target;
  object["version"] = report.status.version;
  object["model_version"] = report.status.model_version;
  object["device"] = report.status.device;
  object["items"] = report.status.items;
  object["users"] = report.status.users;
  object["workload"] = report.workload.name;
  if (!report.workload.filter.empty()) object["filter"] = report.workload.filter;
  if (!report.workload.query.empty()) object["query"] = report.workload.query;
  object["seed"] = report.workload.seed;
  object["seconds"] = report.seconds;
  object["warm_up_s"] = report.warm_up_s;
  object["p99_max_ms"] = report.p99_max_ms;
  if (const auto best = highest_kept(report)) object["highest_rate_kept_per_s"] = *best;
  auto& rates = object["rates"].emplace_array();
  for (const LoadResult& result : report.rates) {
    rates.push_back(to_json(result, report.p99_max_ms));
  }
  std::ostringstream text;
  text << object << '\n';
  return text.str();
}

std::string bench_page(const BenchReport& report) {
  std::string body =
      fmt::format("<p>{}</p>\n<section>\n<div class=\"charts\">\n", escaped(verdict(report)));
  body += latency_figure(report) + "\n";
  body += figure(report, "Answered a second",
                 [](const LoadResult& result) { return result.answered_per_s; });
  body += "\n";
  body += figure(report, "Processors that this process kept busy",
                 [&](const LoadResult& result) { return result.processor_s / report.seconds; });
  body += "\n</div>\n</section>\n<section>\n<h2>Every rate</h2>\n" + table(report) +
          "</section>\n<section>\n<h2>Where and on what</h2>\n<dl>";
  body += term("processor", processor(report));
  body += term("cores", fmt::format("{}", report.cores));
  body += term("target", report.target);
  body += term("items", fmt::format("{}", report.status.items));
  body += term("users", fmt::format("{}", report.status.users));
  body += term("fovea", report.status.version);
  body += term("model version", version(report.status));
  body += term("device", report.status.device);
  body += term("seconds a rate", fmt::format("{:g}", report.seconds));
  body += term("not counted before", fmt::format("{:g} s", report.warm_up_s));
  body += term("seed", fmt::format("{}", report.workload.seed));
  return page("Bench of the workload " + workload(report), body + "</dl>\n</section>\n");
}

}  // namespace fovea::api
