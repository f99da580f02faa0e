#include "api/console_service.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/console_work.h"
#include "api/declarations.h"
#include "api/experiment_report.h"
#include "api/json.h"
#include "api/version_json.h"
#include "engine/experiments.h"
#include "engine/files.h"
#include "engine/models.h"
#include "engine/outcomes.h"
#include "storage/keys.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

template <typename T>
json::value or_null(const std::optional<T>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::object to_json(const Percentiles& times) { return {{"p50", times.p50}, {"p99", times.p99}}; }

json::object recent_json(const ServiceFigures& figures) {
  json::object stages;
  for (const auto& [stage, times] : figures.stages) stages[stage] = to_json(times);
  return {{"lists", figures.recent_lists},
          {"total_us", to_json(figures.total)},
          {"stage_us", std::move(stages)}};
}

json::array requests_json(const ServiceFigures& figures) {
  json::array requests;
  for (const MethodFigures& method : figures.methods) {
    requests.push_back({{"method", method.name},
                        {"ok", method.ok},
                        {"invalid", method.invalid},
                        {"overloaded", method.overloaded},
                        {"unavailable", method.unavailable},
                        {"failed", method.failed}});
  }
  return requests;
}

json::array ports_json(const std::vector<PortFigures>& figures) {
  json::array ports;
  for (const PortFigures& port : figures) {
    ports.push_back({{"port", port.name},
                     {"connections", port.connections},
                     {"in_flight", port.requests},
                     {"refused", port.refused}});
  }
  return ports;
}

json::array indexes_json(const engine::EngineFigures& figures) {
  json::array indexes;
  for (const engine::IndexFigures& index : figures.indexes) {
    indexes.push_back({{"name", index.name},
                       {"kind", index.kind},
                       {"main", index.main},
                       {"fresh", index.fresh},
                       {"removed", index.out_of_main},
                       {"rebuilding", index.rebuilding}});
  }
  return indexes;
}

/// Of this process; 0 where the kernel does not say.
std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t pages = 0;
  std::int64_t resident = 0;
  file >> pages >> resident;
  return file ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

json::object to_json(const ConsoleRollBack& roll_back) {
  return {
      {"to", roll_back.to}, {"running", roll_back.running}, {"error", or_null(roll_back.error)}};
}

json::object to_json(const engine::Overrides& set) {
  json::object object;
  if (set.ranker) object["ranker"] = *set.ranker;
  if (set.candidates) object["candidates"] = *set.candidates;
  if (set.model_version) object["model_version"] = *set.model_version;
  if (set.diversity) object["diversity"] = *set.diversity;
  if (set.index) {
    object["index"] = engine::name_in(engine::kIndexKinds, *set.index);
  }
  if (!set.boosts.empty()) {
    auto& boosts = object["boosts"].emplace_array();
    for (const engine::Boost& boost : set.boosts) {
      boosts.push_back({{"filter", boost.filter}, {"add", boost.add}});
    }
  }
  return object;
}

json::object to_json(const engine::Experiment& experiment, bool live) {
  json::object object{{"experiment", experiment.name},
                      {"version", experiment.version},
                      {"layer", experiment.layer},
                      {"from", experiment.from},
                      {"to", experiment.to},
                      {"unit", engine::name_in(engine::kUnits, experiment.unit)},
                      {"hash", engine::name_in(engine::kHashes, experiment.hash)},
                      {"salt", experiment.salt},
                      {"success", or_null(experiment.success)},
                      {"guardrails", json::value_from(experiment.guardrails)},
                      {"start_ms", or_null(experiment.start_ms)},
                      {"end_ms", or_null(experiment.end_ms)},
                      {"interleave", experiment.interleave},
                      {"live", live}};
  object["randomised"] = nullptr;
  if (experiment.randomised) {
    object["randomised"] = {{"share", experiment.randomised->share},
                            {"first", experiment.randomised->first}};
  }
  auto& variants = object["variants"].emplace_array();
  for (const engine::Variant& variant : experiment.variants) {
    variants.push_back(
        {{"variant", variant.name}, {"weight", variant.weight}, {"set", to_json(variant.set)}});
  }
  return object;
}

json::object without_embedding(engine::Item item) {
  item.embedding.reset();
  return api::to_json(item);
}

/// Of a look: what is read must be bounded.
std::size_t check_look(std::string_view prefix, std::int32_t limit) {
  if (prefix.size() > storage::kIdBytesMax) {
    throw engine::InvalidRequest(
        "prefix", fmt::format("prefix has {} bytes; no id has more than {}", prefix.size(),
                              storage::kIdBytesMax));
  }
  if (limit < 1 || limit > kConsoleLimitMax) {
    throw engine::InvalidRequest(
        "limit", fmt::format("limit is {}; 1 to {} is expected", limit, kConsoleLimitMax));
  }
  return static_cast<std::size_t>(limit);
}

std::int64_t period_of_name(std::string_view by) {
  for (const auto& [name, period_ms] : kReportPeriods) {
    if (name == by) return period_ms;
  }
  throw engine::InvalidRequest(
      "by", fmt::format("by is \"{}\"; day, hour or minute is expected", by.substr(0, 40)));
}

}  // namespace

