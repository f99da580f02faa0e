// One search over the segments of a word index, which it is given: BM25, phrases, beginnings,
// spelling. Knows nothing of writers.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/row_set.h"
#include "index/vector_index.h"
#include "index/word_query.h"
#include "index/word_segment.h"

namespace fovea::index {

struct LiveSegment {
  std::shared_ptr<const WordSegment> segment;
  std::shared_ptr<const RowSet> gone;  ///< Documents that do not count; null: none.
  std::size_t gone_count = 0;
};

/// What is looked up, with what it weighs.
struct WeighedWord {
  std::string word;
  double weight = 0;  ///< Of its idf; repeats in the query, a half for a beginning.
  double idf = 0;
};

/// Reads segments that must outlive it. One thread at a time.
class WordSearch {
 public:
  explicit WordSearch(const std::vector<LiveSegment>& segments);

  /// The query's words that some text has, at most 64, those of the most weight; and what the last
  /// one begins.
  std::vector<WeighedWord> known(const WordQuery& query) const;
  /// As WordIndex::corrections().
  std::vector<Correction> corrections(const WordQuery& query) const;

  std::vector<Neighbour> best(const std::vector<WeighedWord>& words,
                              const std::vector<std::vector<std::string>>& phrases, std::size_t k,
                              const RowSet* allow) const;

 private:
  struct Documents {
    std::size_t count = 0;             ///< Also of those that are gone.
    std::optional<std::uint32_t> row;  ///< Of one that is not; absent: none has the word any more.
  };
  Documents documents_with(std::string_view word) const;
  double idf(std::size_t documents) const;
  void add_beginning(std::string_view beginning, std::vector<WeighedWord>& words) const;
  bool knows(const WordQuery& query, const WordQuery::Word& word) const;
  std::optional<Correction> nearest(const std::string& stem) const;

  const std::vector<LiveSegment>& segments_;
  std::size_t documents_ = 0;
  double mean_length_ = 1;
};

}  // namespace fovea::index
