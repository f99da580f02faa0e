// fovea ask: one ranking from a running server, as a table for people or as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/commands.h"
#include "api/table.h"

namespace fovea::api {
namespace {

struct Flags {
  std::string address;
  std::string user;
  std::string query;
  std::vector<std::string> seeds;
  std::vector<std::string> candidates;
  std::vector<std::string> exclude;
  std::int32_t limit = 20;
  bool include_seen = false;
  bool explain = false;
  bool json = false;
};

RankRequest to_request(const Flags& flags) {
  RankRequest request;
  if (!flags.user.empty()) request.__set_user_id(flags.user);
  if (!flags.query.empty()) request.__set_query(flags.query);
  if (!flags.seeds.empty()) request.__set_seed_items(flags.seeds);
  if (!flags.candidates.empty()) request.__set_candidates(flags.candidates);
  if (!flags.exclude.empty()) request.__set_exclude_items(flags.exclude);
  request.__set_limit(flags.limit);
  request.__set_include_seen(flags.include_seen);
  request.__set_explain(flags.explain);
  return request;
}

boost::json::object to_json(const Explanation& explanation) {
  boost::json::object object;
  auto& attention = object["attention"].emplace_array();
  for (const Attention& behaviour : explanation.attention) {
    attention.push_back({{"item_id", behaviour.item_id},
                         {"action", behaviour.action},
                         {"time_ms", behaviour.time_ms},
                         {"weight", behaviour.weight}});
  }
  object["parts"] = boost::json::value_from(explanation.parts);
  object["rules"] = boost::json::value_from(explanation.rules);
  if (explanation.__isset.rank_without_top_event) {
    object["rank_without_top_event"] = explanation.rank_without_top_event;
  }
  return object;
}

boost::json::object to_json(const RankResponse& response) {
  boost::json::object object;
  object["request_id"] = response.request_id;
  auto& items = object["items"].emplace_array();
  for (const RankedItem& ranked : response.items) {
    boost::json::object item = {
        {"item_id", ranked.item_id}, {"score", ranked.score}, {"source", ranked.source}};
    if (ranked.__isset.explanation) item["explanation"] = to_json(ranked.explanation);
    items.emplace_back(std::move(item));
  }
  object["model_version"] = response.model_version;
  object["degraded"] = response.degraded;
  if (response.__isset.degraded_reason) object["degraded_reason"] = response.degraded_reason;
  object["variants"] = boost::json::value_from(response.variants);
  if (response.__isset.next_page_token) object["next_page_token"] = response.next_page_token;
  object["stage_us"] = boost::json::value_from(response.stage_us);
  return object;
}

void ask(const Flags& flags) {
  Client client(parse_host_port(flags.address));
  try {
    RankResponse response;
    client->rank(response, to_request(flags));
    if (flags.json) {
      std::cout << to_json(response) << '\n';
    } else {
      print_ranking(std::cout, response, fetch_titles(client, response));
    }
  } catch (const std::exception& error) {
    throw std::runtime_error(client.explain(error));
  }
}

}  // namespace

void add_ask(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("ask", "Ask a running server for a ranking");
  command->add_option("address", flags->address, "HOST:PORT of `fovea serve`")->required();
  command->add_option("--user", flags->user, "Rank for this user's behaviours");
  command->add_option("--query", flags->query, "Search for this text");
  command->add_option("--seed", flags->seeds, "More like this item; may be repeated");
  command->add_option("--candidates", flags->candidates, "Rank exactly these items");
  command->add_option("--exclude", flags->exclude, "Leave these items out");
  command->add_option("--limit", flags->limit, "Items to show, 1 to 1000")->capture_default_str();
  command->add_flag("--include-seen", flags->include_seen, "Keep items the user acted on");
  command->add_flag("--explain", flags->explain, "Tell why each item is where it is");
  command->add_flag("--json", flags->json, "Print the response as JSON");
  command->footer(
      "At least one of --user, --query, --seed and --candidates is needed; they combine.\n"
      "Example: fovea ask 127.0.0.1:7070 --user u17 --query 'warm jacket' --limit 10 --explain");
  command->callback([flags] { ask(*flags); });
}

}  // namespace fovea::api
