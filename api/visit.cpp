#include "api/visit.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "api/terminal_text.h"

namespace fovea::api {
namespace {

constexpr std::int32_t kShown = 10;
constexpr std::int32_t kCompared = 1000;  // positions known of the list before; the most there are
constexpr std::size_t kRecent = 6;
constexpr std::int32_t kHistory = 1000;  // the most that can be asked for
constexpr std::size_t kAttentionShown = 4;

/// Where the text's first sentence ends: a full stop after a bracket or a word that is no
/// abbreviation ("Dr. No").
std::size_t title_end(std::string_view text) {
  constexpr std::size_t kAbbreviation = 3;
  for (std::size_t end = text.find(". "); end != std::string_view::npos;
       end = text.find(". ", end + 1)) {
    const std::size_t word = text.find_last_of(" .", end - 1);
    const std::size_t length = end - (word == std::string_view::npos ? 0 : word + 1);
    if (end > 0 && (text[end - 1] == ')' || length > kAbbreviation)) return end;
  }
  return std::string_view::npos;
}

/// Text of items by id, asked for once.
class Titles {
 public:
  explicit Titles(Client& client) : client_(client) {}

  void fetch(const std::vector<std::string>& item_ids) {
    std::vector<Item> items;
    client_->getItems(items, item_ids);
    for (const Item& item : items) texts_[item.item_id] = item.text;
  }
  /// The text's first sentence; the id where there is no text.
  std::string title(const std::string& item_id) const {
    const std::string& text = text_of(item_id);
    return text.empty() ? item_id : text.substr(0, title_end(text));
  }
  /// What follows the first sentence.
  std::string rest(const std::string& item_id) const {
    const std::string& text = text_of(item_id);
    const std::size_t end = title_end(text);
    return end == std::string::npos ? std::string() : text.substr(end + 2);
  }
  /// Both, in 42 + `rest_columns` columns.
  std::string columns(const std::string& item_id, std::size_t rest_columns) const {
    return fmt::format("{:<40}  {}", cut(title(item_id), 40), cut(rest(item_id), rest_columns));
  }

 private:
  const std::string& text_of(const std::string& item_id) const {
    static const std::string none;
    const auto found = texts_.find(item_id);
    return found == texts_.end() ? none : found->second;
  }

  Client& client_;
  std::map<std::string, std::string> texts_;
};

std::vector<std::string> ids(const RankResponse& response) {
  std::vector<std::string> result;
  for (const RankedItem& item : response.items) result.push_back(item.item_id);
  return result;
}

/// Position from 0; absent: not in the list.
std::optional<std::size_t> place(const std::vector<std::string>& list, const std::string& item_id) {
  const auto found = std::ranges::find(list, item_id);
  if (found == list.end()) return std::nullopt;
  return static_cast<std::size_t>(found - list.begin());
}

RankRequest request_for(const std::string& user_id, std::int32_t limit) {
  RankRequest request;
  request.__set_user_id(user_id);
  request.__set_limit(limit);
  return request;
}

std::string date(std::int64_t time_ms) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(time_ms / 1000)));
}

/// What the user does most, as well as the user ever did it: a rating is the highest one given.
Event usual_behaviour(const std::string& user_id, const std::vector<Event>& history) {
  std::map<std::string, int> counts;
  for (const Event& event : history) ++counts[event.action];
  Event usual;
  usual.__set_user_id(user_id);
  usual.__set_action(
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first);
  for (const Event& event : history) {
    if (event.action != usual.action || !event.__isset.value) continue;
    usual.__set_value(usual.__isset.value ? std::max(usual.value, event.value) : event.value);
  }
  return usual;
}

/// Of `items`, the one after which about half of the first ten come from below, so that old and new
/// taste are seen side by side, and of several the one that brings them from furthest.
std::string most_moving(Client& client, const Event& usual, const std::vector<std::string>& before,
                        std::span<const std::string> items) {
  std::string best;
  constexpr std::size_t kHalf = kShown / 2 + 1;
  std::pair<std::size_t, std::size_t> most{0, 0};
  for (const std::string& item : items) {
    Event event = usual;
    event.__set_item_id(item);
    RankRequest request = request_for(usual.user_id, kShown);
    request.__set_session({event});
    RankResponse response;
    client->rank(response, request);
    std::size_t rose = 0;
    std::size_t places = 0;
    for (const std::string& id : ids(response)) {
      const std::size_t was = place(before, id).value_or(kCompared);
      if (was < kShown) continue;
      ++rose;
      places += was;
    }
    const std::size_t off = rose > kHalf ? rose - kHalf : kHalf - rose;
    const std::pair<std::size_t, std::size_t> risen{kShown - off, places};
    if (!best.empty() && risen <= most) continue;
    best = item;
    most = risen;
  }
  return best;
}

