// Columns, and what of an explanation fits into a line.
#include "api/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "api/client.h"

namespace fovea::api {
namespace {

constexpr std::size_t kTitleColumns = 48;
constexpr std::size_t kIdColumns = 24;
constexpr std::size_t kShortTitleColumns = 28;
constexpr std::size_t kBehavioursShown = 3;
constexpr std::size_t kPartsShown = 4;
constexpr std::size_t kWordsShown = 8;
constexpr std::size_t kQueryColumns = 80;
constexpr std::size_t kIdsPerCall = 1000;

std::string title_of(const std::string& item_id, const std::map<std::string, std::string>& titles,
                     std::size_t columns) {
  const auto found = titles.find(item_id);
  return cut(found == titles.end() ? item_id : found->second, columns);
}

std::string describe(const Attention& behaviour, const std::map<std::string, std::string>& titles) {
  return fmt::format("{} '{}' {:.0f} %", cut(behaviour.action, kIdColumns),
                     title_of(behaviour.item_id, titles, kShortTitleColumns),
                     100 * behaviour.weight);
}

std::vector<std::pair<std::string, double>> largest_parts(const Explanation& explanation) {
  std::vector<std::pair<std::string, double>> parts(explanation.parts.begin(),
                                                    explanation.parts.end());
  std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
    return std::pair(-std::abs(a.second), a.first) < std::pair(-std::abs(b.second), b.first);
  });
  if (parts.size() > kPartsShown) parts.resize(kPartsShown);
  return parts;
}

/// What the item is to the query; empty where there is none.
std::string describe_match(const Explanation& explanation) {
  std::string line;
  if (explanation.__isset.matched_words) {
    line = explanation.matched_words.empty() ? "has no word of the query" : "has";
    for (std::size_t i = 0; i < explanation.matched_words.size(); ++i) {
      if (i == kWordsShown) {
        line += fmt::format(" and {} more", explanation.matched_words.size() - i);
        break;
      }
      line += fmt::format("{} '{}'", i > 0 ? "," : "",
                          cut(explanation.matched_words[i], kShortTitleColumns));
    }
  }
  if (explanation.__isset.similarity) {
    line += fmt::format("{}similarity {:.3f}", line.empty() ? "" : ", ", explanation.similarity);
  }
  return line;
}

void print_why(std::ostream& out, const Explanation& explanation,
               const std::map<std::string, std::string>& titles) {
  constexpr const char* kIndent = "      ";
  if (!explanation.attention.empty()) {
    std::string line;
    const std::size_t most = std::min(kBehavioursShown, explanation.attention.size());
    for (std::size_t i = 0; i < most; ++i) {
      line += (i > 0 ? ", " : "") + describe(explanation.attention[i], titles);
    }
    out << kIndent << "because of " << line << '\n';
  }
  if (!explanation.parts.empty()) {
    std::string line;
    for (const auto& [name, value] : largest_parts(explanation)) {
      line += fmt::format("{}{} {:+.3f}", line.empty() ? "" : ", ", name, value);
    }
    out << kIndent << "score: " << line << '\n';
  }
  if (const std::string line = describe_match(explanation); !line.empty()) {
    out << kIndent << line << '\n';
  }
  for (const auto& rule : explanation.rules) out << kIndent << "rule: " << shown(rule) << '\n';
  if (explanation.__isset.rank_without_top_event) {
    out << kIndent << "without the heaviest behaviour: position "
        << explanation.rank_without_top_event + 1 << '\n';
  }
}

}  // namespace

std::map<std::string, std::string> fetch_titles(Client& client, const RankResponse& response) {
  std::set<std::string> wanted;
  for (const RankedItem& ranked : response.items) {
    wanted.insert(ranked.item_id);
    for (const Attention& behaviour : ranked.explanation.attention) {
      wanted.insert(behaviour.item_id);
    }
  }
  std::map<std::string, std::string> titles;
  const std::vector<std::string> ids(wanted.begin(), wanted.end());
  for (std::size_t begin = 0; begin < ids.size(); begin += kIdsPerCall) {
    const std::size_t end = std::min(ids.size(), begin + kIdsPerCall);
    std::vector<Item> items;
    client->getItems(items, {ids.begin() + static_cast<std::ptrdiff_t>(begin),
                             ids.begin() + static_cast<std::ptrdiff_t>(end)});
    for (Item& item : items) {
      if (item.__isset.text && !item.text.empty()) titles[item.item_id] = std::move(item.text);
    }
  }
  return titles;
}

void print_ranking(std::ostream& out, const RankRequest& asked, const RankResponse& response,
                   const std::map<std::string, std::string>& titles, const Marks& marks) {
  if (response.__isset.unknown_candidates) {
    out << "unknown candidates:";
    for (const auto& id : response.unknown_candidates) out << ' ' << cut(id, kIdColumns);
    out << '\n';
  }
  if (response.__isset.corrected_query) {
    out << fmt::format("searched for \"{}\" instead of \"{}\"\n",
                       cut(response.corrected_query, kQueryColumns),
                       cut(asked.query, kQueryColumns));
  }
  if (response.items.empty()) {
    out << "nothing was found\n";
    return;
  }
  std::size_t id_columns = 4;
  for (const RankedItem& ranked : response.items) {
    id_columns = std::max(id_columns, std::min(kIdColumns, ranked.item_id.size()));
  }
  out << fmt::format("{:>4}  {}  {}  {:>8}  {}\n", "", padded("item", id_columns),
                     padded("title", kTitleColumns), "score", "source");
  for (std::size_t i = 0; i < response.items.size(); ++i) {
    const RankedItem& ranked = response.items[i];
    const auto title = titles.find(ranked.item_id);
    out << fmt::format("{:>4}  {}  {}  {:>8.3f}  {}\n", i + 1, padded(ranked.item_id, id_columns),
                       marked(title == titles.end() ? "" : title->second, kTitleColumns,
                              ranked.explanation.matched_words, marks),
                       ranked.score, ranked.source);
    if (asked.explain) print_why(out, ranked.explanation, titles);
  }
  if (response.degraded) {
    out << "degraded: " << shown(response.degraded_reason) << '\n';
  }
  if (response.__isset.next_page_token) {
    out << "next page: --page " << response.next_page_token << '\n';
  }
}

}  // namespace fovea::api
