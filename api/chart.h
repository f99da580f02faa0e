// A page to look at and to send: its style, its frame and the drawings in it. Knows neither
// trainings nor measurements; each page's own file does.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fovea::api {

struct Axis {
  std::string name;  ///< Below the drawing; empty: the caption says it.
  double least = 0;
  double most = 1;
  bool logarithmic = false;  ///< Then `least` is above 0.
  /// Across only: values are periods of so many milliseconds since 1970-01-01, shown as dates or
  /// times. 0: they are numbers.
  std::int64_t period_ms = 0;
};

struct Point {
  double x = 0;
  double y = 0;
  std::string title;  ///< Shown where the pointer rests.
  bool kept = false;  ///< The one that is marked.
};

struct Range {
  double x = 0;
  double low = 0;
  double high = 0;
};

/// Curves and their bands have so many colours; after those they begin again.
inline constexpr std::size_t kChartColours = 6;

/// When a period begins, counted from 1970-01-01, UTC: "2026-03-01", of less than a day "2026-03-01
/// 14:05".
std::string period_text(std::int64_t period, std::int64_t period_ms);

/// One drawing: curves or bars over a grid with its scales. Owns the two axes. Numbers given must
/// be finite.
class Chart {
 public:
  /// Widens `up` to whole steps of its grid.
  Chart(Axis across, Axis up);

  double x(double across) const;
  double y(double up) const;

  /// `name`, in the curve's colour, stands above the drawing; empty: it is the only one.
  void curve(std::span<const Point> points, std::string_view name = "");
  /// Shades what lies between low and high, in the colour of the next curve. Parts that reach
  /// beyond the drawing are cut off.
  void band(std::span<const Range> ranges);
  /// The next curve, and the band before it, have the `number`-th colour.
  void colour(std::size_t number) { curves_ = number; }
  /// From the bottom up to the point; `width` in units of x.
  void bar(const Point& point, double width);
  /// A dashed line from bottom to top, or from left to right, with a text beside it.
  void mark_across(double across, std::string_view text);
  void mark_up(double up, std::string_view text);

  std::string figure(std::string_view caption) const;

 private:
  void grid();

  Axis across_, up_;
  double step_ = 1;  ///< Of the grid of a linear `up_`.
  std::size_t curves_ = 0;
  std::string grid_, marks_, body_;
};

/// For text between tags and between double quotes.
std::string escaped(std::string_view text);

/// A name and its value, one of a list within <dl>.
std::string term(std::string_view name, std::string_view value);

/// Self-contained: the drawings are SVG in the page, it runs no script and loads nothing. Light and
/// dark as the reader's system is. `body` is HTML, `title` text, `style` CSS beside the page's own.
std::string page(std::string_view title, std::string_view body, std::string_view style = "");

}  // namespace fovea::api
