// Texts of items and users in a line of a terminal: as text, and as nothing else. Owns what must
// not reach a terminal, how many columns a text takes, and how words in it are marked.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace fovea::api {

/// UTF-8 as it may be shown: control characters and line ends, which would steer the terminal, are
/// spaces, what turns the direction of writing is left out, and a byte that is no text is U+FFFD.
std::string shown(std::string_view text);

/// shown(), cut to `columns` with an ellipsis where it was longer. Han and the like take two.
std::string cut(std::string_view text, std::size_t columns);

/// cut(), and filled up with spaces.
std::string padded(std::string_view text, std::size_t columns);

/// What stands around a marked word.
struct Marks {
  std::string_view begin = "*";
  std::string_view end = "*";
  std::size_t columns = 1;  ///< That each of them takes.
};
/// Bold where `file` is a terminal that can, asterisks elsewhere.
Marks marks_for(int file);

/// padded() with marks around the text's words that are among `words`. Where the first of them lies
/// too far behind, the text begins a little before it, with an ellipsis.
std::string marked(std::string_view text, std::size_t columns, std::span<const std::string> words,
                   const Marks& marks);

}  // namespace fovea::api
