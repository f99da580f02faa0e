// Which texts have which words, and where: posting lists of some rows, made once and never changed.
// Owns their layout and how several become one; which of its rows count still is
// index/word_index's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/row_set.h"

namespace fovea::index {

/// Immutable; thread-safe. Legend: D documents, by ascending row; W words, by alphabet; P postings,
/// one for each word of each document; T words of all texts with their repeats.
class WordSegment {
 public:
  struct Document {
    std::uint32_t row = 0;
    std::vector<std::string> words;  ///< In their order; the first kWordsMax count.
  };
  static constexpr std::size_t kWordsMax = 65'535;

  /// Of ascending, distinct rows.
  static std::shared_ptr<const WordSegment> of(std::span<const Document> documents);

  struct Part {
    const WordSegment* segment = nullptr;
    const RowSet* gone = nullptr;  ///< Documents of it to leave out; null: none.
  };
  /// Of what the parts have together; no row is in two of them.
  static std::shared_ptr<const WordSegment> merged(std::span<const Part> parts);

  std::size_t documents() const { return rows_.size(); }
  std::size_t words() const { return ends_.size(); }
  std::uint64_t length() const { return positions_.size(); }  ///< T
  std::uint32_t row(std::uint32_t document) const { return rows_[document]; }
  std::span<const std::uint16_t> lengths() const { return lengths_; }  ///< [D]
  std::optional<std::uint32_t> document(std::uint32_t row) const;

  std::string_view word(std::uint32_t w) const {
    const std::uint32_t begin = w == 0 ? 0 : ends_[w - 1];
    return std::string_view(letters_).substr(begin, ends_[w] - begin);
  }
  std::optional<std::uint32_t> find(std::string_view word) const;
  /// The first word that is not before this one; words() where there is none.
  std::uint32_t lower_bound(std::string_view word) const;

  /// Of one word. Posting i is in documents[i], at positions [starts[i], starts[i + 1]).
  struct Postings {
    std::span<const std::uint32_t> documents;  ///< Ascending.
    std::span<const std::uint32_t> starts;     ///< One more than documents.

    std::uint32_t count(std::size_t i) const { return starts[i + 1] - starts[i]; }
  };
  Postings postings(std::uint32_t w) const {
    const std::size_t n = first_[w + 1] - first_[w];
    return {std::span(in_).subspan(first_[w], n), std::span(starts_).subspan(first_[w], n + 1)};
  }
  /// Of posting i, ascending, the first word of a text is 0.
  std::span<const std::uint16_t> positions(const Postings& postings, std::size_t i) const {
    return std::span(positions_).subspan(postings.starts[i], postings.count(i));
  }

  std::size_t bytes() const;  ///< Of memory.

 private:
  void begin_word(std::string_view word);
  void end_word();

  std::vector<std::uint32_t> rows_;       // [D]
  std::vector<std::uint16_t> lengths_;    // [D]
  std::string letters_;                   // of all words, one after the other
  std::vector<std::uint32_t> ends_;       // [W] in letters_
  std::vector<std::uint32_t> first_{0};   // [W + 1] in in_
  std::vector<std::uint32_t> in_;         // [P]
  std::vector<std::uint32_t> starts_;     // [P + 1] in positions_
  std::vector<std::uint16_t> positions_;  // [T]
};

}  // namespace fovea::index
