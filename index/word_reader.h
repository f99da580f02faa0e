// Text to the words that a word index knows: Unicode folding, word boundaries, stems. Owns what
// counts as the same word; which texts have it is index/word_segment's.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

struct sb_stemmer;

namespace fovea::index {

/// A word as it stands in a text: case, marks and compatibility forms folded away (NFKD), not yet
/// stemmed. The view lives as long as the call that hands it out.
struct FoldedWord {
  std::string_view folded;
  std::size_t begin = 0, end = 0;  ///< Bytes [begin, end) of the text.
};

/// Calls visit for each word in order: runs of letters and digits; of scripts that write no spaces
/// (Han, kana) and of symbols such as emoji each character is one. Of a longer word the first
/// 64 characters count. Invalid UTF-8 ends a word and never throws.
void for_each_word(std::string_view text, const std::function<void(const FoldedWord&)>& visit);

/// Words of one language to their stems (Snowball's algorithms), and which of them say little. One
/// thread at a time.
class Stemmer {
 public:
  /// "none", or a language of stemmer_languages(). Throws std::invalid_argument, a sentence that
  /// names them, for another.
  explicit Stemmer(const std::string& language);
  ~Stemmer();
  Stemmer(const Stemmer&) = delete;
  Stemmer& operator=(const Stemmer&) = delete;

  /// Of a folded word. The view is good until the next call.
  std::string_view stem(std::string_view folded);
  /// Whether a folded word is one of the language's function_words().
  bool is_function_word(std::string_view folded) const { return function_words_.contains(folded); }

 private:
  sb_stemmer* stemmer_ = nullptr;  // null: every word is its own stem
  const std::unordered_set<std::string_view>& function_words_;
};

/// "none" first, then by name.
std::vector<std::string> stemmer_languages();

}  // namespace fovea::index
