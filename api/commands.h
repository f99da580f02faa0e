// One function per subcommand: each adds its CLI11 subcommand, with help and an example, to the
// program. A subcommand's callback throws on failure; main turns what was thrown into a sentence on
// stderr and an exit code: 0 done, 1 failed, 2 misuse.
#pragma once

#include <CLI/CLI.hpp>

namespace fovea::api {

void add_import(CLI::App& app);
void add_train(CLI::App& app);
void add_learn(CLI::App& app);
void add_versions(CLI::App& app);
void add_rollback(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_tune_search(CLI::App& app);
void add_rank(CLI::App& app);
void add_serve(CLI::App& app);
void add_backup(CLI::App& app);
void add_ask(CLI::App& app);
void add_bench(CLI::App& app);
void add_demo(CLI::App& app);
void add_experiment(CLI::App& app);

}  // namespace fovea::api
