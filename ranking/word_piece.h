// BERT's tokens (arXiv 1810.04805): text is cleaned, folded and cut into words, and each word into
// the longest pieces that a vocabulary has. Owns the rules and the vocabulary; ids equal those of
// the reference tokenizer (BertTokenizerFast of Hugging Face's transformers), whose tables of
// characters end with Unicode 8: what is newer is a mark or punctuation here where Unicode says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fovea::ranking {

/// Immutable once loaded; thread-safe.
class WordPiece {
 public:
  struct Options {
    bool lower_case = true;
    bool strip_accents = true;       ///< Letters lose the marks that they decompose into.
    bool chinese_characters = true;  ///< Each ideograph is a word of its own.
  };
  /// Reads vocab.txt: a token a line, its id the number of lines before; "##" before what continues
  /// a word. Throws WeightsError where it cannot be read, names a token twice, or lacks [UNK],
  /// [CLS] or [SEP].
  static WordPiece load(const std::filesystem::path& file, const Options& options);

  std::size_t size() const { return size_; }  ///< Ids are below it.

  /// [CLS], the text's pieces, [SEP]: at most `ids_max` (at least 2) with both, the rest is cut
  /// off. A word without known pieces, or of more than 100 code points, is [UNK]; the names of
  /// special tokens in a text stand for those. Invalid UTF-8 is left out.
  std::vector<std::uint32_t> encode(std::string_view text, std::size_t ids_max) const;

 private:
  class Words;
  struct Hash {
    using is_transparent = void;  // NOLINT(readability-identifier-naming): the map asks for it
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Ids = std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>>;

  void add_pieces(std::string_view word, std::vector<std::uint32_t>& ids) const;

  Options options_;
  std::size_t size_ = 0;
  std::size_t longest_ = 0;  // bytes of the longest piece
  Ids begins_, continues_;   // the latter without "##"
  std::uint32_t unknown_ = 0, first_ = 0, last_ = 0;
};

}  // namespace fovea::ranking
