#include "api/judged_queries.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "api/json.h"
#include "api/json_fields.h"
#include "api/lines.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<const char*, engine::SearchMetrics engine::SearchStages::*>, 4>
    kSearchStages = {{{"words", &engine::SearchStages::words},
                      {"vectors", &engine::SearchStages::vectors},
                      {"fused", &engine::SearchStages::fused},
                      {"ranked", &engine::SearchStages::ranked}}};

[[noreturn]] void refuse_line(std::string_view field, const std::string& name, const Line& line,
                              std::string_view why) {
  throw engine::InvalidRequest(std::string(field),
                               fmt::format("{}:{}: {}", name, line.number, why));
}

engine::JudgedQuery query_of(std::string_view text) {
  static constexpr std::array kFields = {
      JsonField<engine::JudgedQuery>{
          "query_id",
          [](std::string_view field, const json::value& value, engine::JudgedQuery& into) {
            into.query_id = string_of(field, value);
          },
          true},
      JsonField<engine::JudgedQuery>{
          "text",
          [](std::string_view field, const json::value& value, engine::JudgedQuery& into) {
            into.text = string_of(field, value);
          },
          true},
      JsonField<engine::JudgedQuery>{
          "user_id",
          [](std::string_view field, const json::value& value, engine::JudgedQuery& into) {
            into.user_id = string_of(field, value);
            engine::validate_id(*into.user_id, field);
          }},
      JsonField<engine::JudgedQuery>{
          "time_ms", [](std::string_view field, const json::value& value,
                        engine::JudgedQuery& into) { into.time_ms = integer_of(field, value); }}};
  auto query = read_fields<engine::JudgedQuery>(parse_object(text), "a query", kFields);
  if (query.time_ms && !query.user_id) {
    throw engine::InvalidRequest("time_ms",
                                 "time_ms says up to when a user's behaviours are read, and there "
                                 "is no user_id beside it; name the user or leave the time out");
  }
  return query;
}

/// The next column, and `rest` behind it; empty at the end.
std::string_view column(std::string_view& rest) {
  constexpr std::string_view kBlanks = " \t";
  rest.remove_prefix(std::min(rest.find_first_not_of(kBlanks), rest.size()));
  const auto word = rest.substr(0, rest.find_first_of(kBlanks));
  rest.remove_prefix(word.size());
  return word;
}

json::object to_json(const engine::SearchMetrics& metrics) {
  return {{"ndcg@10", metrics.ndcg_10}, {"recall@100", metrics.recall_100}, {"mrr", metrics.mrr}};
}

void add_stages(const engine::SearchStages& stages, json::object& object) {
  for (const auto& [key, stage] : kSearchStages) object[key] = to_json(stages.*stage);
}

std::ifstream opened(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error(file.string() + " cannot be read; name a file that exists");
  return in;
}

}  // namespace

std::vector<engine::JudgedQuery> read_judged_queries(std::istream& queries,
                                                     const std::string& queries_name,
                                                     std::istream& qrels,
                                                     const std::string& qrels_name) {
  std::vector<engine::JudgedQuery> result;
  std::unordered_map<std::string, std::size_t> places;
  LineReader query_lines(queries, kJsonBytesMax);
  while (const auto line = query_lines.next()) {
    if (line->too_long) refuse_line("queries", queries_name, *line, "the line is over a MiB long");
    if (line->text.find_first_not_of(" \t") == std::string_view::npos) continue;
    try {
      result.push_back(query_of(line->text));
    } catch (const engine::InvalidRequest& invalid) {
      refuse_line("queries", queries_name, *line, invalid.what());
    }
    if (!places.emplace(result.back().query_id, result.size() - 1).second) {
      refuse_line("queries", queries_name, *line,
                  fmt::format("query_id '{}' stands on an earlier line too; each query has one of "
                              "its own",
                              result.back().query_id));
    }
  }
  LineReader judgements(qrels, kJsonBytesMax);
  while (const auto line = judgements.next()) {
    if (line->too_long) refuse_line("qrels", qrels_name, *line, "the line is over a MiB long");
    std::string_view rest = line->text;
    const std::string query_id(column(rest));
    if (query_id.empty()) continue;
    column(rest);
    const std::string item_id(column(rest));
    const std::string_view number = column(rest);
    double grade = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), grade);
    if (item_id.empty() || parsed.ec != std::errc() ||
        parsed.ptr != number.data() + number.size() || !std::isfinite(grade) ||
        !column(rest).empty()) {
      refuse_line("qrels", qrels_name, *line,
                  "four columns are expected: query id, 0, item id, and the grade as a number");
    }
    const auto place = places.find(query_id);
    if (place == places.end()) continue;
    if (!result[place->second].grades.emplace(item_id, grade).second) {
      refuse_line("qrels", qrels_name, *line,
                  fmt::format("item '{}' was judged for query '{}' on an earlier line too", item_id,
                              query_id));
    }
  }
  return result;
}

std::vector<engine::JudgedQuery> read_judged_queries(const std::filesystem::path& queries,
                                                     const std::filesystem::path& qrels) {
  std::ifstream query_lines = opened(queries);
  std::ifstream judgements = opened(qrels);
  return read_judged_queries(query_lines, queries.string(), judgements, qrels.string());
}

json::object to_json(const engine::SearchEvaluation& evaluation) {
  json::object result{{"queries", evaluation.queries.size()},
                      {"unjudged", evaluation.unjudged},
                      {"with_history", evaluation.with_history}};
  add_stages(evaluation.mean, result);
  json::array by_query;
  for (const auto& query : evaluation.queries) {
    json::object one{{"query_id", query.query_id}};
    add_stages(query.stages, one);
    by_query.push_back(std::move(one));
  }
  result["by_query"] = std::move(by_query);
  return result;
}

std::string table(const engine::SearchEvaluation& evaluation) {
  std::string text = fmt::format("{:<16}{:>12}{:>12}{:>12}\n",
                                 fmt::format("{} queries", evaluation.queries.size()), "ndcg@10",
                                 "recall@100", "mrr");
  for (const auto& [key, stage] : kSearchStages) {
    const engine::SearchMetrics& metrics = evaluation.mean.*stage;
    text += fmt::format("{:<16}{:>12.4f}{:>12.4f}{:>12.4f}\n", key, metrics.ndcg_10,
                        metrics.recall_100, metrics.mrr);
  }
  text += fmt::format("{} of the queries are of users who had done something before\n",
                      evaluation.with_history);
  if (evaluation.unjudged > 0) {
    text += fmt::format("{} queries without a relevant item were left out\n", evaluation.unjudged);
  }
  return text;
}

}  // namespace fovea::api
