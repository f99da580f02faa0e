#include "engine/query_search.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "engine/searched_text.h"

namespace fovea::engine {

QuerySearch::QuerySearch(const Snapshot& snapshot, std::string_view query)
    : snapshot_(snapshot), query_(query) {
  if (searches_words()) correct();
}

std::vector<Relevant> QuerySearch::find(std::size_t n, const index::RowSet* allowed) {
  const Found found = lists(n, allowed);
  return fuse(found.words.rows, found.vectors, found.words.exact, snapshot_.fusion, n);
}

Found QuerySearch::lists(std::size_t n, const index::RowSet* allowed) {
  index::WordsFound words;
  if (searches_words()) words = snapshot_.searched->words().search(text(), n, allowed);
  std::vector<index::Neighbour> vectors;
  const bool in_quotes = words.phrases && !words.rows.empty();
  if (snapshot_.fusion.vectors > 0 && !in_quotes && !vector().empty()) {
    const auto& texts = snapshot_.model->text_index();
    vectors = snapshot_.exact_search ? texts.search_exact(vector(), n, allowed)
                                     : texts.search(vector(), n, allowed);
  }
  return {std::move(words), std::move(vectors)};
}

void QuerySearch::correct() {
  const index::WordIndex& index = snapshot_.searched->words();
  std::map<std::string, std::string> spellings;  // by stem
  for (const auto& word : index.corrections(query_)) {
    const auto item = snapshot_.db->catalog().get(word.row);
    if (!item) continue;  // it went meanwhile
    spellings[word.typed] =
        index::spelling(snapshot_.searched->text_of(*item), word.stem, index.language());
  }
  if (!spellings.empty()) corrected_ = index::respelt(query_, spellings, index.language());
}

std::span<const float> QuerySearch::vector() {
  if (!vector_) {
    vector_.emplace();
    if (snapshot_.model) {
      vector_->resize(snapshot_.model->text_space().width());
      if (!snapshot_.model->text_space().encode({text(), {}}, *vector_)) vector_->clear();
    }
  }
  return *vector_;
}

std::vector<Relevant> search(const Snapshot& snapshot, std::string_view query, std::size_t n,
                             const index::RowSet* allowed) {
  return QuerySearch(snapshot, query).find(n, allowed);
}

QueryExplanation::QueryExplanation(const Snapshot& snapshot, std::string_view query,
                                   std::span<const float> vector)
    : snapshot_(snapshot), vector_(vector) {
  if (snapshot.searched == nullptr || snapshot.fusion.words <= 0) return;
  matches_.emplace(snapshot.searched->words().language(), query);
}

void QueryExplanation::tell(std::uint32_t row, Explanation& explanation) {
  auto& words = explanation.matched_words.emplace();
  if (matches_) {
    if (const auto item = snapshot_.db->catalog().get(row)) {
      words = matches_->in(snapshot_.searched->text_of(*item));
    }
  }
  if (vector_.empty()) return;
  const std::vector<float> text = snapshot_.model->vectors().gather({&row, 1}).texts;
  if (std::ranges::all_of(text, [](float x) { return x == 0; })) return;  // it says nothing
  explanation.similarity = std::inner_product(text.begin(), text.end(), vector_.begin(), 0.0);
}

}  // namespace fovea::engine
