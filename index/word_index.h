// The texts of items that come and go, searched by words: BM25 (Robertson and Zaragoza 2009, "The
// Probabilistic Relevance Framework: BM25 and Beyond") with k1 = 1.2, b = 0.75 and the idf
// ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative. Owns which segments there are, the
// formula, beginnings of words and spelling; index/word_segment has the lists, index/word_query
// reads what people type.
//
// Texts lie in segments that never change; a put makes a small one, and neighbours of like size
// are merged, so that there are about log2(rows) of them. What is removed is a bit until a
// twentieth of a segment is gone; until then it counts in N, n and the mean length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/row_set.h"
#include "index/vector_index.h"
#include "index/word_query.h"
#include "index/word_segment.h"

namespace fovea::index {

struct WordsFound {
  std::vector<Neighbour> rows;  ///< Best first, ties by row; the score is BM25's, above 0.
  /// A word that was searched in place of a typed one.
  struct Corrected {
    std::string stem;
    std::uint32_t row = 0;  ///< Of a text that has it, whatever `allow` was.
  };
  /// Where no text has any of the query's words, the nearest known ones. Empty: its own.
  std::vector<Corrected> corrected;
  /// Of `rows` those whose text has all of the query's words, one after the other.
  std::vector<std::uint32_t> exact;
  bool phrases = false;  ///< Something stood in quotes: every row has it.
};

/// Thread-safe: searches read one immutable state each and never wait for a writer.
class WordIndex {
 public:
  /// Of stemmer_languages(); throws std::invalid_argument for another.
  explicit WordIndex(std::string language = "english");
  ~WordIndex();

  /// Adds or replaces the texts of rows, one for each; of a row given twice the last counts. A text
  /// without a word is not found. Visible to the next search. Many rows at once are cheaper.
  void put(std::span<const std::uint32_t> rows, std::span<const std::string_view> texts);
  void remove(std::span<const std::uint32_t> rows);

  /// At most k rows that are in `allow` (null allows all) and have any of the query's words, and
  /// every phrase in quotes. Of a query of more than 64 distinct words the rarest count, of the
  /// words in quotes the first 64, and one of more than 64 words stands in no text as typed. A last
  /// word that no separator follows also stands, at half its weight, for what begins with it. Where
  /// nothing is found, the nearest known words are searched: same first letter, one edit for three
  /// to five letters and two for longer ones. Any bytes are a query.
  WordsFound search(std::string_view query, std::size_t k, const RowSet* allow = nullptr) const;

  const std::string& language() const { return language_; }
  std::size_t size() const;   ///< Rows with a word.
  std::size_t bytes() const;  ///< Of memory, roughly.

 private:
  struct State;
  std::shared_ptr<const State> state() const;
  void change(std::span<const std::uint32_t> gone,
              std::shared_ptr<const WordSegment> fresh);  // writing_ is held

  std::string language_;
  std::mutex writing_;        // one writer at a time
  mutable std::mutex mutex_;  // guards the pointer only, never held while anything is computed
  std::shared_ptr<const State> state_;
};

}  // namespace fovea::index
