// Filter expressions: which items a ranking may return, a boost moves or a rule is about. Owns the
// language, its parser and its canonical text; engine/attributes answers which rows match.
//
//   genre = 'Comedy' and (year >= 1990 or has(award)) and not tags in ('short', 'silent')
//
// Comparisons: attribute = value, also != < <= > >=; attribute in (value, ...); has(attribute).
// They combine by not, and, or (binding in this order, tightest first) and parentheses; keywords in
// any case. A value is a number (-1.5e3), a text in single or double quotes (a quote inside is
// doubled), true or false; flags have no order. An attribute's name begins with a letter of any
// script or _ and goes on with letters, digits, _ . and -; any other name stands in `backticks`.
//
// What they mean for an item:
// - A comparison with an attribute that the item lacks, or has in another type, is false. So
//   not (year < 1990) holds where there is no year, and year >= 1990 does not.
// - a != v is not (a = v), and therefore true for an item without a.
// - a in (v, w) is a = v or a = w; the values may be of several types.
// - A list of texts matches when any of its texts does.
// - Texts are equal and ordered by their bytes.
// - has(a): the item has the attribute, in whatever type; an empty list counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fovea::engine {

// Limits of one filter; what is beyond them is refused.
inline constexpr std::size_t kFilterBytesMax = 4'096;
inline constexpr std::size_t kFilterDepthMax = 32;  ///< Of parentheses and nots inside each other.
inline constexpr std::size_t kFilterComparisonsMax = 256;
inline constexpr std::size_t kFilterValuesMax = 1'000;  ///< Of all comparisons together.

/// A parsed filter: a plain value, read by many threads at once.
class Filter {
 public:
  enum class Test : std::uint8_t { kEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kHas };
  using Value = std::variant<double, bool, std::string>;

  struct Comparison {
    std::string attribute;
    Test test = Test::kHas;
    /// kEqual: equal to any of them, at least one, ascending and distinct; an order: exactly one,
    /// not a flag; kHas: none.
    std::vector<Value> values;
  };

  /// kCompare pushes the next comparison's verdict, kNot replaces the last verdict, kAnd and kOr
  /// replace the last two.
  enum class Step : std::uint8_t { kCompare, kNot, kAnd, kOr };

  /// Throws InvalidRequest(field) with one sentence that gives the position, in bytes from 1, and
  /// what is expected there, or the limit: more than kFilter...Max, invalid UTF-8, a number that a
  /// double cannot hold, whatever the grammar does not know.
  static Filter parse(std::string_view text, std::string_view field);

  /// One text for filters that differ only in spelling: spaces, needless parentheses, case of
  /// keywords, forms of numbers and quotes, order of an in's values. Filters of one text match the
  /// same items. Parses to the same again unless it has become longer than kFilterBytesMax.
  std::string to_string() const;

  /// The filter in postfix: what an evaluation walks, with a stack of at most stack_max() verdicts.
  std::span<const Step> steps() const { return steps_; }
  /// In the order of the kCompare steps.
  std::span<const Comparison> comparisons() const { return comparisons_; }
  std::size_t stack_max() const { return stack_max_; }

 private:
  friend class FilterParser;
  Filter() = default;

  std::vector<Comparison> comparisons_;
  std::vector<Step> steps_;
  std::size_t stack_max_ = 0;
};

/// What a comparison says about an attribute that has this one value (of a list: one of its texts).
/// Never true for kHas, which is not about values.
bool holds(const Filter::Comparison& comparison, double number);
bool holds(const Filter::Comparison& comparison, bool flag);
bool holds(const Filter::Comparison& comparison, std::string_view text);

}  // namespace fovea::engine
