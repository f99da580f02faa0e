// Texts and queries of any bytes: what a word index finds through puts and removals is what a plain
// model of the texts says, score by score. The first byte chooses the language. Each line is a
// call, its first character which one:
//   pR TEXT   puts a text at row R, a character
//   xR        removes it
//   qF QUERY  searches; of F, a character, even: all rows are allowed, odd: those it divides
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "index/row_set.h"
#include "index/word_index.h"
#include "index/word_matches.h"
#include "index/word_query.h"
#include "index/word_reader.h"

using namespace fovea::index;

namespace {

constexpr std::size_t kRows = 256;
constexpr std::size_t kWordsMax = 64;  // of a query that count, and of what a last word begins
constexpr std::size_t kCorrectedMax = 8;
using Stems = std::vector<std::string>;

void check(bool holds) {
  if (!holds) std::abort();
}

bool has_phrase(const Stems& text, const Stems& phrase) {
  return !std::ranges::search(text, phrase).empty();
}

class Model {
 public:
  explicit Model(const std::string& language) : stemmer_(language) {}

  void put(std::uint32_t row, std::string_view text) {
    Stems stems;
    for_each_word(text, [&](const FoldedWord& word) {
      check(word.begin < word.end && word.end <= text.size() && !word.folded.empty());
      stems.emplace_back(stemmer_.stem(word.folded));
    });
    remove(row);
    texts_[row] = text;
    if (!stems.empty()) stems_[row] = std::move(stems);
  }
  void remove(std::uint32_t row) {
    stems_.erase(row);
    texts_.erase(row);
  }
  WordQuery read(std::string_view query) { return word_query(query, stemmer_); }
  std::size_t size() const { return stems_.size(); }
  const Stems& stems(std::uint32_t row) const { return stems_.at(row); }
  const std::string& text(std::uint32_t row) const { return texts_.at(row); }

  struct Word {
    std::string stem;
    double weight = 0;  // times its idf
  };
  /// What a query looks up; empty where no text has any of it.
  std::vector<Word> known(const WordQuery& query) const {
    std::vector<Word> words;
    std::set<std::string> typed;
    for (const auto& word : query.words) {
      if (with(word.stem) == 0) continue;
      words.push_back({word.stem, static_cast<double>(word.count) * idf(with(word.stem))});
      typed.insert(word.stem);
    }
    std::set<std::string> begun;
    std::size_t together = 0;
    for (const auto& [row, stems] : stems_) {
      for (const auto& stem : std::set(stems.begin(), stems.end())) {
        if (query.beginning.empty() || !stem.starts_with(query.beginning)) continue;
        if (typed.contains(stem)) continue;
        begun.insert(stem);
        ++together;
      }
    }
    for (const auto& stem : begun) words.push_back({stem, 0.5 * idf(together)});
    return words;
  }

  std::map<std::uint32_t, double> find(const std::vector<Word>& words,
                                       const std::vector<Stems>& phrases,
                                       const RowSet* allow) const {
    double length = 0;
    for (const auto& [row, stems] : stems_) length += static_cast<double>(stems.size());
    const double mean = length / static_cast<double>(stems_.size());
    std::map<std::uint32_t, double> found;
    for (const auto& [row, stems] : stems_) {
      if (allow != nullptr && !allow->contains(row)) continue;
      if (!std::ranges::all_of(phrases, [&](const auto& one) { return has_phrase(stems, one); })) {
        continue;
      }
      double score = 0;
      for (const auto& word : words) {
        const auto count = static_cast<double>(std::ranges::count(stems, word.stem));
        const double relative = static_cast<double>(stems.size()) / mean;
        score += word.weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * relative));
      }
      if (score > 0) found[row] = score;
    }
    return found;
  }

  bool knows(const WordQuery& query, const std::string& stem) const {
    if (with(stem) > 0) return true;
    return stem == query.beginning_stem && std::ranges::any_of(stems_, [&](const auto& text) {
             return std::ranges::any_of(text.second, [&](const std::string& one) {
               return one.starts_with(query.beginning);
             });
           });
  }
  /// Of the known stems with the same first letter.
  std::optional<std::string> nearest(const std::string& stem) const {
    const auto wanted = letters(stem);
    const std::size_t most = wanted.size() < 8 ? 1 : 2;
    std::set<std::tuple<std::size_t, std::size_t, std::string>> near;  // edits, texts without it
    for (const auto& [row, stems] : stems_) {
      for (const auto& one : stems) {
        const auto there = letters(one);
        if (there.empty() || there[0] != wanted[0]) continue;
        const std::size_t needed = edits(wanted, there, most);
        if (needed <= most) near.emplace(needed, stems_.size() - with(one), one);
      }
    }
    if (near.empty()) return std::nullopt;
    return std::get<2>(*near.begin());
  }

 private:
  std::size_t with(const std::string& stem) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        stems_, [&](const auto& one) { return std::ranges::count(one.second, stem) > 0; }));
  }
  double idf(std::size_t documents) const {
    const auto of = static_cast<double>(stems_.size());
    const auto n = std::min(static_cast<double>(documents), of);
    return std::log(1 + (of - n + 0.5) / (n + 0.5));
  }

  Stemmer stemmer_;
  std::map<std::uint32_t, std::string> texts_;
  std::map<std::uint32_t, Stems> stems_;  // of texts with a word
};

