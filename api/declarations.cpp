#include "api/declarations.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "api/experiments_config.h"

namespace fovea::api {
namespace {

toml::date_time moment(std::int64_t time_ms) {
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(time_ms)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return {toml::date(static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day())),
          toml::time(static_cast<unsigned>(clock.hours().count()),
                     static_cast<unsigned>(clock.minutes().count()),
                     static_cast<unsigned>(clock.seconds().count()),
                     static_cast<unsigned>(clock.subseconds().count()) * 1'000'000),
          toml::time_offset(0, 0)};
}

toml::table table_of(const engine::Overrides& set) {
  toml::table table;
  if (set.ranker) table.insert("ranker", *set.ranker);
  if (set.candidates) table.insert("candidates", *set.candidates);
  if (set.model_version) table.insert("model_version", *set.model_version);
  if (set.diversity) table.insert("diversity", *set.diversity);
  if (set.index) {
    table.insert("index", engine::name_in(engine::kIndexKinds, *set.index));
  }
  if (!set.boosts.empty()) {
    toml::array boosts;
    for (const engine::Boost& boost : set.boosts) {
      boosts.push_back(toml::table{{"filter", boost.filter}, {"add", boost.add}});
    }
    table.insert("boosts", std::move(boosts));
  }
  return table;
}

}  // namespace

std::string to_toml(const engine::Experiment& experiment) {
  toml::table table{{"name", experiment.name},
                    {"version", experiment.version},
                    {"layer", experiment.layer},
                    {"from", experiment.from},
                    {"to", experiment.to},
                    {"unit", engine::name_in(engine::kUnits, experiment.unit)},
                    {"hash", engine::name_in(engine::kHashes, experiment.hash)},
                    {"salt", experiment.salt}};
  if (experiment.success) table.insert("success", *experiment.success);
  if (experiment.interleave) table.insert("interleave", true);
  if (experiment.randomised) {
    table.insert("randomised", toml::table{{"share", experiment.randomised->share},
                                           {"first", experiment.randomised->first}});
  }
  if (experiment.start_ms) table.insert("start", moment(*experiment.start_ms));
  if (experiment.end_ms) table.insert("end", moment(*experiment.end_ms));
  toml::array guardrails;
  for (const std::string& guardrail : experiment.guardrails) guardrails.push_back(guardrail);
  table.insert("guardrails", std::move(guardrails));
  toml::array variants;
  for (const engine::Variant& variant : experiment.variants) {
    toml::table declared{{"name", variant.name}, {"weight", variant.weight}};
    if (toml::table set = table_of(variant.set); !set.empty()) declared.insert("set", set);
    variants.push_back(std::move(declared));
  }
  table.insert("variant", std::move(variants));
  std::ostringstream text;
  text << toml::table{{"experiment", toml::array{std::move(table)}}} << '\n';
  return text.str();
}

std::string to_toml(const engine::Holdout& holdout) {
  std::ostringstream text;
  text << toml::table{{"holdout", toml::table{{"share", holdout.share}, {"salt", holdout.salt}}}}
       << '\n';
  return text.str();
}

void keep_declarations(storage::Db& db, const engine::Experiments& experiments) {
  std::map<std::string, std::string> kept;
  for (auto& [name, text] : db.declarations().read()) kept.emplace(name, std::move(text));
  for (const engine::Experiment& experiment : experiments.list) {
    const std::string text = to_toml(experiment);
    const auto before = kept.find(experiment.name);
    if (before != kept.end() && before->second == text) continue;
    db.declarations().put(experiment.name, text);
  }
}

std::vector<engine::Experiment> kept_declarations(storage::Db& db) {
  std::vector<engine::Experiment> experiments;
  for (const auto& [name, text] : db.declarations().read()) {
    const std::string source = fmt::format("the declaration of '{}' in the store", name);
    try {
      const toml::table table = toml::parse(text);
      const toml::node* list = table.get("experiment");
      if (list == nullptr) throw std::runtime_error(source + " has no [[experiment]]");
      for (engine::Experiment& experiment : read_experiments(source, *list)) {
        experiments.push_back(std::move(experiment));
      }
    } catch (const toml::parse_error& error) {
      throw std::runtime_error(fmt::format("{} is no TOML: {}", source, error.description()));
    } catch (const TomlAssertion&) {
      throw std::runtime_error(source + " is no TOML");
    }
  }
  return experiments;
}

}  // namespace fovea::api