struct ConsoleService::State {
  State(engine::Engine& served, const MeasuredService& counted,
        const std::filesystem::path& data_directory,
        std::function<std::vector<PortFigures>()> ports_of, ConsoleRights told)
      : engine(served),
        measured(counted),
        versions(data_directory),
        ports(std::move(ports_of)),
        rights(told),
        work(served) {}

  engine::Engine& engine;
  const MeasuredService& measured;
  const engine::Versions versions;
  const std::function<std::vector<PortFigures>()> ports;
  const ConsoleRights rights;
  ConsoleWork work;

  /// What the store remembers of experiments that are applied or were.
  std::vector<engine::Experiment> kept() {
    try {
      return kept_declarations(engine.db());
    } catch (const storage::StoreError&) {
      throw;
    } catch (const std::runtime_error& error) {  // another program's
      throw engine::Unavailable(error.what());
    }
  }

  engine::Experiment experiment(std::string_view name) {
    const auto applied = engine.experiments();
    const auto kept_before = [&] {
      const auto list = kept();
      const auto found = std::ranges::find(list, name, &engine::Experiment::name);
      if (found != list.end()) return *found;
      throw engine::InvalidRequest(
          "experiment",
          fmt::format("experiment '{}' is not declared, and the store does not know it", name));
    };
    const auto found = std::ranges::find(applied->list, name, &engine::Experiment::name);
    return found != applied->list.end() ? *found : kept_before();
  }
};

ConsoleService::ConsoleService(engine::Engine& engine, const MeasuredService& measured,
                               const std::filesystem::path& data_directory,
                               std::function<std::vector<PortFigures>()> ports,
                               ConsoleRights rights)
    : state_(std::make_unique<State>(engine, measured, data_directory, std::move(ports), rights)) {}

ConsoleService::~ConsoleService() = default;

json::object ConsoleService::engine() {
  const engine::Status status = state_->engine.status();
  const engine::EngineFigures figures = state_->engine.figures();
  const ServiceFigures service = state_->measured.figures();
  json::array actions;
  for (const storage::Action& action : state_->engine.db().catalog().actions()) {
    actions.push_back({{"action", action.name}, {"weight", action.weight}});
  }
  json::object memory{
      {"resident_bytes", resident_bytes()}, {"gpu_bytes", nullptr}, {"gpu_bytes_max", nullptr}};
  json::value batches;
  if (const auto& gpu = figures.gpu) {
    memory["gpu_bytes"] = gpu->bytes;
    memory["gpu_bytes_max"] = gpu->bytes_max;
    batches = {{"batches", gpu->batches.batches},
               {"requests", gpu->batches.requests},
               {"largest", gpu->batches.largest}};
  }
  return {{"version", status.version},
          {"faiss", status.faiss},
          {"device", status.device},
          {"model_version", status.model_version},
          {"uptime_ms", status.uptime_ms},
          {"now_ms", state_->engine.now_ms()},
          {"items", status.items},
          {"users", status.users},
          {"console", {{"writes", state_->rights.writes}, {"token", state_->rights.token}}},
          {"actions", std::move(actions)},
          {"requests", requests_json(service)},
          {"ports", ports_json(state_->ports())},
          {"lists", service.lists},
          {"degraded_lists", service.degraded_lists},
          {"recent", recent_json(service)},
          {"batches", std::move(batches)},
          {"memory", std::move(memory)},
          {"indexes", indexes_json(figures)}};
}

