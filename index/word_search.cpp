#include "index/word_search.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace fovea::index {
namespace {

constexpr double kK1 = 1.2;
constexpr double kB = 0.75;
/// Bounds what one query costs.
constexpr std::size_t kWordsMax = 64;
constexpr std::size_t kBeginningWordsMax = 64;
/// Words of a segment that are looked at, by alphabet.
constexpr std::size_t kBeginningLookedAtMax = 5'000;
constexpr std::size_t kSpellingLookedAtMax = 20'000;
constexpr std::size_t kCorrectedMax = 8;
/// Of a stem. A shorter one is near to too many; two edits of fewer letters make of a word that is
/// right and that no text has another one (BENCHMARKS.md).
constexpr std::size_t kCorrectedLettersMin = 3;
constexpr std::size_t kTwoEditsLettersMin = 8;
constexpr double kBeginningWeight = 0.5;

/// Keeps the k best of what it is offered, unordered until they are asked for.
class Best {
 public:
  explicit Best(std::size_t k) : k_(k) {}

  void offer(const Neighbour& one) {
    if (full_ && !before(one, worst_)) return;
    kept_.push_back(one);
    if (kept_.size() >= 2 * k_ + 64) cut();
  }
  std::vector<Neighbour> take() {
    if (kept_.size() > k_) cut();
    std::ranges::sort(kept_, before);
    return std::move(kept_);
  }

 private:
  static bool before(const Neighbour& a, const Neighbour& b) {
    return a.score != b.score ? a.score > b.score : a.row < b.row;
  }
  void cut() {
    std::ranges::nth_element(kept_, kept_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), before);
    kept_.resize(k_);
    worst_ = kept_.back();
    full_ = true;
  }

  std::size_t k_;
  std::vector<Neighbour> kept_;
  Neighbour worst_;
  bool full_ = false;
};

/// The first place from `from` on whose document is not before this one, by steps that double.
std::size_t not_before(std::span<const std::uint32_t> documents, std::size_t from,
                       std::uint32_t document) {
  std::size_t step = 1;
  std::size_t to = from;
  while (to < documents.size() && documents[to] < document) {
    from = to + 1;
    to += step;
    step *= 2;
  }
  const auto part = documents.subspan(from, std::min(to, documents.size()) - from);
  return from + static_cast<std::size_t>(std::ranges::lower_bound(part, document) - part.begin());
}

/// Documents of one segment in which the words follow each other, of those in `among` (null: all),
/// which ascend.
std::vector<std::uint32_t> with_phrase(const WordSegment& segment,
                                       const std::vector<std::string>& phrase,
                                       const std::vector<std::uint32_t>* among) {
  std::vector<WordSegment::Postings> lists;  // of distinct words: one said often is looked up once
  std::vector<std::size_t> list_of;          // by place in the phrase
  std::map<std::string_view, std::size_t> known;
  for (const auto& word : phrase) {
    const auto [list, is_new] = known.try_emplace(word, lists.size());
    list_of.push_back(list->second);
    if (!is_new) continue;
    const auto w = segment.find(word);
    if (!w) return {};
    lists.push_back(segment.postings(*w));
  }
  std::vector<std::uint32_t> found;
  std::vector<std::size_t> at(lists.size());  // where each list is read: documents only ascend
  const auto shortest =
      std::ranges::min_element(lists, {}, [](const auto& list) { return list.documents.size(); });
  const std::span read = among != nullptr ? std::span(*among) : shortest->documents;
  std::vector<std::uint32_t> begins;
  for (const std::uint32_t document : read) {
    bool all = true;
    for (std::size_t i = 0; i < lists.size() && all; ++i) {
      at[i] = not_before(lists[i].documents, at[i], document);
      if (at[i] == lists[i].documents.size()) return found;
      all = lists[i].documents[at[i]] == document;
    }
    if (!all) continue;
    // The first word's positions that are still followed by all words so far.
    const auto first = segment.positions(lists[0], at[0]);
    begins.assign(first.begin(), first.end());
    for (std::size_t i = 1; i < list_of.size() && !begins.empty(); ++i) {
      const auto positions = segment.positions(lists[list_of[i]], at[list_of[i]]);
      std::erase_if(begins, [&](std::uint32_t begin) {
        return !std::ranges::binary_search(positions, begin + i);
      });
    }
    if (!begins.empty()) found.push_back(document);
  }
  return found;
}

