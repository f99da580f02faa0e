// The program: subcommands, logs to stderr, exceptions to a sentence and an exit code.
#include <spdlog/cfg/env.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "api/commands.h"

namespace {

constexpr int kFailed = 1;
constexpr int kMisuse = 2;

int fail(const std::exception& error, int code) {
  std::cerr << "fovea: " << error.what() << '\n';
  return code;
}

/// OpenMP's threads spin while they wait unless told otherwise before the program is loaded, and a
/// processor that spins is taken from whoever else needs it: on a machine with other work an epoch
/// took ten times as long.
void wait_without_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::execv("/proc/self/exe", argv);  // returns only where there is no /proc: then it spins
}

}  // namespace

int main(int argc, char** argv) {
  wait_without_spinning(argv);
  ::prctl(PR_SET_NAME, "fovea");  // which was lost to the name of /proc/self/exe
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of the write
  spdlog::set_default_logger(spdlog::stderr_color_mt("fovea"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  spdlog::cfg::load_env_levels();

  CLI::App app(
      "Fovea recommends and ranks: it stores what users do, learns from it, serves and explains.");
  app.footer(
      "Begin with: fovea demo\n"
      "SPDLOG_LEVEL=debug logs more.");
  app.set_version_flag("--version", "fovea " FOVEA_VERSION);
  app.require_subcommand(1);
  fovea::api::add_demo(app);
  fovea::api::add_import(app);
  fovea::api::add_train(app);
  fovea::api::add_learn(app);
  fovea::api::add_versions(app);
  fovea::api::add_rollback(app);
  fovea::api::add_evaluate(app);
  fovea::api::add_tune_search(app);
  fovea::api::add_rank(app);
  fovea::api::add_serve(app);
  fovea::api::add_backup(app);
  fovea::api::add_ask(app);
  fovea::api::add_bench(app);
  fovea::api::add_experiment(app);

  try {
    app.parse(argc, argv);  // runs the subcommand's callback
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kMisuse;
  } catch (const std::invalid_argument& error) {  // a flag's value, as CLI11 cannot judge it
    return fail(error, kMisuse);
  } catch (const std::exception& error) {
    return fail(error, kFailed);
  }
  return 0;
}
