#include "index/word_matches.h"

#include <utility>

#include "index/word_query.h"

namespace fovea::index {

WordMatches::WordMatches(const std::string& language, std::string_view query) : stemmer_(language) {
  WordQuery read = word_query(query, stemmer_);
  for (auto& word : read.words) {
    (word.function_word ? function_stems_ : stems_).insert(std::move(word.stem));
  }
  beginning_ = std::move(read.beginning);
}

std::vector<std::string> WordMatches::in(std::string_view text) {
  std::vector<std::string> words;
  std::vector<std::string> function_words;
  std::unordered_set<std::string_view> known;
  for_each_word(text, [&](const FoldedWord& word) {
    const std::string_view here = text.substr(word.begin, word.end - word.begin);
    if (words.size() == kToldWordsMax || here.size() > kToldBytesMax) return;
    const std::string stem(stemmer_.stem(word.folded));
    const bool begun = !beginning_.empty() && stem.starts_with(beginning_);
    const bool function = function_stems_.contains(stem);
    if (!begun && !function && !stems_.contains(stem)) return;
    auto& told = function ? function_words : words;
    if (told.size() < kToldWordsMax && known.insert(here).second) told.emplace_back(here);
  });
  return words.empty() ? function_words : words;
}

std::string respelt(std::string_view query, const std::map<std::string, std::string>& spellings,
                    const std::string& language) {
  Stemmer stemmer(language);
  std::string result;
  std::size_t copied = 0;  // bytes of the query
  for_each_word(query, [&](const FoldedWord& word) {
    const auto spelt = spellings.find(std::string(stemmer.stem(word.folded)));
    if (spelt == spellings.end()) return;
    result += query.substr(copied, word.begin - copied);
    result += spelt->second;
    copied = word.end;
  });
  result += query.substr(copied);
  return result;
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
