// See plot.h.
#include "api/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::api {
namespace {

using Epochs = std::span<const ranking::TrainProgress>;

// In the drawing's own units, which are pixels where the page is wide enough.
constexpr double kWidth = 340;
constexpr double kHeight = 200;
constexpr double kLeft = 50;
constexpr double kRight = 12;
constexpr double kTop = 22;
constexpr double kBottom = 34;

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1c2128; --quiet: #5d6775;
  --line: #dde1e7; --curve: #1f5fbf; --bar: #a9c1e6; --kept: #b3480a; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1d2128; --text: #e4e8ee;
  --quiet: #9aa5b4; --line: #353c47; --curve: #79aef5; --bar: #3d5f91; --kept: #ffa35c; } }
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
  stroke-linejoin: round; } .point { fill: var(--curve); } .bar { fill: var(--bar); }
.kept { stroke: var(--kept); stroke-dasharray: 4 3; } .dot { fill: var(--kept); }
svg text.mark { fill: var(--kept); font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: .2rem 1.5rem;
  margin: .75rem 0 0; } dl div { display: flex; justify-content: space-between; gap: 1rem;
  border-bottom: 1px solid var(--line); } dt { color: var(--quiet); } dd { margin: 0;
  font-variant-numeric: tabular-nums; })";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else {
      result += c;
    }
  }
  return result;
}

/// A step of 1, 2 or 5 times a power of ten that cuts `range` into about `parts`.
double nice_step(double range, double parts) {
  const double power = std::pow(10, std::floor(std::log10(range / parts)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (range / (step * power) <= parts) return step * power;
  }
  return 10 * power;
}

/// One drawing: values by epoch over a grid with its scales. Owns the two axes.
class Chart {
 public:
  Chart(Epochs epochs, double lowest, double highest, std::size_t kept) : kept_(kept) {
    first_ = static_cast<double>(epochs.front().epoch);
    last_ = static_cast<double>(epochs.back().epoch);
    step_ = nice_step(std::max(highest - lowest, std::max(std::abs(highest) * 1e-3, 1e-9)), 4);
    lowest_ = std::floor(lowest / step_) * step_;
    highest_ = std::max(std::ceil(highest / step_) * step_, lowest_ + step_);
    grid();
  }

  double x(double epoch) const {
    const double room = kWidth - kLeft - kRight;
    // Half an epoch on either side, which is where bars and the only epoch of a stage stand.
    return kLeft + room * (epoch - first_ + 0.5) / (last_ - first_ + 1);
  }
  double y(double value) const {
    return kHeight - kBottom -
           (kHeight - kBottom - kTop) * (value - lowest_) / (highest_ - lowest_);
  }

  void curve(const std::vector<std::pair<double, double>>& points, std::string_view what) {
    std::string path;
    for (const auto& [epoch, value] : points) {
      path += fmt::format("{:.1f},{:.1f} ", x(epoch), y(value));
    }
    body_ += fmt::format(R"(<polyline class="curve" points="{}"/>)", path);
    for (const auto& [epoch, value] : points) {
      const bool kept = epoch == static_cast<double>(kept_);
      body_ += fmt::format(
          R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>epoch {}: {} {:.4f}</title></circle>)",
          kept ? "dot" : "point", x(epoch), y(value), kept ? 4 : 2, epoch, what, value);
    }
  }
  void bar(double epoch, double value) {
    const double width = std::clamp((x(1) - x(0)) * 0.7, 0.5, 30.0);
    body_ += fmt::format(
        R"(<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>epoch {}: {:.2f} s</title></rect>)",
        x(epoch) - width / 2, y(value), width, y(0) - y(value), epoch, value);
  }

  std::string figure(std::string_view caption) const {
    std::string mark;
    if (kept_ > 0) {
      const double at = x(static_cast<double>(kept_));
      const bool left = at > kWidth * 0.6;
      mark = fmt::format(
          R"(<line class="kept" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/><text class="mark" x="{3:.1f}" y="{4}" text-anchor="{5}">kept: {6}</text>)",
          at, kTop - 6, kHeight - kBottom, left ? at - 5 : at + 5, kTop - 8, left ? "end" : "start",
          kept_);
    }
    return fmt::format(
        R"(<figure><figcaption>{0}</figcaption><svg viewBox="0 0 {1} {2}" role="img" aria-label="{0} by epoch">{3}{4}{5}</svg></figure>)",
        caption, kWidth, kHeight, grid_, mark, body_);
  }

 private:
  void grid() {
    const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step_) - 1e-9)));
    for (double value = lowest_; value <= highest_ + step_ / 2; value += step_) {
      grid_ += fmt::format(
          R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text x="{3}" y="{4:.1f}" text-anchor="end">{5:.{6}f}</text>)",
          kLeft, kWidth - kRight, y(value), kLeft - 6, y(value) + 4, value, decimals);
    }
    const double step = std::max(1.0, nice_step(std::max(last_ - first_, 1.0), 6));
    for (double epoch = std::ceil(first_ / step) * step; epoch <= last_; epoch += step) {
      grid_ += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", x(epoch),
                           kHeight - kBottom + 15, epoch);
    }
    grid_ += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">epoch</text>)",
                         (kLeft + kWidth - kRight) / 2, kHeight - 4);
  }

  std::size_t kept_;
  double first_ = 0, last_ = 0, lowest_ = 0, highest_ = 0, step_ = 1;
  std::string grid_, body_;
};