/// Documents of one segment with every phrase.
std::vector<std::uint32_t> with_phrases(const WordSegment& segment,
                                        const std::vector<std::vector<std::string>>& phrases) {
  std::vector<std::uint32_t> documents = with_phrase(segment, phrases.front(), nullptr);
  for (std::size_t i = 1; i < phrases.size() && !documents.empty(); ++i) {
    documents = with_phrase(segment, phrases[i], &documents);
  }
  return documents;
}

std::string_view first_letter(std::string_view utf8) {
  std::size_t bytes = 1;
  while (bytes < utf8.size() && (static_cast<unsigned char>(utf8[bytes]) >> 6) == 2) ++bytes;
  return utf8.substr(0, bytes);
}

/// Adds what one word is worth to the documents that have it.
void add_scores(const WordSegment& segment, const WordSegment::Postings& postings, double weight,
                double mean_length, std::span<float> scores) {
  const auto lengths = segment.lengths();
  const auto all = static_cast<float>(weight * (kK1 + 1));
  const auto floor = static_cast<float>(kK1 * (1 - kB));
  const auto slope = static_cast<float>(kK1 * kB / mean_length);
  for (std::size_t i = 0; i < postings.documents.size(); ++i) {
    const std::uint32_t document = postings.documents[i];
    const auto count = static_cast<float>(postings.count(i));
    scores[document] +=
        all * count / (count + floor + slope * static_cast<float>(lengths[document]));
  }
}

}  // namespace

WordSearch::WordSearch(const std::vector<LiveSegment>& segments) : segments_(segments) {
  std::uint64_t length = 0;
  for (const auto& one : segments) {
    documents_ += one.segment->documents();
    length += one.segment->length();
  }
  if (length > 0) mean_length_ = static_cast<double>(length) / static_cast<double>(documents_);
}

WordSearch::Documents WordSearch::documents_with(std::string_view word) const {
  Documents with;
  for (const auto& one : segments_) {
    const auto w = one.segment->find(word);
    if (!w) continue;
    const auto documents = one.segment->postings(*w).documents;
    with.count += documents.size();
    for (std::size_t i = 0; !with.row && i < documents.size(); ++i) {
      if (one.gone && one.gone->contains(documents[i])) continue;
      with.row = one.segment->row(documents[i]);
    }
  }
  return with;
}

double WordSearch::idf(std::size_t documents) const {
  const auto n = static_cast<double>(std::min(documents, documents_));
  return std::log(1 + (static_cast<double>(documents_) - n + 0.5) / (n + 0.5));
}

std::vector<WeighedWord> WordSearch::known(const WordQuery& query) const {
  std::vector<WeighedWord> words;
  for (const auto& word : query.words) {
    const Documents documents = documents_with(word.stem);
    if (!documents.row) continue;
    words.push_back({word.stem, word.count, idf(documents.count)});
  }
  if (words.size() > kWordsMax) {
    std::ranges::stable_sort(words, std::ranges::greater{},
                             [](const WeighedWord& word) { return word.weight * word.idf; });
    words.resize(kWordsMax);
  }
  if (!query.beginning.empty()) add_beginning(query.beginning, words);
  return words;
}

void WordSearch::add_beginning(std::string_view beginning, std::vector<WeighedWord>& words) const {
  std::map<std::string_view, std::size_t> documents;
  for (const auto& one : segments_) {
    const WordSegment& segment = *one.segment;
    const std::uint32_t first = segment.lower_bound(beginning);
    for (std::uint32_t w = first; w < segment.words() && w - first < kBeginningLookedAtMax; ++w) {
      if (!segment.word(w).starts_with(beginning)) break;
      documents[segment.word(w)] += segment.postings(w).documents.size();
    }
  }
  for (const auto& word : words) documents.erase(word.word);
  std::vector<std::pair<std::string_view, std::size_t>> most(documents.begin(), documents.end());
  std::ranges::stable_sort(most, std::ranges::greater{},
                           [](const auto& one) { return one.second; });
  if (most.size() > kBeginningWordsMax) most.resize(kBeginningWordsMax);
  std::erase_if(most, [&](const auto& one) { return !documents_with(one.first).row; });
  // What begins with it is one word that is not yet finished: a rare ending is no better than a
  // common one.
  std::size_t together = 0;
  for (const auto& [word, n] : most) together += n;
  for (const auto& [word, n] : most) {
    words.push_back({std::string(word), kBeginningWeight, idf(together)});
  }
}

