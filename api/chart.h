// A page to look at and to send: its style, its frame and the drawings in it. Knows neither
// trainings nor measurements; each page's own file does.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fovea::api {

struct Axis {
  std::string name;  ///< Below the drawing; empty: the caption says it.
  double least = 0;
  double most = 1;
  bool logarithmic = false;  ///< Then `least` is above 0.
};

struct Point {
  double x = 0;
  double y = 0;
  std::string title;  ///< Shown where the pointer rests.
  bool kept = false;  ///< The one that is marked.
};

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
/// dark as the reader's system is. `body` is HTML, `title` text.
std::string page(std::string_view title, std::string_view body);

}  // namespace fovea::api
