// fovea ask: one ranking from a running server, as a table for people or as JSON.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/client.h"
#include "api/commands.h"
#include "api/table.h"
#include "api/tls_flags.h"
#include "api/wire_json.h"

namespace fovea::api {
namespace {

constexpr std::chrono::milliseconds kTimeout{30'000};

struct AskFlags {
  std::string address;
  std::string user;
  std::string query;
  std::vector<std::string> seeds;
  std::vector<std::string> candidates;
  std::vector<std::string> exclude;
  std::int32_t limit = 20;
  bool include_seen = false;
  std::vector<std::string> session;
  std::string filter;
  std::vector<std::string> boosts;
  std::vector<std::string> pins;
  std::vector<std::string> caps;
  double diversity = 0;
  std::string page;
  bool explain = false;
  bool json = false;
  TlsFiles tls;
};

/// What stands before and after a separator; `wanted` is the form that was expected.
std::pair<std::string, std::string> cut_at(const std::string& text, std::size_t at,
                                           const char* flag, const char* wanted) {
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    throw CLI::ValidationError(flag, fmt::format("'{}' is not of the form {}", text, wanted));
  }
  return {text.substr(0, at), text.substr(at + 1)};
}

template <typename Number>
Number number_of(const std::string& text, const char* flag, const char* wanted) {
  Number number{};
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw CLI::ValidationError(flag,
                               fmt::format("'{}' is no number; {} is expected", text, wanted));
  }
  return number;
}

void add_rules(const AskFlags& flags, RankRequest& request) {
  for (const auto& text : flags.session) {
    const auto [action, item] = cut_at(text, text.find(':'), "--session", "ACTION:ITEM");
    Event& event = request.session.emplace_back();
    event.action = action;
    event.item_id = item;
    request.__isset.session = true;
  }
  if (!flags.filter.empty()) request.__set_filter(flags.filter);
  for (const auto& text : flags.boosts) {
    constexpr const char* kForm = "ADD:FILTER";
    const auto [add, filter] = cut_at(text, text.find(':'), "--boost", kForm);
    Boost& boost = request.boosts.emplace_back();
    boost.add = number_of<double>(add, "--boost", kForm);
    boost.filter = filter;
    request.__isset.boosts = true;
  }
  for (const auto& text : flags.pins) {
    constexpr const char* kForm = "POSITION:ITEM";
    const auto [position, item] = cut_at(text, text.find(':'), "--pin", kForm);
    Pin& pin = request.pins.emplace_back();
    pin.position = number_of<std::int32_t>(position, "--pin", kForm);
    pin.item_id = item;
    request.__isset.pins = true;
  }
  for (const auto& text : flags.caps) {
    constexpr const char* kForm = "ATTRIBUTE=COUNT";
    const auto [attribute, count] = cut_at(text, text.rfind('='), "--cap", kForm);
    Cap& cap = request.caps.emplace_back();
    cap.attribute = attribute;
    cap.at_most = number_of<std::int32_t>(count, "--cap", kForm);
    request.__isset.caps = true;
  }
  if (flags.diversity != 0) request.__set_diversity(flags.diversity);
  if (!flags.page.empty()) request.__set_page_token(flags.page);
}

RankRequest to_request(const AskFlags& flags) {
  RankRequest request;
  if (!flags.user.empty()) request.__set_user_id(flags.user);
  if (!flags.query.empty()) request.__set_query(flags.query);
  if (!flags.seeds.empty()) request.__set_seed_items(flags.seeds);
  if (!flags.candidates.empty()) request.__set_candidates(flags.candidates);
  if (!flags.exclude.empty()) request.__set_exclude_items(flags.exclude);
  request.__set_limit(flags.limit);
  request.__set_include_seen(flags.include_seen);
  request.__set_explain(flags.explain);
  add_rules(flags, request);
  return request;
}

void ask(const AskFlags& flags) {
  const RankRequest asked = to_request(flags);
  RankRequest request = asked;
  // Which words of an item a query found is part of an explanation.
  if (asked.__isset.query && !flags.json) request.__set_explain(true);
  Client client(parse_host_port(flags.address), kTimeout, flags.tls);
  try {
    RankResponse response;
    client->rank(response, request);
    if (flags.json) {
      std::cout << to_json(response) << '\n';
    } else {
      if (!asked.explain) {
        for (RankedItem& item : response.items) item.explanation.attention.clear();
      }
      print_ranking(std::cout, asked, response, fetch_titles(client, response),
                    marks_for(STDOUT_FILENO));
    }
  } catch (const std::exception& error) {
    throw std::runtime_error(client.explain(error));
  }
}

}  // namespace

void add_ask(CLI::App& app) {
  const auto flags = std::make_shared<AskFlags>();
  CLI::App* command = app.add_subcommand("ask", "Ask a running server for a ranking");
  command->add_option("address", flags->address, "HOST:PORT of `fovea serve`")->required();
  command->add_option("--user", flags->user, "Rank for this user's behaviours");
  command->add_option("--query", flags->query, "Search for this text");
  command->add_option("--seed", flags->seeds, "More like this item; may be repeated");
  command->add_option("--candidates", flags->candidates, "Rank exactly these items");
  command->add_option("--exclude", flags->exclude, "Leave these items out");
  command->add_option("--limit", flags->limit, "Items to show, 1 to 1000")->capture_default_str();
  command->add_flag("--include-seen", flags->include_seen, "Keep items the user acted on");
  command->add_option("--session", flags->session,
                      "A behaviour of this visit, ACTION:ITEM, the newest last; may be repeated");
  command->add_option("--filter", flags->filter,
                      "Only items with these attributes: \"genre = 'Comedy' and year >= 1990\"");
  command->add_option("--boost", flags->boosts,
                      "ADD:FILTER, added to the score of what matches; may be repeated");
  command->add_option("--pin", flags->pins,
                      "POSITION:ITEM, shown at this place, 0 is the top; may be repeated");
  command->add_option("--cap", flags->caps,
                      "ATTRIBUTE=COUNT, at most so many of one value on a page; may be repeated");
  command->add_option("--diversity", flags->diversity, "0, by score alone, to 1")
      ->capture_default_str();
  command->add_option("--page", flags->page, "The token of the page before: the next one");
  command->add_flag("--explain", flags->explain, "Tell why each item is where it is");
  command->add_flag("--json", flags->json, "Print the response as JSON");
  add_client_tls(*command, flags->tls);
  command->footer(
      "At least one of --user, --session, --query, --seed and --candidates is needed; they "
      "combine.\n"
      "Example: fovea ask 127.0.0.1:7070 --user u17 --query 'warm jacket' --limit 10 --explain");
  command->callback([flags] { ask(*flags); });
}

}  // namespace fovea::api
