// What of an item is searched by words: its text and the attributes that were chosen for it. Keeps
// an index of them in step with the catalogue; how words are found is index/word_index's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/fusion.h"
#include "index/word_index.h"
#include "storage/catalog.h"

namespace fovea::engine {

struct SearchOptions {
  /// Whose word endings are taken off, of index::stemmer_languages(); "none": none are.
  std::string language = "english";
  /// Attributes whose texts are searched behind an item's own; empty: the text alone.
  std::vector<std::string> attributes;
  FusionWeights weights;
  /// How much more those behaviours of the user count in attention that have to do with the query:
  /// exp() of this times the cosine of the two texts (ranking/query_bias). 0: as without a query.
  /// Small, since up to 4 it neither helped nor harmed where it was measured (BENCHMARKS.md).
  double query_attention = 1;
};

/// Thread-safe. Puts and removals of the same item are ordered by the caller.
class SearchedText {
 public:
  /// Throws std::invalid_argument for a language without stems.
  explicit SearchedText(const SearchOptions& options)
      : attributes_(options.attributes), words_(options.language) {}

  /// One item for each row; of a row given twice the last counts.
  void put(std::span<const std::uint32_t> rows, std::span<const storage::Item* const> items);
  void remove(std::span<const std::uint32_t> rows) { words_.remove(rows); }

  const index::WordIndex& words() const { return words_; }
  /// What of an item is searched: its text, and behind it the attributes', a line each.
  std::string text_of(const storage::Item& item) const;

 private:
  std::vector<std::string> attributes_;
  index::WordIndex words_;
};

/// Every present item of the catalogue.
void put_all(const storage::Catalog& catalog, SearchedText& text);

}  // namespace fovea::engine
