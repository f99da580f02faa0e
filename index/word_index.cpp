#include "index/word_index.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "index/word_search.h"

namespace fovea::index {
namespace {

/// A segment is made anew when one of so many documents of it is gone.
constexpr std::size_t kGoneShare = 20;
/// Smaller ones whenever anything of them is: that costs less than a millisecond.
constexpr std::size_t kSmall = 1024;

bool to_be_made_anew(const LiveSegment& one) {
  const std::size_t documents = one.segment->documents();
  return one.gone_count > 0 && (documents <= kSmall || one.gone_count * kGoneShare > documents);
}

LiveSegment merged(std::span<const LiveSegment> segments) {
  std::vector<WordSegment::Part> parts;
  parts.reserve(segments.size());
  for (const auto& one : segments) parts.push_back({one.segment.get(), one.gone.get()});
  return {WordSegment::merged(parts), nullptr, 0};
}

}  // namespace

struct WordIndex::State {
  std::vector<LiveSegment> segments;  // each more than twice as large as the next
};

WordIndex::WordIndex(std::string language)
    : language_(std::move(language)), state_(std::make_shared<const State>()) {
  const Stemmer known(language_);  // throws
}

WordIndex::~WordIndex() = default;

std::shared_ptr<const WordIndex::State> WordIndex::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void WordIndex::put(std::span<const std::uint32_t> rows, std::span<const std::string_view> texts) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return rows[i]; });
  std::vector<WordSegment::Document> documents;
  Stemmer stemmer(language_);
  for (std::size_t o = 0; o < order.size(); ++o) {
    if (o + 1 < order.size() && rows[order[o]] == rows[order[o + 1]]) continue;
    WordSegment::Document document{rows[order[o]], {}};
    for_each_word(texts[order[o]], [&](const FoldedWord& word) {
      if (document.words.size() == WordSegment::kWordsMax) return;
      document.words.emplace_back(stemmer.stem(word.folded));
    });
    if (!document.words.empty()) documents.push_back(std::move(document));
  }
  const std::lock_guard writing(writing_);
  change(rows, WordSegment::of(documents));
}

void WordIndex::remove(std::span<const std::uint32_t> rows) {
  const std::lock_guard writing(writing_);
  change(rows, nullptr);
}

void WordIndex::change(std::span<const std::uint32_t> gone,
                       std::shared_ptr<const WordSegment> fresh) {
  auto next = std::make_shared<State>(*state());
  auto& segments = next->segments;
  for (LiveSegment& one : segments) {
    std::shared_ptr<RowSet> changed;
    for (const std::uint32_t row : gone) {
      const auto document = one.segment->document(row);
      const RowSet* now = changed ? changed.get() : one.gone.get();
      if (!document || (now != nullptr && now->contains(*document))) continue;
      if (!changed) {
        changed = one.gone ? std::make_shared<RowSet>(*one.gone)
                           : std::make_shared<RowSet>(one.segment->documents());
      }
      changed->insert(*document);
      ++one.gone_count;
    }
    if (changed) one.gone = std::move(changed);
    if (to_be_made_anew(one)) one = merged({&one, 1});
  }
  if (fresh) segments.push_back({std::move(fresh), nullptr, 0});
  std::erase_if(segments, [](const LiveSegment& one) { return one.segment->documents() == 0; });
  // From the end: as long as one is at most twice as large as all behind it together.
  std::ranges::stable_sort(segments, std::ranges::greater{},
                           [](const LiveSegment& one) { return one.segment->documents(); });
  std::size_t first = segments.size();
  std::size_t behind = 0;
  while (first > 0 && (behind == 0 || segments[first - 1].segment->documents() <= 2 * behind)) {
    behind += segments[--first].segment->documents();
  }
  if (segments.size() - first > 1) {
    const LiveSegment one = merged(std::span(segments).subspan(first));
    segments.resize(first);
    segments.push_back(one);
  }
  const std::lock_guard lock(mutex_);
  state_ = std::move(next);
}

WordsFound WordIndex::search(std::string_view text, std::size_t k, const RowSet* allow) const {
  Stemmer stemmer(language_);
  const WordQuery query = word_query(text, stemmer);
  const auto state = this->state();
  const WordSearch search(state->segments);
  WordsFound found;
  found.phrases = !query.phrases.empty();
  const auto words = search.known(query);
  found.rows = search.best(words, query.phrases, k, allow);
  if (found.rows.empty() || query.sequence.empty()) return found;
  std::vector<std::vector<std::string>> phrases = query.phrases;
  phrases.push_back(query.sequence);
  for (const auto& exact : search.best(words, phrases, k, allow)) {
    found.exact.push_back(exact.row);
  }
  return found;
}

std::vector<Correction> WordIndex::corrections(std::string_view text) const {
  Stemmer stemmer(language_);
  const auto state = this->state();
  return WordSearch(state->segments).corrections(word_query(text, stemmer));
}

std::size_t WordIndex::size() const {
  std::size_t sum = 0;
  const auto state = this->state();
  for (const auto& one : state->segments) sum += one.segment->documents() - one.gone_count;
  return sum;
}

std::size_t WordIndex::bytes() const {
  std::size_t sum = 0;
  const auto state = this->state();
  for (const auto& one : state->segments) sum += one.segment->bytes();
  return sum;
}

}  // namespace fovea::index
