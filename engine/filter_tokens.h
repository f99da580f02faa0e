// The words of a filter expression: splits its text into tokens. Owns how names, numbers and quoted
// texts are spelt; engine/filter.cpp owns what they make together.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fovea::engine {

struct FilterToken {
  enum class Kind {
    kEnd,
    kName,     ///< An attribute; `text` without its backticks.
    kKeyword,  ///< `text` in lower case: and or not in has true false.
    kNumber,
    kText,    ///< `text` without its quotes.
    kSymbol,  ///< = != < <= > >= ( ) , and any other character, which no rule expects.
  };
  Kind kind = Kind::kEnd;
  std::size_t position = 1;  ///< Of its first byte, counted from 1.
  std::string_view written;  ///< As it stands in the expression.
  std::string text;
  double number = 0;

  bool is(Kind of_kind, std::string_view of_text) const {
    return kind == of_kind && text == of_text;
  }
};

/// Whether a name needs no backticks.
bool is_plain_name(std::string_view name);

class FilterTokens {
 public:
  /// `text` is valid UTF-8 and outlives this; `field` names it in errors.
  FilterTokens(std::string_view text, std::string_view field) : text_(text), field_(field) {}

  /// The next token; kEnd for ever after the last. Throws InvalidRequest for a quote that is not
  /// closed, an empty name, a number that a double cannot hold.
  FilterToken next();

 private:
  /// From a quote at at_ to its end: `what` is inside, doubled quotes made single.
  std::string quoted(std::string_view what);

  std::string_view text_;
  std::string_view field_;
  std::size_t at_ = 0;
};

/// Throws InvalidRequest: "FIELD: at POSITION EXPECTED, and there is 'WRITTEN'".
[[noreturn]] void refuse_token(std::string_view field, const FilterToken& token,
                               std::string_view expected);

}  // namespace fovea::engine
