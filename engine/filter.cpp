// The grammar of filter expressions, by recursive descent into postfix, and its canonical text.
//
//   either     = both { "or" both }
//   both       = negation { "and" negation }
//   negation   = "not" negation | "(" either ")" | comparison
//   comparison = "has" "(" name ")" | name operator value | name "in" "(" value { "," value } ")"
#include "engine/filter.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "engine/filter_tokens.h"
#include "engine/request.h"

namespace fovea::engine {
namespace {

using Kind = FilterToken::Kind;
using Step = Filter::Step;
using Test = Filter::Test;

struct Operator {
  std::string_view text;
  Test test;
};
/// != is an equality that is negated.
constexpr std::array<Operator, 6> kOperators = {{{"=", Test::kEqual},
                                                 {"!=", Test::kEqual},
                                                 {"<", Test::kLess},
                                                 {"<=", Test::kLessOrEqual},
                                                 {">", Test::kGreater},
                                                 {">=", Test::kGreaterOrEqual}}};

constexpr std::string_view kValueExpected = "a value is expected (a number, 'text', true or false)";

[[noreturn]] void refuse(std::string_view field, const std::string& sentence) {
  throw InvalidRequest(std::string(field), fmt::format("{}: {}", field, sentence));
}

void require_utf8(std::string_view text, std::string_view field) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t code_point = 0;
    const auto length =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
    if (length <= 0) {
      refuse(field, fmt::format("at {} valid UTF-8 is expected, and there is byte {:#04x}", at + 1,
                                bytes[at]));
    }
    at += static_cast<std::size_t>(length);
  }
}

}  // namespace

class FilterParser {
 public:
  FilterParser(std::string_view text, std::string_view field)
      : field_(field), tokens_(text, field) {
    advance();
  }

  Filter parse() {
    parse_either();
    if (token_.kind != Kind::kEnd) refuse_here("and, or or the end is expected");
    return std::move(filter_);
  }

 private:
  void advance() { token_ = tokens_.next(); }
  [[noreturn]] void refuse_here(std::string_view expected) const {
    refuse_token(field_, token_, expected);
  }
  bool take(Kind kind, std::string_view text) {
    if (!token_.is(kind, text)) return false;
    advance();
    return true;
  }
  void require(std::string_view symbol, std::string_view expected) {
    if (!take(Kind::kSymbol, symbol)) refuse_here(expected);
  }

  void parse_either() {
    parse_both();
    while (take(Kind::kKeyword, "or")) {
      parse_both();
      push(Step::kOr);
    }
  }

  void parse_both() {
    parse_negation();
    while (take(Kind::kKeyword, "and")) {
      parse_negation();
      push(Step::kAnd);
    }
  }

  void parse_negation() {
    const std::size_t position = token_.position;
    if (take(Kind::kKeyword, "not")) {
      enter(position);
      parse_negation();
      --depth_;
      push(Step::kNot);
    } else if (take(Kind::kSymbol, "(")) {
      enter(position);
      parse_either();
      require(")", "and, or or ) is expected");
      --depth_;
    } else {
      parse_comparison();
    }
  }

  /// The only way down, so that no expression makes the calls above nest deeper.
  void enter(std::size_t position) {
    if (++depth_ <= kFilterDepthMax) return;
    refuse(field_, fmt::format("at {} parentheses and nots are {} deep; at most {} are allowed",
                               position, depth_, kFilterDepthMax));
  }

  void parse_comparison() {
    if (filter_.comparisons_.size() == kFilterComparisonsMax) {
      refuse(field_,
             fmt::format("at {} comparison {} begins; at most {} are allowed", token_.position,
                         kFilterComparisonsMax + 1, kFilterComparisonsMax));
    }
    Filter::Comparison comparison;
    bool negated = false;
    if (take(Kind::kKeyword, "has")) {
      require("(", "( is expected after has");
      comparison.attribute = take_attribute("an attribute is expected");
      require(")", ") is expected");
    } else {
      comparison.attribute =
          take_attribute("an attribute, has, not or ( is expected (as in genre = 'Comedy')");
      if (take(Kind::kKeyword, "in")) {
        comparison.test = Test::kEqual;
        parse_list(comparison.values);
      } else {
        negated = token_.is(Kind::kSymbol, "!=");
        comparison.test = take_operator();
        comparison.values.push_back(take_value(comparison.test != Test::kEqual));
      }
    }
    filter_.comparisons_.push_back(std::move(comparison));
    push(Step::kCompare);
    if (negated) push(Step::kNot);
  }

  void parse_list(std::vector<Filter::Value>& values) {
    require("(", "( is expected after in");
    do {
      values.push_back(take_value(false));
    } while (take(Kind::kSymbol, ","));
    require(")", ", or ) is expected");
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  }

  std::string take_attribute(std::string_view expected) {
    if (token_.kind != Kind::kName) refuse_here(expected);
    std::string name = std::move(token_.text);
    advance();
    return name;
  }

  Test take_operator() {
    for (const Operator& known : kOperators) {
      if (take(Kind::kSymbol, known.text)) return known.test;
    }
    refuse_here("=, !=, <, <=, >, >= or in is expected");
  }

