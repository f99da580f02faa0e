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
  QuerySearch(const Snapshot& snapshot, std::string_view query)
      : snapshot_(snapshot), query_(query) {}

  /// Of the rows in `allowed` (null: all), most relevant first, at most n: the n first of words and
  /// of vectors, fused. What stands in quotes must be in the text, unless no text has it. Where no
  /// text has any of the query's words, both search for the nearest that are known.
  std::vector<Relevant> find(std::size_t n, const index::RowSet* allowed);
  /// The same before they are fused.
  Found lists(std::size_t n, const index::RowSet* allowed);

  /// What find() searched for in place of the query, as it stands in texts; absent: the query.
  const std::optional<std::string>& corrected() const { return corrected_; }
  /// Of what is searched for, the unit vector of its text [K]; empty where the version knows
  /// nothing of it, or there is none.
  std::span<const float> vector();

 private:
  void correct(const index::WordsFound& words);

  const Snapshot& snapshot_;
  std::string_view query_;
  bool searched_ = false;
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
