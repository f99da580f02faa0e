#include "api/experiments_reload.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <map>
#include <utility>

#include "api/declarations.h"
#include "api/watch_files.h"
#include "engine/engine.h"

namespace fovea::api {
namespace {

/// Everything but experiments, by the name that people know it by.
std::map<std::string, std::string> others_of(const Config& config) {
  std::map<std::string, std::string> others;
  for (const auto& action : config.actions) {
    others[fmt::format("actions.{}", action.name)] =
        fmt::format("{} {}", action.weight, config.not_seen.contains(action.name));
  }
  for (const auto& setting : config.server) {
    others[fmt::format("server.{}", setting.key)] = setting.shown;
  }
  return others;
}

}  // namespace

std::vector<std::string> other_differences(const Config& a, const Config& b) {
  const auto before = others_of(a);
  const auto after = others_of(b);
  std::vector<std::string> names;
  for (const auto& [name, value] : before) {
    const auto now = after.find(name);
    if (now == after.end() || now->second != value) names.push_back(name);
  }
  for (const auto& [name, value] : after) {
    if (!before.contains(name)) names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

ExperimentsReload::ExperimentsReload(engine::Engine& engine, std::filesystem::path file,
                                     Config started, Judge judge)
    : engine_(engine),
      file_(std::move(file)),
      started_(std::move(started)),
      judge_(std::move(judge)),
      served_(started_.experiments),
      watching_([this](const std::stop_token& stop) {
        watch_files({file_}, stop, [this](bool) { reload(); });
      }) {}

void ExperimentsReload::reload() {
  std::vector<std::string> complaints;
  try {
    const Config config = read_config(file_, complaints);
    for (auto& complaint : judge_(config)) complaints.push_back(std::move(complaint));
    if (complaints.empty() && config.experiments != served_) {
      engine_.set_experiments(config.experiments);
      keep_declarations(engine_.db(), config.experiments);
      served_ = config.experiments;
      spdlog::info("{} was read again: {} experiments are served", file_.string(),
                   served_.list.size());
    }
    auto waiting = other_differences(started_, config);
    if (complaints.empty() && waiting != waiting_) {
      waiting_ = std::move(waiting);
      if (!waiting_.empty()) {
        spdlog::warn("{}: {} changed and waits for a restart", file_.string(),
                     fmt::join(waiting_, ", "));
      }
    }
  } catch (const std::exception& error) {
    complaints.push_back(fmt::format("{}: {}", file_.string(), error.what()));
  }
  refused_ = !complaints.empty();
  if (refused_) {
    spdlog::error("refused, the experiments from before are served on: {}",
                  fmt::join(complaints, "; "));
  }
}

}  // namespace fovea::api
