// fovea tune-search: judged queries to the settings that serve them best, or to none.
#include "api/tune_search.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <string_view>

#include "api/commands.h"
#include "api/judged_queries.h"
#include "api/progress.h"
#include "api/serve_settings.h"
#include "engine/engine.h"

namespace fovea::api {
namespace {

struct TuneSearchFlags {
  std::filesystem::path data, queries, qrels;
  SettingTexts search;  // what serves now
  bool json = false;
};

boost::json::object settings_json(const engine::SearchSettings& settings, double ndcg) {
  return {{"words_weight", settings.weights.words},
          {"vectors_weight", settings.weights.vectors},
          {"query_attention", settings.query_attention},
          {"ndcg@10", ndcg}};
}

std::string settings_line(std::string_view name, const engine::SearchSettings& settings) {
  return fmt::format("{:<24}words {:.4g}, vectors {:.4g}, query attention {:.4g}\n", name,
                     settings.weights.words, settings.weights.vectors, settings.query_attention);
}

void run_tune_search(const TuneSearchFlags& flags) {
  const auto queries = read_judged_queries(flags.queries, flags.qrels);
  engine::EngineOptions options;
  options.access = storage::Access::kReadOnly;  // beside a server
  options.record_exposures = false;
  options.reload_interval = std::chrono::milliseconds(0);
  options.search = resolve_search(flags.search, {}, {});
  const auto engine = engine::Engine::open(flags.data, options);
  Progress progress = Progress::to_stderr();
  const engine::SearchTuning tuning = engine::tune_search(
      engine->snapshot(), queries,
      [&](std::size_t done, std::size_t of) { progress.bar("searching", done, of); });
  progress.clear();
  if (flags.json) {
    std::cout << api::to_json(tuning) << '\n';
  } else {
    std::cout << api::report(tuning);
  }
}

}  // namespace

boost::json::object to_json(const engine::SearchTuning& tuning) {
  return {{"queries", tuning.queries},
          {"unjudged", tuning.unjudged},
          {"measured", tuning.ranked ? "ranked" : "fused"},
          {"folds", engine::kTuningFolds},
          {"now", settings_json(tuning.now, tuning.ndcg_now)},
          {"held_out",
           {{"ndcg@10", tuning.ndcg_held_out},
            {"gain", tuning.ndcg_held_out - tuning.ndcg_now},
            {"standard_error", tuning.gain_error}}},
          {"best", settings_json(tuning.best, tuning.ndcg_best)},
          {"recommended", tuning.recommended()}};
}

std::string report(const engine::SearchTuning& tuning) {
  std::string text = fmt::format("{} queries, {} folds; ndcg@10 of the {} order\n", tuning.queries,
                                 engine::kTuningFolds, tuning.ranked ? "served" : "fused");
  if (tuning.unjudged > 0) {
    text += fmt::format("{} queries without a relevant item were left out\n", tuning.unjudged);
  }
  text += fmt::format("{:<24}{:.4f}\n", "settings now", tuning.ndcg_now);
  text += fmt::format("{:<24}{:.4f}, {:+.4f} with a standard error of {:.4f}\n",
                      "best of the other folds", tuning.ndcg_held_out,
                      tuning.ndcg_held_out - tuning.ndcg_now, tuning.gain_error);
  text += settings_line("now", tuning.now);
  text += settings_line("best of all queries", tuning.best);
  if (!tuning.recommended()) {
    return text +
           "Nothing is to be changed: on queries that did not choose it, no setting was better by "
           "more\nthan two standard errors.\n";
  }
  const auto& [weights, query_attention] = tuning.best;
  text += fmt::format(
      "Better on queries that did not choose it. To serve so:\n"
      "  fovea serve --words-weight {0:.6g} --vectors-weight {1:.6g}{3}\n"
      "or in the server's file:\n"
      "  [server]\n"
      "  words_weight = {0:.6g}\n"
      "  vectors_weight = {1:.6g}\n{4}",
      weights.words, weights.vectors, query_attention,
      tuning.ranked ? fmt::format(" --query-attention {:.6g}", query_attention) : "",
      tuning.ranked ? fmt::format("  query_attention = {:.6g}\n", query_attention) : "");
  return text;
}

void add_tune_search(CLI::App& app) {
  const auto flags = std::make_shared<TuneSearchFlags>();
  CLI::App* command = app.add_subcommand(
      "tune-search", "Choose what words, vectors and the user's behaviours count for in a search");
  command->footer(
      "Every query is searched once and its list made anew under each setting: words' share of "
      "both\n"
      "weights from .1 to .9 and, where queries name users, a quarter to four times the "
      "weights'\n"
      "total, which is what relevance counts for beside a user's taste, and a query attention of "
      "0\n"
      "to 8. What is best is chosen on four fifths of the queries and measured on the fifth; a "
      "change\n"
      "is recommended where that is better than the settings now by two standard errors. The store "
      "is\n"
      "only read. Users' behaviours that the version has learned from flatter it: train with "
      "--split.\n\n"
      "Example:\n  fovea tune-search --data shop --queries queries.jsonl --qrels qrels.tsv");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command
      ->add_option("--queries", flags->queries,
                   "A JSON line for each query, {\"query_id\": .., \"text\": ..}, with \"user_id\" "
                   "and \"time_ms\" where it is known who asked and when")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--qrels", flags->qrels,
                   "What was judged relevant to them, in TREC's form: query id, 0, item id, grade")
      ->required()
      ->type_name("FILE");
  add_search_flags(*command, flags->search);
  command->add_flag("--json", flags->json, "Print the figures and both settings as JSON");
  command->callback([flags] { run_tune_search(*flags); });
}

}  // namespace fovea::api