bool WordSearch::knows(const WordQuery& query, const WordQuery::Word& word) const {
  if (documents_with(word.stem).row) return true;
  if (word.stem != query.beginning_stem) return false;
  std::vector<WeighedWord> begun;
  add_beginning(query.beginning, begun);
  return !begun.empty();
}

std::vector<Correction> WordSearch::corrections(const WordQuery& query) const {
  std::vector<Correction> corrections;
  if (!query.phrases.empty()) return corrections;  // a quote is meant as it is
  std::size_t looked_for = 0;
  for (const auto& word : query.words) {
    // A number or a code that is one character off is another one.
    if (word.function_word || word.stem.find_first_of("0123456789") != std::string::npos) continue;
    if (letters(word.stem).size() < kCorrectedLettersMin || knows(query, word)) continue;
    if (looked_for++ == kCorrectedMax) break;
    if (auto near = nearest(word.stem)) corrections.push_back(std::move(*near));
  }
  return corrections;
}

std::optional<Correction> WordSearch::nearest(const std::string& stem) const {
  const std::u32string wanted = letters(stem);
  const std::size_t most = wanted.size() < kTwoEditsLettersMin ? 1 : 2;
  const auto letter = first_letter(stem);
  std::size_t best_edits = 0;
  Documents best;  // with a row once there is one
  std::string_view word;
  for (const auto& one : segments_) {
    const WordSegment& segment = *one.segment;
    const std::uint32_t begin = segment.lower_bound(letter);
    for (std::uint32_t w = begin; w < segment.words() && w - begin < kSpellingLookedAtMax; ++w) {
      if (!segment.word(w).starts_with(letter)) break;
      const std::size_t needed = edits(wanted, letters(segment.word(w)), most);
      if (needed > most || (best.row && needed > best_edits)) continue;
      const Documents documents = documents_with(segment.word(w));
      if (!documents.row) continue;
      const bool better = !best.row || needed < best_edits || documents.count > best.count ||
                          (documents.count == best.count && segment.word(w) < word);
      if (!better) continue;
      best_edits = needed;
      best = documents;
      word = segment.word(w);
    }
  }
  if (!best.row) return std::nullopt;
  return Correction{stem, std::string(word), *best.row};
}

std::vector<Neighbour> WordSearch::best(const std::vector<WeighedWord>& words,
                                        const std::vector<std::vector<std::string>>& phrases,
                                        std::size_t k, const RowSet* allow) const {
  if (k == 0 || words.empty()) return {};
  Best best(k);
  std::vector<float> scores;
  for (const auto& one : segments_) {
    const WordSegment& segment = *one.segment;
    const auto offer = [&](std::uint32_t document) {
      if (scores[document] <= 0) return;
      if (one.gone && one.gone->contains(document)) return;
      const std::uint32_t row = segment.row(document);
      if (allow == nullptr || allow->contains(row)) best.offer({row, scores[document]});
    };
    std::vector<std::uint32_t> only;
    if (!phrases.empty()) {
      only = with_phrases(segment, phrases);
      if (only.empty()) continue;
    }
    // Word after word, whatever the segments are: the same sums in the same order.
    scores.assign(segment.documents(), 0);
    for (const auto& word : words) {
      if (const auto w = segment.find(word.word)) {
        add_scores(segment, segment.postings(*w), word.weight * word.idf, mean_length_, scores);
      }
    }
    if (!phrases.empty()) {
      for (const std::uint32_t document : only) offer(document);
      continue;
    }
    for (std::uint32_t document = 0; document < scores.size(); ++document) offer(document);
  }
  return best.take();
}

}  // namespace fovea::index