void check_found(const Model& model, const WordQuery& query, const std::vector<Model::Word>& words,
                 const WordsFound& found, const RowSet* allow) {
  const auto expected = model.find(words, query.phrases, allow);
  const bool whole = words.size() <= kWordsMax;  // otherwise the rarest or most frequent count
  check(whole ? found.rows.size() == expected.size() : found.rows.size() <= expected.size());
  for (const auto& one : found.rows) {
    const auto same = expected.find(one.row);
    check(same != expected.end());
    if (whole) check(std::abs(one.score - same->second) <= 1e-4 * same->second);
  }
  for (const auto& one : found.rows) {
    const bool exact = std::ranges::count(found.exact, one.row) > 0;
    check(exact == (!query.sequence.empty() && has_phrase(model.stems(one.row), query.sequence)));
  }
}

bool may_be_misspelt(const WordQuery::Word& word) {
  return !word.function_word && letters(word.stem).size() >= 3 &&
         std::ranges::none_of(word.stem, [](char c) { return c >= '0' && c <= '9'; });
}

void check_corrections(const Model& model, const WordQuery& query, std::string_view typed,
                       const WordIndex& index) {
  const auto corrections = index.corrections(typed);
  auto next = corrections.begin();
  std::size_t unknown = 0;
  std::map<std::string, std::string> spellings;
  for (const auto& word : query.words) {
    if (!query.phrases.empty() || unknown == kCorrectedMax) break;
    if (!may_be_misspelt(word) || model.knows(query, word.stem)) continue;
    ++unknown;
    const auto near = model.nearest(word.stem);
    if (!near) continue;
    check(next != corrections.end() && next->typed == word.stem && next->stem == *near);
    check(std::ranges::count(model.stems(next->row), *near) > 0);
    const std::string told = spelling(model.text(next->row), *near, index.language());
    check(told == *near || model.text(next->row).find(told) != std::string::npos);
    spellings[word.stem] = told;
    ++next;
  }
  check(next == corrections.end());
  const std::string searched = respelt(typed, spellings, index.language());
  if (spellings.empty()) check(searched == typed);
  index.search(searched, kRows);
}

void search(const WordIndex& index, Model& model, char filter, std::string_view text) {
  RowSet allow(kRows);
  const auto divisor = static_cast<unsigned char>(filter);
  const bool filtered = divisor % 2 == 1;
  for (std::uint32_t row = 0; filtered && row < kRows; row += divisor) allow.insert(row);
  const RowSet* allowed = filtered ? &allow : nullptr;

  const WordsFound found = index.search(text, kRows, allowed);
  for (std::size_t i = 0; i < found.rows.size(); ++i) {
    check(std::isfinite(found.rows[i].score) && found.rows[i].score > 0);
    if (i == 0) continue;
    const auto& before = found.rows[i - 1];
    check(before.score > found.rows[i].score ||
          (before.score == found.rows[i].score && before.row < found.rows[i].row));
  }
  const WordQuery query = model.read(text);
  check(found.phrases == !query.phrases.empty());
  check_found(model, query, model.known(query), found, allowed);
  check_corrections(model, query, text, index);
  const auto first = index.search(text, 1, allowed);
  check(first.rows.size() == std::min<std::size_t>(1, found.rows.size()));
  if (!first.rows.empty()) check(first.rows[0].row == found.rows[0].row);

  WordMatches matches(index.language(), text);
  for (const auto& one : found.rows) {
    const std::string& of = model.text(one.row);
    const auto told = matches.in(of);
    check(told.size() <= kToldWordsMax);
    check(std::set(told.begin(), told.end()).size() == told.size());
    for (const auto& word : told) check(of.find(word) != std::string::npos);
    if (of.size() <= kToldBytesMax) check(!told.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::string> kLanguages = stemmer_languages();
  if (size == 0) return 0;
  const std::string& language = kLanguages[data[0] % kLanguages.size()];
  WordIndex index(language);
  Model model(language);
  std::string_view lines(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    if (line.size() < 2) continue;
    const std::uint32_t row = static_cast<unsigned char>(line[1]);
    const std::string_view text = line.substr(std::min<std::size_t>(3, line.size()));
    if (line[0] == 'p') {
      index.put({&row, 1}, {&text, 1});
      model.put(row, text);
    } else if (line[0] == 'x') {
      index.remove({&row, 1});
      model.remove(row);
    } else if (line[0] == 'q') {
      search(index, model, line[1], text);
    }
    check(index.size() == model.size());
  }
  return 0;
}
