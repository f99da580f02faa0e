// A query as people type it to what a word index looks up: words, phrases in quotes, the beginning
// of a last word. No query is an error: what is no word and no pair of quotes separates words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "index/word_reader.h"

namespace fovea::index {

struct WordQuery {
  static constexpr std::size_t kSequenceMax = 64;

  struct Word {
    std::string stem;
    double count = 0;           ///< In the query; of a function word each time counts a tenth.
    bool function_word = true;  ///< Each time; another word may have the stem of one.
  };
  std::vector<Word> words;  ///< Distinct stems, in their order.
  /// All stems as they follow each other; empty where they are more than kSequenceMax.
  std::vector<std::string> sequence;
  /// Stems that must follow each other in a text, at least one each, all distinct; none in a query
  /// of more than 20 words.
  std::vector<std::vector<std::string>> phrases;
  /// The last word, folded, where the query ends in the middle of it or may; empty otherwise.
  std::string beginning;
  std::string beginning_stem;  ///< Of that word, as `words` has it.
};

/// A word of a query that no text has, and the nearest that some text has.
struct Correction {
  std::string typed;      ///< Its stem.
  std::string stem;       ///< Of the nearest.
  std::uint32_t row = 0;  ///< Of a text that has the nearest.
};

/// Of any bytes. Quotes are ", and its curly and low forms; one without a partner separates words.
WordQuery word_query(std::string_view text, Stemmer& stemmer);

/// The least number of letters to insert, delete, replace or swap with their neighbour, none edited
/// twice (optimal string alignment); most + 1 where it is more than `most`. UTF-32.
std::size_t edits(std::u32string_view a, std::u32string_view b, std::size_t most);

/// Invalid UTF-8 is left out.
std::u32string letters(std::string_view utf8);

}  // namespace fovea::index
