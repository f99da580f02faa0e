#include "api/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <thread>

#include "api/commands.h"
#include "api/progress.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

json::object metrics_json(const ranking::Metrics& metrics) {
  return {{"hr@5", metrics.hr_5},     {"hr@10", metrics.hr_10},
          {"ndcg@5", metrics.ndcg_5}, {"ndcg@10", metrics.ndcg_10},
          {"mrr", metrics.mrr},       {"coverage@10", metrics.coverage_10}};
}

std::string header(std::string_view title) {
  return fmt::format("{:<24}{:>8}{:>8}{:>8}{:>9}{:>8}{:>13}\n", title, "hr@5", "hr@10", "ndcg@5",
                     "ndcg@10", "mrr", "coverage@10");
}

std::string row(std::string_view name, const ranking::Metrics& metrics) {
  return fmt::format("{:<24}{:>8.4f}{:>8.4f}{:>8.4f}{:>9.4f}{:>8.4f}{:>13.4f}\n", name,
                     metrics.hr_5, metrics.hr_10, metrics.ndcg_5, metrics.ndcg_10, metrics.mrr,
                     metrics.coverage_10);
}

struct Flags {
  std::filesystem::path data;
  engine::EvaluateOptions options;
  bool json = false;
};

void run(const Flags& flags) {
  engine::EngineOptions engine_options;
  engine_options.access = storage::Access::kReadOnly;  // beside a server
  engine_options.record_exposures = false;
  engine_options.reload_interval = std::chrono::milliseconds(0);
  const auto engine = engine::Engine::open(flags.data, engine_options);
  Progress progress = Progress::to_stderr();
  const engine::Evaluation evaluation = engine::evaluate(
      *engine, flags.options,
      [&](std::size_t done, std::size_t of) { progress.bar("evaluating", done, of); });
  progress.clear();
  if (flags.json) {
    std::cout << to_json(evaluation) << '\n';
  } else {
    std::cout << table(evaluation);
  }
}

}  // namespace

json::object to_json(const engine::Evaluation& evaluation) {
  json::object ranked = metrics_json(evaluation.ranked);
  ranked["recall@K"] = evaluation.candidates_recall;
  ranked["K"] = evaluation.candidates_mean;
  return {{"users", evaluation.users},
          {"popular", metrics_json(evaluation.popular)},
          {"retrieval", metrics_json(evaluation.retrieval)},
          {"ranked", std::move(ranked)},
          {"cold",
           {{"users", evaluation.cold.users},
            {"popular", metrics_json(evaluation.cold.popular)},
            {"retrieval", metrics_json(evaluation.cold.retrieval)},
            {"ranked", metrics_json(evaluation.cold.ranked)}}}};
}

std::string table(const engine::Evaluation& evaluation) {
  std::string text = header(fmt::format("{} users", evaluation.users));
  text += row("most popular", evaluation.popular);
  text += row("retrieval, exact", evaluation.retrieval);
  text += row("ranked, as served", evaluation.ranked);
  text += fmt::format(
      "The test item was among the {:.0f} ranked candidates of {:.1f} % of the users.\n",
      evaluation.candidates_mean, 100 * evaluation.candidates_recall);
  if (evaluation.cold.users == 0) return text;
  text += '\n' + header(fmt::format("{} cold test items", evaluation.cold.users));
  text += row("most popular", evaluation.cold.popular);
  text += row("retrieval, exact", evaluation.cold.retrieval);
  text += row("ranked, as served", evaluation.cold.ranked);
  return text;
}

void add_evaluate(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  flags->options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* command =
      app.add_subcommand("evaluate", "Measure the current version on what was held out");
  command->footer(
      "Every item of the catalogue is ranked for every user: popular, by retrieval alone, and as\n"
      "served. hr, ndcg and mrr tell where the test item stood, coverage which share of the\n"
      "catalogue stands in somebody's first ten. Cold test items were never seen in training.\n\n"
      "Example:\n  fovea train --data shop --split leave-one-out\n  fovea evaluate --data shop");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command->add_flag("--include-seen", flags->options.include_seen,
                    "Rank the items of a user's history too; they are left out otherwise");
  command
      ->add_option("--threads", flags->options.threads, "Threads; all of the machine's by default")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", flags->json, "Print fractions as JSON");
  command->callback([flags] { run(*flags); });
}

}  // namespace fovea::api
