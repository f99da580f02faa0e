// What a query finds: words and vectors, fused, under one filter after the other; and what of it
// people are told. Owns which of the two is searched and what a misspelt query is searched for; how
// words are found is index/word_index's, how two lists become one engine/fusion's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/fusion.h"
#include "engine/pipeline.h"
#include "index/row_set.h"
#include "index/word_index.h"
#include "index/word_matches.h"

namespace fovea::engine {

/// What both searches found, each best first; one that weighs nothing finds nothing.
struct Found {
  index::WordsFound words;
  std::vector<index::Neighbour> vectors;
};

/// One query in one request, encoded once. One thread at a time; `snapshot` and `query` must
/// outlive it.
class QuerySearch {
 public:
  /// Where words are searched, those of the query that no text has and that are near to one that
  /// some text has are corrected, for words and vectors.
  QuerySearch(const Snapshot& snapshot, std::string_view query);

  /// Of the rows in `allowed` (null: all), most relevant first, at most n: the n first of words and
  /// of vectors, fused. What stands in quotes must be in the text, unless no text has it.
  std::vector<Relevant> find(std::size_t n, const index::RowSet* allowed);
  /// The same before they are fused.
  Found lists(std::size_t n, const index::RowSet* allowed);

  /// What is searched for in place of the query: as it was typed, but for the corrected words,
  /// which are written as a text has them. Absent: the query.
  const std::optional<std::string>& corrected() const { return corrected_; }
  /// Of what is searched for, the unit vector of its text [K]; empty where the version knows
  /// nothing of it, or there is none.
  std::span<const float> vector();

 private:
  bool searches_words() const {
    return snapshot_.searched != nullptr && snapshot_.fusion.words > 0;
  }
  void correct();
  std::string_view text() const { return corrected_ ? std::string_view(*corrected_) : query_; }

  const Snapshot& snapshot_;
  std::string_view query_;
  std::optional<std::string> corrected_;
  std::optional<std::vector<float>> vector_;  // absent: not encoded yet
};

/// What an explanation tells of a query, item by item. One thread at a time; `snapshot` and
/// `vector` must outlive it.
class QueryExplanation {
 public:
  /// `query` as it was searched for, with its vector or an empty one.
  QueryExplanation(const Snapshot& snapshot, std::string_view query, std::span<const float> vector);

  void tell(std::uint32_t row, Explanation& explanation);

 private:
  const Snapshot& snapshot_;
  std::span<const float> vector_;
  std::optional<index::WordMatches> matches_;  // absent: words are not searched
};

}  // namespace fovea::engine
