// What a search by words takes: milliseconds of processor time a query of 3, 5 and 10 words of the
// generated shop, each word of some item's text, with and without a filter; what a put takes, and
// the memory; what queries take that were made to take long. One thread.
//
//   fovea_words [ITEMS]    200,000 without it
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/synthetic.h"
#include "index/word_index.h"
#include "index/word_matches.h"
#include "index/word_reader.h"

namespace {

using fovea::index::RowSet;
using fovea::index::WordIndex;

constexpr std::size_t kFound = 500;  // as many as are reranked
constexpr std::size_t kQueries = 500;
constexpr std::size_t kBatch = 4096;
constexpr std::size_t kQueryBytesMax = 8192;  // a request's, at most

/// Of this thread, so that other programs on the machine do not count.
double processor_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

struct Times {
  double p50 = 0, p99 = 0, most = 0;
};

template <typename Call>
Times measure(std::size_t calls, const Call& call) {
  std::vector<double> ms;
  for (std::size_t i = 0; i < calls; ++i) {
    const double start = processor_ms();
    call(i);
    ms.push_back(processor_ms() - start);
  }
  std::sort(ms.begin(), ms.end());
  return {ms[ms.size() / 2], ms[ms.size() * 99 / 100], ms.back()};
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  fovea::index::for_each_word(
      text, [&](const fovea::index::FoldedWord& word) { words.emplace_back(word.folded); });
  return words;
}

/// `next()` over and over, up to the length that a request's query may have.
template <typename Next>
std::string filled(const Next& next) {
  std::string query;
  for (std::string part = next(); query.size() + part.size() <= kQueryBytesMax; part = next()) {
    query += part;
  }
  return query;
}

/// Queries that were made to cost much, by what they are called.
std::vector<std::pair<std::string, std::string>> costly_queries(
    std::span<const std::string_view> texts, std::mt19937_64& random) {
  std::map<std::string, std::size_t> counts;
  for (const auto text : texts) {
    for (auto& word : words_of(text)) ++counts[std::move(word)];
  }
  std::vector<std::pair<std::size_t, std::string>> words;
  for (const auto& [word, count] : counts) words.emplace_back(count, word);
  std::sort(words.rbegin(), words.rend());
  const std::string& most = words.front().second;
  std::size_t n = 0;
  const auto next_word = [&] { return words[n++ % words.size()].second; };
  const auto any_text = [&] { return std::string(texts[random() % texts.size()]); };
  const auto misspelt = [&] {
    std::string word = next_word();
    return word.insert(word.size() / 2, "q") + " ";
  };
  return {
      {"one letter", most.substr(0, 1)},
      {"the commonest word", filled([&] { return most + " "; })},
      {"the same in quotes", '"' + filled([&] { return most + " "; }).substr(2) + '"'},
      {"it in quotes, over and over", filled([&] { return '"' + most + "\" "; })},
      {"common words, each in quotes", filled([&] { return '"' + next_word() + "\" "; })},
      {"pairs of common words so", filled([&] { return '"' + most + ' ' + next_word() + "\" "; })},
      {"texts", filled([&] { return any_text() + " "; })},
      {"texts, each in quotes", filled([&] { return '"' + any_text() + "\" "; })},
      {"misspelt words", filled(misspelt)},
      {"letters without a space", std::string(kQueryBytesMax, most[0])},
      {"quotes", std::string(kQueryBytesMax, '"')},
  };
}

/// As a request searches: with a look for what may be misspelt.
std::size_t searched(const WordIndex& index, const std::string& query) {
  return index.corrections(query).size() + index.search(query, kFound).rows.size();
}

void print(const char* what, const Times& times) {
  std::printf("%-28s %8.2f %8.2f %8.2f\n", what, times.p50, times.p99, times.most);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t items = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  if (items == 0) {
    std::fprintf(stderr, "fovea_words: a number of items is expected, not '%s'\n", argv[1]);
    return 2;
  }
  const auto shop = fovea::engine::synthetic_items({.items = items, .seed = 1});
  std::vector<std::uint32_t> rows;
  std::vector<std::string_view> texts;
  for (std::uint32_t row = 0; row < items; ++row) {
    rows.push_back(row);
    texts.push_back(*shop[row].text);
  }
  WordIndex index;
  const double start = processor_ms();
  for (std::size_t first = 0; first < items; first += kBatch) {
    const std::size_t n = std::min(kBatch, items - first);
    index.put(std::span(rows).subspan(first, n), std::span(texts).subspan(first, n));
  }
  std::printf("%zu items put in %.0f ms, %.1f MiB\n\n", items, processor_ms() - start,
              static_cast<double>(index.bytes()) / (1 << 20));

  std::mt19937_64 random(1);
  RowSet tenth(items);
  for (std::uint32_t row = 0; row < items; ++row) {
    if (random() % 10 == 0) tenth.insert(row);
  }
  std::printf("%-28s %8s %8s %8s\n", "ms of processor time", "p50", "p99", "most");
  std::size_t found = 0;
  for (const std::size_t words : {1, 3, 5, 10}) {
    std::vector<std::string> queries;
    for (std::size_t q = 0; q < kQueries; ++q) {
      std::vector<std::string> some;
      while (some.size() < words) {
        for (auto& word : words_of(texts[random() % items])) some.push_back(std::move(word));
      }
      std::shuffle(some.begin(), some.end(), random);
      std::string query;
      for (std::size_t w = 0; w < words; ++w) query += some[w] + " ";
      queries.push_back(std::move(query));
    }
    const auto name = std::to_string(words) + " words";
    print(name.c_str(), measure(kQueries, [&](std::size_t q) {
            found += index.search(queries[q], kFound).rows.size();
          }));
    print((name + ", a tenth allowed").c_str(), measure(kQueries, [&](std::size_t q) {
            found += index.search(queries[q], kFound, &tenth).rows.size();
          }));
    print((name + ", as a phrase").c_str(), measure(kQueries, [&](std::size_t q) {
            found += index.search("\"" + queries[q] + "\"", kFound).rows.size();
          }));
    // Without the separator behind it the last word may go on.
    print((name + ", last begun").c_str(), measure(kQueries, [&](std::size_t q) {
            const std::string_view query = queries[q];
            found += index.search(query.substr(0, query.size() - 2), kFound).rows.size();
          }));
  }
  print("misspelt", measure(100, [&](std::size_t q) {
          const auto words = words_of(texts[random() % items]);
          std::string word = words[q % words.size()];
          word.insert(word.size() / 2, "q");
          found += searched(index, word + " ");
        }));
  print("misspelt, of ten words", measure(100, [&](std::size_t) {
          const auto words = words_of(texts[random() % items]);
          std::string query;
          for (std::size_t w = 0; w < 10; ++w) query += words[w % words.size()] + " ";
          found += searched(index, query.insert(query.find(' ') - 1, "q"));
        }));
  print("put of one item", measure(items / 10, [&](std::size_t) {
          const std::uint32_t row = static_cast<std::uint32_t>(random() % items);
          index.put({&row, 1}, {&texts[random() % items], 1});
        }));
  std::printf("\nmade to cost much, of up to 8,192 bytes\n");
  for (const auto& [what, query] : costly_queries(texts, random)) {
    print(what.c_str(), measure(20, [&](std::size_t) { found += searched(index, query); }));
  }
  std::vector<std::string> searched;
  for (std::size_t i = 0; i < kQueries; ++i) {
    const auto words = words_of(texts[random() % items]);
    searched.push_back(words[0] + " " + words.back() + " ");
  }
  print("words told of an item", measure(kQueries, [&](std::size_t q) {
          fovea::index::WordMatches matches("english", searched[q]);
          found += matches.in(texts[random() % items]).size();
        }));
  return found == 0 ? 1 : 0;
}
