#include "index/word_query.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

namespace fovea::index {
namespace {

/// A query has one "the" more often than not. They still decide among texts that are equal
/// otherwise, and where a query has no other word (Cranfield: 0 to 0.3 give the same ndcg@10, 1
/// gives less).
constexpr double kFunctionWordCount = 0.1;

/// A query of more words is prose, whose quotes are for emphasis.
constexpr std::size_t kWordsWithPhrasesMax = 20;

struct Quote {
  std::size_t begin = 0, end = 0;  // bytes
};

std::vector<Quote> quotes(std::string_view text) {
  static constexpr std::array<std::string_view, 6> kQuotes = {"\"", "“", "”", "„", "«", "»"};
  std::vector<Quote> found;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1;
    for (const auto quote : kQuotes) {
      if (!text.substr(at).starts_with(quote)) continue;
      length = quote.size();
      found.push_back({at, at + length});
      break;
    }
    at += length;
  }
  return found;
}

}  // namespace

WordQuery word_query(std::string_view text, Stemmer& stemmer) {
  WordQuery query;
  std::unordered_map<std::string, std::size_t> places;  // of stems in query.words
  std::size_t read = 0;
  const auto add = [&](std::string_view part, std::vector<std::string>* phrase) {
    for_each_word(part, [&](const FoldedWord& word) {
      std::string stem(stemmer.stem(word.folded));
      if (phrase != nullptr && read < WordQuery::kSequenceMax) phrase->push_back(stem);
      if (read++ < WordQuery::kSequenceMax) query.sequence.push_back(stem);
      const auto [place, is_new] = places.try_emplace(stem, query.words.size());
      if (is_new) query.words.push_back({std::move(stem)});
      WordQuery::Word& same = query.words[place->second];
      const bool function_word = stemmer.is_function_word(word.folded);
      same.count += function_word ? kFunctionWordCount : 1;
      same.function_word &= function_word;
      query.beginning.clear();
      query.beginning_stem.clear();
      const bool at_the_end = part.data() + word.end == text.data() + text.size();
      if (phrase != nullptr || !at_the_end) return;
      query.beginning = word.folded;
      query.beginning_stem = same.stem;
    });
  };
  const auto marks = quotes(text);
  std::size_t at = 0;
  for (std::size_t i = 0; i < marks.size(); ++i) {
    add(text.substr(at, marks[i].begin - at), nullptr);
    at = marks[i].end;
    if (i + 1 == marks.size()) break;  // no partner
    std::vector<std::string> phrase;
    add(text.substr(at, marks[i + 1].begin - at), &phrase);
    at = marks[++i].end;
    if (phrase.empty() || std::ranges::find(query.phrases, phrase) != query.phrases.end()) continue;
    query.phrases.push_back(std::move(phrase));
  }
  add(text.substr(at), nullptr);
  if (read > WordQuery::kSequenceMax) query.sequence.clear();
  if (read > kWordsWithPhrasesMax) query.phrases.clear();
  return query;
}

std::size_t edits(std::u32string_view a, std::u32string_view b, std::size_t most) {
  const auto difference = a.size() < b.size() ? b.size() - a.size() : a.size() - b.size();
  if (difference > most) return most + 1;
  std::vector<std::size_t> before;
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    std::size_t least = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
      least = std::min(least, row[j]);
    }
    if (least > most) return most + 1;
    before = std::exchange(last, row);
  }
  return std::min(last[b.size()], most + 1);
}

std::u32string letters(std::string_view utf8) {
  std::u32string result;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(utf8.data());
  for (std::size_t at = 0; at < utf8.size();) {
    utf8proc_int32_t c = 0;
    const auto read =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(utf8.size() - at), &c);
    if (read > 0) result.push_back(static_cast<char32_t>(c));
    at += read > 0 ? static_cast<std::size_t>(read) : 1;
  }
  return result;
}

}  // namespace fovea::index