/// The score and its parts, heaviest first, in lines of at most 78 columns.
std::string score(const RankedItem& item) {
  std::vector<std::pair<std::string, double>> parts(item.explanation.parts.begin(),
                                                    item.explanation.parts.end());
  std::ranges::stable_sort(parts, std::greater<>(),
                           [](const auto& part) { return std::abs(part.second); });
  std::string text;
  std::string line = fmt::format("  score {:.2f} =", item.score);
  for (const auto& [name, value] : parts) {
    const std::string part = fmt::format(" {} {:+.2f}", name, value);
    if (line.size() + part.size() > 78) {
      text += line + '\n';
      line = std::string(8, ' ');
    }
    line += part;
  }
  return text + line + '\n';
}

void print_why(std::ostream& out, const RankedItem& item, std::size_t now,
               std::optional<std::size_t> was, const Event& newest, const Titles& titles) {
  out << fmt::format(
      "\nWhy \"{}\" stands at {} now ({}):\n", cut(titles.title(item.item_id), 50), now + 1,
      was ? fmt::format("it was at {}", *was + 1) : fmt::format("it was below {}", kCompared));
  for (std::size_t i = 0; i < std::min(kAttentionShown, item.explanation.attention.size()); ++i) {
    const Attention& attention = item.explanation.attention[i];
    out << fmt::format("  {:>3.0f} % of the attention on  {:<40}  {}\n", 100 * attention.weight,
                       cut(titles.title(attention.item_id), 40),
                       attention.item_id == newest.item_id ? "just now" : date(attention.time_ms));
  }
  out << score(item);
  if (item.explanation.__isset.rank_without_top_event) {
    out << fmt::format("  without the behaviour attended to most it would stand at {}\n",
                       item.explanation.rank_without_top_event + 1);
  }
}

}  // namespace

void show_visit(std::ostream& out, Client& client, const std::string& user_id,
                std::span<const std::string> items) {
  Titles titles(client);
  std::vector<Event> history;
  client->getHistory(history, user_id, kHistory);
  if (history.empty()) throw std::runtime_error(fmt::format("{} has no behaviours", user_id));
  RankResponse response;
  client->rank(response, request_for(user_id, kCompared));
  const std::vector<std::string> before = ids(response);

  std::vector<std::string> unseen;
  for (const std::string& item : items) {
    if (std::ranges::none_of(history, [&](const Event& event) { return event.item_id == item; })) {
      unseen.push_back(item);
    }
  }
  std::vector<std::string> named(
      before.begin(), before.begin() + std::min<std::ptrdiff_t>(kShown, std::ssize(before)));
  const std::span recent = std::span(history).first(std::min(kRecent, history.size()));
  for (const Event& event : recent) named.push_back(event.item_id);
  titles.fetch(named);

  out << fmt::format("\n{} lately:\n", user_id);
  for (const Event& event : recent) {
    out << fmt::format("  {}  {:<8}  {}\n", date(event.time_ms), cut(event.action, 8),
                       titles.columns(event.item_id, 15));
  }
  out << fmt::format("\n{}'s list:\n", user_id);
  for (std::size_t i = 0; i < std::min<std::size_t>(kShown, before.size()); ++i) {
    out << fmt::format("  {:>2}  {}\n", i + 1, titles.columns(before[i], 30));
  }
  if (unseen.empty()) return;

  Event event = usual_behaviour(user_id, history);
  event.__set_item_id(most_moving(client, event, before, unseen));
  const auto start = std::chrono::steady_clock::now();
  client->record({event});
  const std::chrono::duration<double, std::milli> durable =
      std::chrono::steady_clock::now() - start;
  RankRequest request = request_for(user_id, kShown);
  request.__set_explain(true);
  client->rank(response, request);
  const std::vector<std::string> after = ids(response);
  named = after;
  named.push_back(event.item_id);
  for (const RankedItem& item : response.items) {
    for (const Attention& attention : item.explanation.attention)
      named.push_back(attention.item_id);
  }
  titles.fetch(named);

  out << fmt::format("\nNow {} records one more \"{}\" (durable after {:.1f} ms):\n      {}\n",
                     user_id, event.action, durable.count(), titles.columns(event.item_id, 30));
  out << fmt::format("\n{}'s list at once afterwards:\n  now  was\n", user_id);
  std::size_t risen = 0;  // the item of the new list that came from furthest below
  std::size_t most = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const auto was = place(before, after[i]);
    out << fmt::format("  {:>3}  {:>4}  {}\n", i + 1,
                       was ? std::to_string(*was + 1) : fmt::format(">{}", kCompared),
                       titles.columns(after[i], 24));
    const std::size_t from = was.value_or(kCompared);
    if (from > i && from - i > most) {
      most = from - i;
      risen = i;
    }
  }
  if (after.empty()) return;
  print_why(out, response.items[risen], risen, place(before, after[risen]), event, titles);
}

}  // namespace fovea::api