std::string curve(Epochs epochs, std::vector<std::pair<double, double>> points, std::size_t kept,
                  std::string_view caption, std::string_view what) {
  std::erase_if(points, [](const auto& point) { return !std::isfinite(point.second); });
  if (points.empty()) return "";
  const auto [least, most] =
      std::ranges::minmax_element(points, {}, [](const auto& point) { return point.second; });
  Chart chart(epochs, least->second, most->second, kept);
  chart.curve(points, what);
  return chart.figure(caption);
}

std::string stage(Epochs epochs) {
  const std::size_t kept = epochs.back().best_epoch;
  std::vector<std::pair<double, double>> losses;
  std::vector<std::pair<double, double>> ndcgs;
  double seconds = 0;
  double longest = 0;
  for (const auto& epoch : epochs) {
    losses.emplace_back(epoch.epoch, epoch.loss);
    if (epoch.validation_ndcg_10) ndcgs.emplace_back(epoch.epoch, *epoch.validation_ndcg_10);
    seconds += epoch.seconds;
    longest = std::max(longest, epoch.seconds);
  }
  std::string text = fmt::format(
      "<section>\n<h2>{}</h2>\n<p class=\"quiet\">{} epochs in {:.1f} s; {}</p>\n<div "
      "class=\"charts\">\n",
      escaped(epochs.front().stage), epochs.size(), seconds,
      kept == 0       ? "none was better than what it began with, which was kept"
      : ndcgs.empty() ? "nothing was held out to validate on, so the last was kept"
                      : fmt::format("epoch {} was kept", kept));
  text += curve(epochs, losses, kept, "Training loss", "loss") + "\n";
  text += curve(epochs, ndcgs, kept, "Validation ndcg@10", "ndcg@10") + "\n";
  Chart time(epochs, 0, longest, kept);
  for (const auto& epoch : epochs) time.bar(static_cast<double>(epoch.epoch), epoch.seconds);
  return text + time.figure("Seconds an epoch") + "\n</div>\n</section>\n";
}

std::string term(std::string_view name, std::string_view value) {
  return fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value));
}

}  // namespace

std::string training_page(const engine::LearnResult& result, const engine::LearnOptions& options) {
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>Training of version {0}</title>\n<style>{1}</style>\n</head>\n<body>\n"
      "<h1>Training of version {0}</h1>\n"
      "<p>{2} behaviours of {3} users over {4} items, {5:.1f} s in all{6}</p>\n",
      result.version, kStyle, result.behaviours, result.users, result.items, result.seconds,
      result.from.empty() ? "" : "; goes on from version " + result.from);
  for (auto begin = result.log.begin(); begin != result.log.end();) {
    const auto end = std::find_if(begin, result.log.end(),
                                  [&](const auto& epoch) { return epoch.stage != begin->stage; });
    page += stage({begin, end});
    begin = end;
  }
  if (result.log.empty()) {
    page +=
        "<section><p>No epoch was trained: too few behaviours, or nothing new in "
        "them.</p></section>\n";
  }
  page += "<section>\n<h2>Options</h2>\n<dl>";
  page += term("split", engine::name(options.split));
  ranking::for_each_option(options.train, [&](std::string name, const auto& field, auto...) {
    std::ranges::replace(name, '_', ' ');
    page += term(name, fmt::format("{}", field));
  });
  page += term("seed", fmt::format("{}", options.train.seed));
  page += term("threads", fmt::format("{}", options.train.threads));
  return page + "</dl>\n</section>\n</body>\n</html>\n";
}

}  // namespace fovea::api
