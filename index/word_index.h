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
  /// every phrase in quotes. Of a query of more than 64 distinct words those of the most weight
  /// count; one of more than 20 words has no phrases, one of more than 64 stands in no text as
  /// typed. A last word that no separator follows also stands, at half its weight, for what begins
  /// with it. Any bytes are a query.
  WordsFound search(std::string_view query, std::size_t k, const RowSet* allow = nullptr) const;

  /// Of the query's first eight words that no text has and that may be misspelt, those that a known
  /// one is near to: same first letter, one edit of a stem of three to seven letters, two of a
  /// longer one, the nearest in most texts. Never misspelt are function words, words with a digit,
  /// an unfinished last word that some word begins with, and where something stands in quotes all.
  std::vector<Correction> corrections(std::string_view query) const;

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
