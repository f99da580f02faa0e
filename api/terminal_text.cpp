#include "api/terminal_text.h"

#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <unordered_set>
#include <vector>

#include "index/word_reader.h"

namespace fovea::api {
namespace {

constexpr std::string_view kEllipsis = "…";
/// Of a text before its first marked word.
constexpr std::size_t kColumnsBefore = 12;
/// Accents and the like on one character; some texts heap up thousands.
constexpr std::size_t kWithoutWidthMax = 4;

struct Character {
  std::array<char, 4> bytes{};
  std::uint8_t size = 0;
  std::uint8_t columns = 1;
  bool marked = false;
};

bool turns_direction(utf8proc_int32_t c) {
  return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/// The characters that are shown; `at` has their first bytes in the text.
std::vector<Character> characters(std::string_view text, std::vector<std::size_t>* at = nullptr) {
  constexpr utf8proc_int32_t kReplacement = 0xFFFD;
  std::vector<Character> all;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  std::size_t without_width = 0;
  for (std::size_t begin = 0, next = 0; begin < text.size(); begin = next) {
    utf8proc_int32_t c = 0;
    const auto read =
        utf8proc_iterate(bytes + begin, static_cast<utf8proc_ssize_t>(text.size() - begin), &c);
    next = begin + (read > 0 ? static_cast<std::size_t>(read) : 1);
    if (read <= 0) c = kReplacement;
    const auto category = utf8proc_category(c);
    if (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZL ||
        category == UTF8PROC_CATEGORY_ZP) {
      c = ' ';
    }
    if (turns_direction(c)) continue;
    const int columns = utf8proc_charwidth(c);
    without_width = columns > 0 ? 0 : without_width + 1;
    if (without_width > kWithoutWidthMax) continue;
    Character& one = all.emplace_back();
    std::array<utf8proc_uint8_t, 4> encoded{};
    one.size = static_cast<std::uint8_t>(utf8proc_encode_char(c, encoded.data()));
    std::ranges::copy(encoded, one.bytes.begin());
    one.columns = static_cast<std::uint8_t>(std::clamp(columns, 0, 2));
    if (at != nullptr) at->push_back(begin);
  }
  return all;
}

std::size_t columns_of(std::span<const Character> all) {
  std::size_t sum = 0;
  for (const Character& one : all) sum += one.columns;
  return sum;
}

/// Appends as much as fits. Returns the columns that are left.
std::size_t add_characters(std::string& line, std::span<const Character> all, std::size_t left,
                           const Marks& marks) {
  bool open = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool turns = all[i].marked != open;
    const bool last = i + 1 == all.size();
    // Behind it there must be room for the mark that ends, and for the ellipsis.
    const std::size_t needed = (turns ? marks.columns : 0) + all[i].columns +
                               (all[i].marked ? marks.columns : 0) + (last ? 0 : 1);
    if (needed > left) {
      if (open) {
        line += marks.end;
        left -= marks.columns;
      }
      line += kEllipsis;
      return left > 0 ? left - 1 : 0;
    }
    if (turns) {
      line += open ? marks.end : marks.begin;
      left -= marks.columns;
      open = !open;
    }
    line.append(all[i].bytes.data(), all[i].size);
    left -= all[i].columns;
  }
  if (open) {
    line += marks.end;
    left -= marks.columns;
  }
  return left;
}

/// Where a text begins that is shown around its first marked word.
std::size_t beginning(std::span<const Character> all, std::size_t columns, const Marks& marks) {
  const auto first = std::ranges::find_if(all, &Character::marked);
  if (first == all.end()) return 0;
  const auto end = std::ranges::find_if_not(first, all.end(), &Character::marked);
  const std::span before(all.begin(), first);
  const std::size_t to_end = columns_of({all.begin(), end}) + 2 * marks.columns;
  if (to_end + (end == all.end() ? 0 : 1) <= columns) return 0;
  std::size_t from = before.size();
  std::size_t taken = 0;
  while (from > 0 && taken < kColumnsBefore) taken += before[--from].columns;
  // Not in the middle of a word.
  const auto is_space = [](const Character& one) { return one.size == 1 && one.bytes[0] == ' '; };
  while (from > 0 && from < before.size() && !is_space(before[from - 1])) ++from;
  return from;
}

}  // namespace

std::string shown(std::string_view text) {
  std::string line;
  for (const Character& one : characters(text)) line.append(one.bytes.data(), one.size);
  return line;
}

std::string cut(std::string_view text, std::size_t columns) {
  std::string line;
  add_characters(line, characters(text), columns, {});
  return line;
}

std::string padded(std::string_view text, std::size_t columns) {
  std::string line;
  const std::size_t left = add_characters(line, characters(text), columns, {});
  return line.append(left, ' ');
}

Marks marks_for(int file) {
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal != nullptr && std::string_view(terminal) == "dumb";
  if (::isatty(file) != 1 || dumb) return {};
  return {"\x1b[1m", "\x1b[22m", 0};
}

std::string marked(std::string_view text, std::size_t columns, std::span<const std::string> words,
                   const Marks& marks) {
  std::vector<std::size_t> at;
  std::vector<Character> all = characters(text, &at);
  const std::unordered_set<std::string_view> wanted(words.begin(), words.end());
  index::for_each_word(text, [&](const index::FoldedWord& word) {
    if (!wanted.contains(text.substr(word.begin, word.end - word.begin))) return;
    const auto first = std::ranges::lower_bound(at, word.begin) - at.begin();
    const auto end = std::ranges::lower_bound(at, word.end) - at.begin();
    for (auto i = first; i < end; ++i) all[static_cast<std::size_t>(i)].marked = true;
  });
  std::string line;
  const std::size_t from = beginning(all, columns, marks);
  if (from > 0) {
    line += kEllipsis;
    --columns;
  }
  const std::size_t left = add_characters(line, std::span(all).subspan(from), columns, marks);
  return line.append(left, ' ');
}

}  // namespace fovea::api