json::object ConsoleService::versions() {
  const auto last = state_->work.last_roll_back();
  return {{"versions", to_json(state_->versions.list())},
          {"rollback", last ? json::value(to_json(*last)) : json::value(nullptr)}};
}

json::object ConsoleService::training(std::string_view version) {
  std::string text;
  try {
    text = state_->versions.training_log(version);
  } catch (const engine::VersionError& error) {
    throw engine::InvalidRequest("version", error.what());
  }
  json::array epochs;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    epochs.push_back(json::parse({line.data(), line.size()}));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {{"epochs", std::move(epochs)}};
}

json::object ConsoleService::roll_back(std::string_view to) {
  const auto versions = state_->versions.list();
  const auto found = std::ranges::find(versions, to, &engine::ListedVersion::name);
  if (found == versions.end()) {
    throw engine::InvalidRequest("to", fmt::format("there is no version \"{}\"", to.substr(0, 40)));
  }
  return {{"rollback", to_json(state_->work.roll_back(found->name))}};
}

json::object ConsoleService::users(std::string_view prefix, std::int32_t limit) {
  const std::size_t count = check_look(prefix, limit);
  json::array users;
  for (auto& user : state_->engine.db().history().users_with_prefix(prefix, count)) {
    users.push_back({{"user_id", user.user_id}, {"behaviours", user.behaviours}});
  }
  return {{"users", std::move(users)}};
}

json::object ConsoleService::items(std::string_view prefix, std::int32_t limit) {
  const std::size_t count = check_look(prefix, limit);
  const storage::Catalog& catalog = state_->engine.db().catalog();
  json::array items;
  for (const std::uint32_t row : catalog.rows_with_prefix(prefix, count)) {
    if (auto item = catalog.get(row)) items.push_back(without_embedding(std::move(*item)));
  }
  return {{"items", std::move(items)}};
}

json::object ConsoleService::items(std::span<const std::string> item_ids) {
  json::array items;
  for (engine::Item& item : state_->engine.get_items(item_ids)) {
    items.push_back(without_embedding(std::move(item)));
  }
  return {{"items", std::move(items)}};
}

json::object ConsoleService::experiments() {
  json::array experiments;
  const auto applied = state_->engine.experiments();
  for (const auto& experiment : applied->list) experiments.push_back(to_json(experiment, true));
  for (const auto& experiment : state_->kept()) {
    const auto live = std::ranges::find(applied->list, experiment.name, &engine::Experiment::name);
    if (live == applied->list.end()) experiments.push_back(to_json(experiment, false));
  }
  return {{"experiments", std::move(experiments)}};
}

json::object ConsoleService::report(std::string_view experiment, std::string_view by) {
  const std::int64_t period_ms = period_of_name(by);
  engine::validate_id(experiment, "experiment");
  const ConsoleReport newest = state_->work.report(state_->experiment(experiment), period_ms);
  return {{"report", newest.report ? json::value(*newest.report) : json::value(nullptr)},
          {"error", or_null(newest.error)},
          {"as_of_ms", or_null(newest.as_of_ms)},
          {"running", newest.running}};
}

}  // namespace fovea::api
