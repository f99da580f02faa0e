// fovea evaluate: flags, and one version or several seeds measured.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "api/commands.h"
#include "api/device_flag.h"
#include "api/evaluation.h"
#include "api/judged_queries.h"
#include "api/learn_progress.h"
#include "api/progress.h"
#include "api/serve_settings.h"
#include "engine/learning.h"

namespace fovea::api {
namespace {

struct EvaluateFlags {
  std::filesystem::path data;
  engine::EvaluateOptions options;
  engine::DeviceChoice device = engine::DeviceChoice::kCpu;
  std::size_t seeds = 1;
  std::filesystem::path users;
  std::filesystem::path queries, qrels;  // both or none
  SettingTexts search;
  bool json = false;
};

/// Trains the current version's recipe anew for each seed, and leaves the version as it is.
boost::json::object evaluate_seeds(engine::Engine& engine, const EvaluateFlags& flags,
                                   Progress& progress) {
  const auto current = engine.snapshot().model;
  if (!current) {
    throw engine::InvalidRequest("data",
                                 "nothing has been trained yet; train with the split "
                                 "leave-one-out or time");
  }
  engine::LearnOptions options;
  options.split = current->card().split;
  options.train = current->card().options;
  options.train.threads = flags.options.threads;
  options.device = flags.device;
  if (const auto encoder = engine::Versions(flags.data).encoder()) {
    options.text_encoder = encoder->folder;
  }
  std::vector<std::uint64_t> seeds;
  std::vector<boost::json::object> runs;
  for (std::size_t i = 0; i < flags.seeds; ++i) {
    seeds.push_back(options.train.seed);
    progress.step("seed", fmt::format("{}", options.train.seed));
    const auto snapshot = engine.snapshot(std::make_shared<engine::LiveModel>(engine::learn_version(
        engine.db(), options, [&](const engine::LearnProgress& step) { show(progress, step); })));
    runs.push_back(to_json(engine::evaluate(snapshot, flags.options, {})));
    ++options.train.seed;
  }
  progress.keep();
  return over_seeds(seeds, runs);
}

void run_search(engine::Engine& engine, const EvaluateFlags& flags) {
  const auto queries = read_judged_queries(flags.queries, flags.qrels);
  Progress progress = Progress::to_stderr();
  const engine::SearchEvaluation evaluation = engine::evaluate_search(
      engine.snapshot(), queries,
      [&](std::size_t done, std::size_t of) { progress.bar("searching", done, of); });
  progress.clear();
  if (flags.json) {
    std::cout << to_json(evaluation) << '\n';
  } else {
    std::cout << table(evaluation);
  }
}

void run(EvaluateFlags flags) {
  std::ofstream users;
  if (!flags.users.empty()) {
    users.open(flags.users);
    if (!users) {
      throw engine::InvalidRequest(
          "users",
          flags.users.string() + " cannot be written; name a file in a folder that exists");
    }
    flags.options.user = [&](const engine::EvaluatedUser& user) { users << to_json(user) << '\n'; };
  }
  engine::EngineOptions engine_options;
  engine_options.access = storage::Access::kReadOnly;  // beside a server
  engine_options.record_exposures = false;
  engine_options.reload_interval = std::chrono::milliseconds(0);
  engine_options.device = flags.device;
  engine_options.search = resolve_search(flags.search, {}, {});
  const auto engine = engine::Engine::open(flags.data, engine_options);
  if (!flags.queries.empty()) {
    run_search(*engine, flags);
    return;
  }
  Progress progress = Progress::to_stderr();
  if (flags.seeds > 1) {
    const boost::json::object result = evaluate_seeds(*engine, flags, progress);
    if (flags.json) {
      std::cout << result << '\n';
    } else {
      std::cout << seeds_table(result);
    }
    return;
  }
  const engine::Evaluation evaluation = engine::evaluate(
      *engine, flags.options,
      [&](std::size_t done, std::size_t of) { progress.bar("evaluating", done, of); });
  progress.clear();
  if (flags.json) {
    std::cout << to_json(evaluation) << '\n';
  } else {
    std::cout << table(evaluation);
  }
  if (users.is_open() && !users.flush()) {
    throw std::runtime_error(flags.users.string() +
                             " could not be written whole; is the disk full?");
  }
}

}  // namespace

void add_evaluate(CLI::App& app) {
  const auto flags = std::make_shared<EvaluateFlags>();
  flags->options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* command =
      app.add_subcommand("evaluate", "Measure the current version on what was held out");
  command->footer(
      "Every item of the catalogue is ranked for every user: popular, by transitions or retrieval\n"
      "alone, and as served. hr, ndcg and mrr tell where the test item stood, coverage which share "
      "of the\n"
      "catalogue stands in somebody's first ten. Cold test items were never seen in training. "
      "Users\n"
      "without ties are those whose test item's id sorts before that of the behaviour before it:\n"
      "some logs write equal times in the order of their ids.\n\n"
      "Example:\n  fovea train --data shop --split leave-one-out\n  fovea evaluate --data shop");
  command->add_option("--data", flags->data, "Data directory")->required()->type_name("DIR");
  command->add_flag("--include-seen", flags->options.include_seen,
                    "Rank the items of a user's history too; they are left out otherwise");
  command
      ->add_option("--threads", flags->options.threads, "Threads; all of the machine's by default")
      ->check(CLI::Range(1, 1024));
  add_device(*command, flags->device, "What ranks, and with --seeds trains");
  command
      ->add_option("--seeds", flags->seeds,
                   "Train the current version's recipe with this many seeds, publish none of them, "
                   "and tell mean and spread")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  command
      ->add_option("--users", flags->users,
                   "Write a JSON line for each user: the test item, its place in each stage, and "
                   "the first ten as served with their scores")
      ->type_name("FILE");
  CLI::Option* queries =
      command
          ->add_option("--queries", flags->queries,
                       "Measure search instead: a JSON line for each query, {\"query_id\": .., "
                       "\"text\": ..}, with \"user_id\" and \"time_ms\" where it is known who "
                       "asked and when")
          ->type_name("FILE");
  CLI::Option* qrels =
      command
          ->add_option("--qrels", flags->qrels,
                       "What was judged relevant to them, in TREC's form: query id, 0, item id, "
                       "grade")
          ->type_name("FILE");
  queries->needs(qrels);
  qrels->needs(queries);
  add_search_flags(*command, flags->search);
  command->add_flag("--json", flags->json, "Print fractions as JSON, with --queries of each query");
  command->callback([flags] { run(*flags); });
}

}  // namespace fovea::api
