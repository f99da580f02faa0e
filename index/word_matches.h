// What a query's words are in a text, for people: the words as they stand there. Which texts a
// query finds is index/word_index's.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "index/word_reader.h"

namespace fovea::index {

/// Longer words are told to nobody, nor are words behind the first so many.
inline constexpr std::size_t kToldBytesMax = 256;
inline constexpr std::size_t kToldWordsMax = 64;

/// Of one query, read once. One thread at a time.
class WordMatches {
 public:
  /// Throws std::invalid_argument for a language that is none of stemmer_languages().
  WordMatches(const std::string& language, std::string_view query);

  /// The text's words that the query looks up, its last word's continuations with them: as they
  /// stand in the text, in their order, each once. Function words only where the text has
  /// no others of the query.
  std::vector<std::string> in(std::string_view text);

 private:
  Stemmer stemmer_;
  std::unordered_set<std::string> stems_, function_stems_;
  std::string beginning_;  // empty: the last word is whole
};

/// The query with every word of a stem in `spellings` written so, the rest as it was typed.
std::string respelt(std::string_view query, const std::map<std::string, std::string>& spellings,
                    const std::string& language);

/// The text's first word that has this stem, as it stands there; the stem where none has.
std::string spelling(std::string_view text, std::string_view stem, const std::string& language);

}  // namespace fovea::index
