// Tokens of filter expressions.
#include "engine/filter_tokens.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <system_error>

#include "engine/request.h"

namespace fovea::engine {
namespace {

constexpr std::array<std::string_view, 7> kKeywords = {"and", "or",   "not",  "in",
                                                       "has", "true", "false"};
/// Longer ones first, so that <= is not read as < and =.
constexpr std::array<std::string_view, 9> kSymbols = {"!=", "<=", ">=", "=", "<",
                                                      ">",  "(",  ")",  ","};
constexpr std::size_t kShownBytesMax = 40;  // of a token in an error

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Bytes of the character at the beginning of `text`, which is valid UTF-8.
std::size_t character_bytes(std::string_view text, utf8proc_int32_t& code_point) {
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                       static_cast<utf8proc_ssize_t>(text.size()), &code_point);
  return length > 0 ? static_cast<std::size_t>(length) : 1;
}

/// Typographic quotes and spaces of other scripts are in none of these, so that they are refused
/// and do not become part of a name.
bool may_be_in_name(utf8proc_int32_t code_point, bool first) {
  if (code_point == '_') return true;
  const auto category = utf8proc_category(code_point);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return true;
  if (first) return false;
  return (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_NO) ||
         code_point == '.' || code_point == '-';
}

/// Bytes of the name that `text` begins with; 0: it begins with something else.
std::size_t name_bytes(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size()) {
    utf8proc_int32_t code_point = 0;
    const std::size_t bytes = character_bytes(text.substr(end), code_point);
    if (!may_be_in_name(code_point, end == 0)) break;
    end += bytes;
  }
  return end;
}

std::size_t digits(std::string_view text, std::size_t from) {
  std::size_t end = from;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - from;
}

/// Bytes of the number that `text` begins with; 0: it begins with something else.
std::size_t number_bytes(std::string_view text) {
  std::size_t end = text.starts_with('-') ? 1 : 0;
  const std::size_t whole = digits(text, end);
  if (whole == 0) return 0;
  end += whole;
  if (end < text.size() && text[end] == '.') {
    const std::size_t fraction = digits(text, end + 1);
    if (fraction > 0) end += 1 + fraction;
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    const bool is_signed = end + 1 < text.size() && (text[end + 1] == '+' || text[end + 1] == '-');
    const std::size_t first = end + (is_signed ? 2 : 1);
    const std::size_t exponent = digits(text, first);
    if (exponent > 0) end = first + exponent;
  }
  return end;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_keyword(std::string_view name) {
  return std::find(kKeywords.begin(), kKeywords.end(), lower(name)) != kKeywords.end();
}

/// In quotes, its own if it has some; cut between characters where it is long.
std::string shown(std::string_view written) {
  std::string result(written);
  if (result.size() > kShownBytesMax) {
    std::size_t end = kShownBytesMax;
    while ((static_cast<unsigned char>(result[end]) & 0xC0) == 0x80) --end;
    result.resize(end);
    result += "...";
  }
  const bool has_quotes = written.front() == '\'' || written.front() == '"';
  return has_quotes ? result : fmt::format("'{}'", result);
}

}  // namespace

bool is_plain_name(std::string_view name) {
  return !name.empty() && name_bytes(name) == name.size() && !is_keyword(name);
}

FilterToken FilterTokens::next() {
  using Kind = FilterToken::Kind;
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  FilterToken token;
  token.position = at_ + 1;
  const std::string_view rest = text_.substr(at_);
  if (rest.empty()) return token;
  if (rest.front() == '\'' || rest.front() == '"' || rest.front() == '`') {
    token.kind = rest.front() == '`' ? Kind::kName : Kind::kText;
    token.text = quoted(token.kind == Kind::kName ? "name" : "text");
  } else if (const std::size_t name = name_bytes(rest)) {
    at_ += name;
    token.text = rest.substr(0, name);
    token.kind = is_keyword(token.text) ? Kind::kKeyword : Kind::kName;
    if (token.kind == Kind::kKeyword) token.text = lower(token.text);
  } else if (const std::size_t number = number_bytes(rest)) {
    at_ += number;
    token.kind = Kind::kNumber;
    token.text = rest.substr(0, number);
  } else {
    token.kind = Kind::kSymbol;
    const auto* const symbol = std::find_if(kSymbols.begin(), kSymbols.end(),
                                            [&](auto known) { return rest.starts_with(known); });
    utf8proc_int32_t code_point = 0;
    const std::size_t bytes =
        symbol != kSymbols.end() ? symbol->size() : character_bytes(rest, code_point);
    at_ += bytes;
    token.text = rest.substr(0, bytes);
  }
  token.written = rest.substr(0, at_ + 1 - token.position);
  if (token.kind == Kind::kName && token.text.empty()) {
    refuse_token(field_, token, "a name between the backticks is expected");
  }
  if (token.kind == Kind::kNumber) {
    const char* const end = token.text.data() + token.text.size();
    if (std::from_chars(token.text.data(), end, token.number).ec != std::errc()) {
      refuse_token(field_, token, "a number that a double can hold is expected");
    }
    token.number += 0.0;  // -0 becomes the 0 that it equals
  }
  return token;
}

std::string FilterTokens::quoted(std::string_view what) {
  const char quote = text_[at_];
  const std::size_t begin = at_ + 1;
  std::string inside;
  for (std::size_t i = begin; i < text_.size(); ++i) {
    if (text_[i] != quote) {
      inside += text_[i];
    } else if (i + 1 < text_.size() && text_[i + 1] == quote) {
      inside += quote;
      ++i;
    } else {
      at_ = i + 1;
      return inside;
    }
  }
  throw InvalidRequest(std::string(field_),
                       fmt::format("{}: at {} a {} is expected that closes the {} from {}, and the "
                                   "expression ends there",
                                   field_, text_.size() + 1, quote, what, begin));
}

void refuse_token(std::string_view field, const FilterToken& token, std::string_view expected) {
  const std::string there = token.kind == FilterToken::Kind::kEnd
                                ? "the expression ends there"
                                : fmt::format("there is {}", shown(token.written));
  throw InvalidRequest(std::string(field),
                       fmt::format("{}: at {} {}, and {}", field, token.position, expected, there));
}

}  // namespace fovea::engine
