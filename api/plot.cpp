// See plot.h.
#include "api/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "api/chart.h"

namespace fovea::api {
namespace {

using Epochs = std::span<const ranking::TrainProgress>;

/// Half an epoch on either side, which is where bars and the only epoch of a stage stand.
Axis across(Epochs epochs) {
  return {.name = "epoch",
          .least = static_cast<double>(epochs.front().epoch) - 0.5,
          .most = static_cast<double>(epochs.back().epoch) + 0.5};
}

std::string figure(Chart& chart, std::size_t kept, std::string_view caption) {
  if (kept > 0) chart.mark_across(static_cast<double>(kept), fmt::format("kept: {}", kept));
  return chart.figure(caption);
}

/// `value_of` an epoch is what is drawn, `what` its name.
template <typename Value>
std::string curve(Epochs epochs, std::size_t kept, std::string_view caption, std::string_view what,
                  Value value_of) {
  std::vector<Point> points;
  for (const auto& epoch : epochs) {
    const double value = value_of(epoch);
    if (!std::isfinite(value)) continue;
    points.push_back({static_cast<double>(epoch.epoch), value,
                      fmt::format("epoch {}: {} {:.4f}", epoch.epoch, what, value),
                      epoch.epoch == kept});
  }
  if (points.empty()) return "";
  const auto [least, most] = std::ranges::minmax_element(points, {}, &Point::y);
  Chart chart(across(epochs), {.least = least->y, .most = most->y});
  chart.curve(points);
  return figure(chart, kept, caption);
}

std::string times(Epochs epochs, std::size_t kept) {
  double longest = 0;
  for (const auto& epoch : epochs) longest = std::max(longest, epoch.seconds);
  Chart chart(across(epochs), {.least = 0, .most = longest});
  for (const auto& epoch : epochs) {
    chart.bar({static_cast<double>(epoch.epoch), epoch.seconds,
               fmt::format("epoch {}: {:.2f} s", epoch.epoch, epoch.seconds)},
              0.7);
  }
  return figure(chart, kept, "Seconds an epoch");
}

std::string stage(Epochs epochs) {
  const std::size_t kept = epochs.back().best_epoch;
  double seconds = 0;
  for (const auto& epoch : epochs) seconds += epoch.seconds;
  const bool validated = std::ranges::any_of(
      epochs, [](const auto& epoch) { return epoch.validation_ndcg_10.has_value(); });
  std::string text = fmt::format(
      "<section>\n<h2>{}</h2>\n<p class=\"quiet\">{} epochs in {:.1f} s; {}</p>\n<div "
      "class=\"charts\">\n",
      escaped(epochs.front().stage), epochs.size(), seconds,
      kept == 0    ? "none was better than what it began with, which was kept"
      : !validated ? "nothing was held out to validate on, so the last was kept"
                   : fmt::format("epoch {} was kept", kept));
  text +=
      curve(epochs, kept, "Training loss", "loss", [](const auto& epoch) { return epoch.loss; });
  text += '\n';
  text += curve(epochs, kept, "Validation ndcg@10", "ndcg@10",
                [](const auto& epoch) { return epoch.validation_ndcg_10.value_or(std::nan("")); });
  text += '\n';
  return text + times(epochs, kept) + "\n</div>\n</section>\n";
}

}  // namespace

std::string training_page(const engine::LearnResult& result, const engine::LearnOptions& options) {
  std::string body =
      fmt::format("<p>{} behaviours of {} users over {} items, {:.1f} s in all{}</p>\n",
                  result.behaviours, result.users, result.items, result.seconds,
                  result.from.empty() ? "" : "; goes on from version " + result.from);
  for (auto begin = result.log.begin(); begin != result.log.end();) {
    const auto end = std::find_if(begin, result.log.end(),
                                  [&](const auto& epoch) { return epoch.stage != begin->stage; });
    body += stage({begin, end});
    begin = end;
  }
  if (result.log.empty()) {
    body +=
        "<section><p>No epoch was trained: too few behaviours, or nothing new in "
        "them.</p></section>\n";
  }
  body += "<section>\n<h2>Options</h2>\n<dl>";
  body += term("split", engine::name(options.split));
  ranking::for_each_option(options.train, [&](std::string name, const auto& field, auto...) {
    std::ranges::replace(name, '_', ' ');
    body += term(name, fmt::format("{}", field));
  });
  body += term("seed", fmt::format("{}", options.train.seed));
  body += term("threads", fmt::format("{}", options.train.threads));
  return page("Training of version " + result.version, body + "</dl>\n</section>\n");
}

}  // namespace fovea::api
