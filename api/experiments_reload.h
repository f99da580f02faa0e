// The configuration file of a server that runs: its experiments and its holdout are taken over when
// it changes, all of them or none. Owns what of the file may change then and what waits for a
// restart.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "api/config.h"

namespace fovea::api {

/// Takes the experiments over where the file has others than are served, and says so in the log. A
/// file that is wrong in any way, or names a version that cannot be had, is refused as a whole with
/// what is wrong in the log, and what was served goes on. When that is looked at is
/// api/watch_files'.
class ExperimentsReload {
 public:
  /// What else than read_config() says is wrong with a file; empty: nothing.
  using Judge = std::function<std::vector<std::string>(const Config&)>;

  /// `started` is what the engine serves already. The engine must outlive it.
  ExperimentsReload(engine::Engine& engine, std::filesystem::path file, Config started,
                    Judge judge);

  /// Whether the file, as it was read last, was; from any thread.
  bool refused() const { return refused_; }

 private:
  void reload();

  engine::Engine& engine_;
  const std::filesystem::path file_;
  const Config started_;
  const Judge judge_;
  engine::Experiments served_;
  std::vector<std::string> waiting_;  // for a restart, as the log said last
  std::atomic<bool> refused_ = false;
  std::jthread watching_;  // last: it uses the others
};

/// What differs between two configurations beside experiments, for people: "server.threads",
/// "actions.view".
std::vector<std::string> other_differences(const Config& a, const Config& b);

}  // namespace fovea::api
