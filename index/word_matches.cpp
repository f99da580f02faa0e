#include "index/word_matches.h"

#include <algorithm>
#include <utility>

#include "index/word_query.h"

namespace fovea::index {

WordMatches::WordMatches(const std::string& language, std::string_view query) : stemmer_(language) {
  WordQuery read = word_query(query, stemmer_);
  // Function words, which count less than one word, are told where there is nothing else to tell.
  const auto says_much = [](const WordQuery::Word& word) { return word.count >= 1; };
  const bool any = std::ranges::any_of(read.words, says_much);
  for (auto& word : read.words) {
    if (!any || says_much(word)) stems_.insert(std::move(word.stem));
  }
  beginning_ = std::move(read.beginning);
}

std::vector<std::string> WordMatches::in(std::string_view text) {
  std::vector<std::string> words;
  std::unordered_set<std::string_view> known;
  for_each_word(text, [&](const FoldedWord& word) {
    const std::string_view here = text.substr(word.begin, word.end - word.begin);
    if (words.size() == kToldWordsMax || here.size() > kToldBytesMax) return;
    const std::string stem(stemmer_.stem(word.folded));
    const bool begun = !beginning_.empty() && stem.starts_with(beginning_);
    if (!begun && !stems_.contains(stem)) return;
    if (known.insert(here).second) words.emplace_back(here);
  });
  return words;
}

std::string spelling(std::string_view text, std::string_view stem, const std::string& language) {
  Stemmer stemmer(language);
  std::string_view found;
  for_each_word(text, [&](const FoldedWord& word) {
    if (!found.empty() || word.end - word.begin > kToldBytesMax) return;
    if (stemmer.stem(word.folded) == stem) found = text.substr(word.begin, word.end - word.begin);
  });
  return std::string(found.empty() ? stem : found);
}

}  // namespace fovea::index
