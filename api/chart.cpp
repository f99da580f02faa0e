// See chart.h.
#include "api/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace fovea::api {
namespace {

// In the drawing's own units, which are pixels where the page is wide enough.
constexpr double kWidth = 340;
constexpr double kHeight = 200;
constexpr double kLeft = 50;
constexpr double kRight = 12;
constexpr double kTop = 22;
constexpr double kBottom = 34;

constexpr std::int64_t kDayMs = 86'400'000;

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1c2128; --quiet: #5d6775;
  --line: #dde1e7; --curve: #1f5fbf; --second: #1d7f5f; --third: #7a4fb5; --fourth: #a8324e; --fifth: #8a6a00;
  --sixth: #4a5568; --bar: #a9c1e6; --kept: #b3480a; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1d2128; --text: #e4e8ee;
  --quiet: #9aa5b4; --line: #353c47; --curve: #79aef5; --second: #5fc9a3; --third: #bd9bf0; --fourth: #f08ba1;
  --fifth: #d9b64a; --sixth: #b4bfcd; --bar: #3d5f91; --kept: #ffa35c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 1160px; background: var(--page);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.45rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 0; }
h2::first-letter { text-transform: uppercase; }
p { margin: .25rem 0; } .quiet { color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.25rem 1.25rem; margin-top: 1.25rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 1rem;
  margin-top: .75rem; }
figure { margin: 0; } figcaption { font-size: .85rem; font-weight: 600; } svg { width: 100%; height: auto;
  display: block; }
svg text { fill: var(--quiet); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--line); } .curve { fill: none; stroke: var(--curve); stroke-width: 2;
  stroke-linejoin: round; } .point { fill: var(--curve); }
.curve.n1 { stroke: var(--second); } .point.n1 { fill: var(--second); }
.curve.n2 { stroke: var(--third); } .point.n2 { fill: var(--third); }
.curve.n3 { stroke: var(--fourth); } .point.n3 { fill: var(--fourth); }
.curve.n4 { stroke: var(--fifth); } .point.n4 { fill: var(--fifth); }
.curve.n5 { stroke: var(--sixth); } .point.n5 { fill: var(--sixth); }
.band { opacity: .17; stroke: none; } .band.n0 { fill: var(--curve); } .band.n1 { fill: var(--second); }
.band.n2 { fill: var(--third); } .band.n3 { fill: var(--fourth); } .band.n4 { fill: var(--fifth); }
.band.n5 { fill: var(--sixth); }
svg text.n0 { fill: var(--curve); } svg text.n1 { fill: var(--second); } svg text.n2 { fill: var(--third); }
svg text.n3 { fill: var(--fourth); } svg text.n4 { fill: var(--fifth); } svg text.n5 { fill: var(--sixth); }
 .bar { fill: var(--bar); }
.kept { stroke: var(--kept); stroke-dasharray: 4 3; } .dot { fill: var(--kept); }
svg text.mark { fill: var(--kept); font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: .2rem 1.5rem;
  margin: .75rem 0 0; } dl div { display: flex; justify-content: space-between; gap: 1rem;
  border-bottom: 1px solid var(--line); } dt { color: var(--quiet); } dd { margin: 0;
  font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; margin-top: .75rem;
  font-variant-numeric: tabular-nums; } th, td { text-align: right; padding: .2rem .6rem;
  border-bottom: 1px solid var(--line); white-space: nowrap; } th { color: var(--quiet); font-weight: 500; } )";

/// A step of 1, 2 or 5 times a power of ten that cuts `range` into about `parts`.
double nice_step(double range, double parts) {
  const double power = std::pow(10, std::floor(std::log10(range / parts)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (range / (step * power) <= parts) return step * power;
  }
  return 10 * power;
}

/// The share of the axis at which a value stands.
double place(const Axis& axis, double value) {
  if (!axis.logarithmic) return (value - axis.least) / (axis.most - axis.least);
  return std::log(value / axis.least) / std::log(axis.most / axis.least);
}

/// Without what all periods of a drawing have in common.
std::string short_text(std::int64_t period, std::int64_t period_ms) {
  const std::string text = period_text(period, period_ms);
  return text.substr(period_ms % kDayMs == 0 ? std::string_view("2026-").size()
                                             : std::string_view("2026-03-01 ").size());
}

}  // namespace

Chart::Chart(Axis across, Axis up) : across_(std::move(across)), up_(std::move(up)) {
  if (up_.logarithmic) {
    up_.least = std::pow(10, std::floor(std::log10(up_.least)));
    up_.most = std::max(std::pow(10, std::ceil(std::log10(up_.most))), up_.least * 10);
  } else {
    step_ = nice_step(std::max(up_.most - up_.least, std::max(std::abs(up_.most) * 1e-3, 1e-9)), 4);
    up_.least = std::floor(up_.least / step_) * step_;
    up_.most = std::max(std::ceil(up_.most / step_) * step_, up_.least + step_);
  }
  grid();
}

double Chart::x(double across) const {
  return kLeft + (kWidth - kLeft - kRight) * place(across_, across);
}