  Filter::Value take_value(bool ordered) {
    if (values_ == kFilterValuesMax) {
      refuse(field_, fmt::format("at {} value {} begins; at most {} are allowed", token_.position,
                                 kFilterValuesMax + 1, kFilterValuesMax));
    }
    ++values_;
    Filter::Value value;
    const bool is_true = token_.is(Kind::kKeyword, "true");
    if (token_.kind == Kind::kNumber) {
      value = token_.number;
    } else if (token_.kind == Kind::kText) {
      value = std::move(token_.text);
    } else if (is_true || token_.is(Kind::kKeyword, "false")) {
      if (ordered) refuse_here("a value that has an order is expected (a number or 'text')");
      value = is_true;
    } else {
      refuse_here(ordered ? "a value is expected (a number or 'text')" : kValueExpected);
    }
    advance();
    return value;
  }

  void push(Step step) {
    auto& steps = filter_.steps_;
    if (step == Step::kNot && steps.back() == Step::kNot) {
      steps.pop_back();  // not not a is a
      return;
    }
    steps.push_back(step);
    if (step == Step::kCompare) filter_.stack_max_ = std::max(filter_.stack_max_, ++stack_);
    if (step == Step::kAnd || step == Step::kOr) --stack_;
  }

  std::string_view field_;
  FilterTokens tokens_;
  FilterToken token_;
  Filter filter_;
  std::size_t depth_ = 0;
  std::size_t values_ = 0;
  std::size_t stack_ = 0;
};

Filter Filter::parse(std::string_view text, std::string_view field) {
  if (text.size() > kFilterBytesMax) {
    refuse(field, fmt::format("it is {} bytes long; at most {} are allowed", text.size(),
                              kFilterBytesMax));
  }
  require_utf8(text, field);
  return FilterParser(text, field).parse();
}

namespace {

/// Between quotes, with those inside doubled.
std::string quoted(std::string_view text, char quote) {
  std::string result(1, quote);
  for (const char c : text) {
    if (c == quote) result += quote;
    result += c;
  }
  return result += quote;
}

struct WriteValue {
  std::string operator()(double number) const { return fmt::format("{}", number); }
  std::string operator()(bool flag) const { return flag ? "true" : "false"; }
  std::string operator()(const std::string& text) const { return quoted(text, '\''); }
};

std::string written(const Filter::Comparison& comparison, bool negated) {
  const std::string name = is_plain_name(comparison.attribute) ? comparison.attribute
                                                               : quoted(comparison.attribute, '`');
  const std::string prefix = negated ? "not " : "";
  if (comparison.test == Test::kHas) return fmt::format("{}has({})", prefix, name);
  const std::string first = std::visit(WriteValue{}, comparison.values.front());
  if (comparison.values.size() == 1) {
    if (comparison.test == Test::kEqual) {
      return fmt::format("{} {} {}", name, negated ? "!=" : "=", first);
    }
    const auto* const known =
        std::find_if(kOperators.begin(), kOperators.end(),
                     [&](const Operator& each) { return each.test == comparison.test; });
    return fmt::format("{}{} {} {}", prefix, name, known->text, first);
  }
  std::string result = fmt::format("{}{} in ({}", prefix, name, first);
  for (std::size_t i = 1; i < comparison.values.size(); ++i) {
    result += ", " + std::visit(WriteValue{}, comparison.values[i]);
  }
  return result + ")";
}

/// How tightly a text holds together: parentheses are needed in anything tighter.
enum class Binding { kOr, kAnd, kNot };

struct Written {
  std::string text;
  Binding binding = Binding::kNot;
};

std::string in(Binding outer, Written part) {
  return part.binding < outer ? "(" + part.text + ")" : std::move(part.text);
}

}  // namespace

std::string Filter::to_string() const {
  std::vector<Written> stack;
  const Comparison* comparison = comparisons_.data();
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step step = steps_[i];
    if (step == Step::kCompare) {
      const bool negated = i + 1 < steps_.size() && steps_[i + 1] == Step::kNot;
      if (negated) ++i;
      stack.push_back({written(*comparison++, negated)});
    } else if (step == Step::kNot) {
      stack.back() = {"not " + in(Binding::kNot, std::move(stack.back()))};
    } else {
      const Binding binding = step == Step::kAnd ? Binding::kAnd : Binding::kOr;
      const std::string right = in(binding, std::move(stack.back()));
      stack.pop_back();
      std::string both = in(binding, std::move(stack.back()));
      both += step == Step::kAnd ? " and " : " or ";
      both += right;
      stack.back() = {std::move(both), binding};
    }
  }
  return std::move(stack.back().text);
}

namespace {

template <typename Held, typename Given>
bool holds_value(const Filter::Comparison& comparison, const Given& given) {
  const auto compare = [&](const auto& with) {
    return std::any_of(comparison.values.begin(), comparison.values.end(),
                       [&](const Filter::Value& value) {
                         const Held* held = std::get_if<Held>(&value);
                         return held != nullptr && with(given, *held);
                       });
  };
  switch (comparison.test) {
    case Test::kEqual:
      return compare([](const Given& a, const Held& b) { return a == b; });
    case Test::kLess:
      return compare([](const Given& a, const Held& b) { return a < b; });
    case Test::kLessOrEqual:
      return compare([](const Given& a, const Held& b) { return a <= b; });
    case Test::kGreater:
      return compare([](const Given& a, const Held& b) { return a > b; });
    case Test::kGreaterOrEqual:
      return compare([](const Given& a, const Held& b) { return a >= b; });
    case Test::kHas:
      break;
  }
  return false;
}

}  // namespace

bool holds(const Filter::Comparison& comparison, double number) {
  return holds_value<double>(comparison, number);
}
bool holds(const Filter::Comparison& comparison, bool flag) {
  return holds_value<bool>(comparison, flag);
}
bool holds(const Filter::Comparison& comparison, std::string_view text) {
  return holds_value<std::string>(comparison, text);
}

}  // namespace fovea::engine