double Chart::y(double up) const {
  return kHeight - kBottom - (kHeight - kBottom - kTop) * place(up_, up);
}

void Chart::grid() {
  const auto line = [&](double value, std::string_view label) {
    grid_ += fmt::format(
        R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>)",
        kLeft, kWidth - kRight, y(value), kLeft - 6, y(value) + 4, label);
  };
  if (up_.logarithmic) {
    for (double value = up_.least; value <= up_.most * 1.001; value *= 10) {
      line(value, fmt::format("{:g}", value));
    }
  } else {
    const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step_) - 1e-9)));
    for (double value = up_.least; value <= up_.most + step_ / 2; value += step_) {
      line(value, fmt::format("{:.{}f}", value, decimals));
    }
  }
  const double step = std::max(1.0, nice_step(std::max(across_.most - across_.least - 1, 1.0), 6));
  for (double value = std::ceil(across_.least / step) * step; value <= across_.most;
       value += step) {
    grid_ += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", x(value),
                         kHeight - kBottom + 15,
                         across_.period_ms == 0
                             ? fmt::format("{}", value)
                             : short_text(static_cast<std::int64_t>(value), across_.period_ms));
  }
  grid_ += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)",
                       (kLeft + kWidth - kRight) / 2, kHeight - 4, escaped(across_.name));
}

void Chart::curve(std::span<const Point> points, std::string_view name) {
  std::string path;
  for (const Point& point : points) {
    path += fmt::format("{:.1f},{:.1f} ", x(point.x), y(point.y));
  }
  body_ +=
      fmt::format(R"(<polyline class="curve n{}" points="{}"/>)", curves_ % kChartColours, path);
  for (const Point& point : points) {
    body_ += fmt::format(
        R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>)",
        point.kept ? "dot" : fmt::format("point n{}", curves_ % kChartColours), x(point.x),
        y(point.y), point.kept ? 4 : 2, escaped(point.title));
  }
  if (!name.empty()) {
    // In a row of their own: at their ends curves often meet.
    body_ += fmt::format(R"(<text class="n{}" x="{}" y="{}">{}</text>)", curves_ % kChartColours,
                         kLeft + 50 * static_cast<double>(curves_), kTop - 8, escaped(name));
  }
  ++curves_;
}

void Chart::band(std::span<const Range> ranges) {
  if (ranges.empty()) return;
  const auto inside = [this](double up) { return y(std::clamp(up, up_.least, up_.most)); };
  std::string path;
  for (const Range& range : ranges) {
    path += fmt::format("{:.1f},{:.1f} ", x(range.x), inside(range.high));
  }
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    path += fmt::format("{:.1f},{:.1f} ", x(range->x), inside(range->low));
  }
  body_ += fmt::format(R"(<polygon class="band n{}" points="{}"/>)", curves_ % kChartColours, path);
}

void Chart::bar(const Point& point, double width) {
  const double pixels = std::clamp(x(across_.least + width) - x(across_.least), 0.5, 30.0);
  body_ += fmt::format(
      R"(<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>)",
      x(point.x) - pixels / 2, y(point.y), pixels, y(up_.least) - y(point.y), escaped(point.title));
}

void Chart::mark_across(double across, std::string_view text) {
  const double at = x(across);
  const bool left = at > kWidth * 0.6;
  marks_ += fmt::format(
      R"(<line class="kept" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/><text class="mark" x="{3:.1f}" y="{4}" text-anchor="{5}">{6}</text>)",
      at, kTop - 6, kHeight - kBottom, left ? at - 5 : at + 5, kTop - 8, left ? "end" : "start",
      escaped(text));
}

void Chart::mark_up(double up, std::string_view text) {
  marks_ += fmt::format(
      R"(<line class="kept" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text class="mark" x="{3}" y="{4:.1f}">{5}</text>)",
      kLeft, kWidth - kRight, y(up), kLeft + 4, y(up) - 4, escaped(text));
}

std::string Chart::figure(std::string_view caption) const {
  const std::string by = across_.name.empty() ? "" : " by " + across_.name;
  return fmt::format(
      R"(<figure><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2}" role="img" aria-label="{0}{3}">{4}{5}{6}</svg></figure>)",
      escaped(caption), kWidth, kHeight, escaped(by), grid_, marks_, body_);
}

std::string period_text(std::int64_t period, std::int64_t period_ms) {
  const std::chrono::sys_time<std::chrono::milliseconds> begin{
      std::chrono::milliseconds(period * period_ms)};
  const auto midnight = std::chrono::floor<std::chrono::days>(begin);
  const std::chrono::year_month_day date{midnight};
  std::string text =
      fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  if (period_ms % kDayMs != 0) {
    const auto minutes = std::chrono::floor<std::chrono::minutes>(begin - midnight).count();
    text += fmt::format(" {:02}:{:02}", minutes / 60, minutes % 60);
  }
  return text;
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

std::string term(std::string_view name, std::string_view value) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value));
}

std::string page(std::string_view title, std::string_view body, std::string_view style) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>{1}{3}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{2}</body>\n"
      "</html>\n",
      escaped(title), kStyle, body, style);
}

}  // namespace fovea::api
