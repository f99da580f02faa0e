#include "api/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <cmath>
#include <stdexcept>
#include <string_view>

#include "engine/engine.h"

namespace fovea::api {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const toml::source_position& at,
                       const std::string& what) {
  throw std::runtime_error(fmt::format("{}:{}: {}", file.string(), at.line, what));
}

const toml::table& table_of(const std::filesystem::path& file, std::string_view key,
                            const toml::node& node) {
  if (const auto* table = node.as_table()) return *table;
  fail(file, node.source().begin, fmt::format("{} is a table, [{}]", key, key));
}

void read_action(const std::filesystem::path& file, std::string_view name, const toml::node& node,
                 Config& config) {
  const std::string path = fmt::format("actions.{}", name);
  storage::Action action{std::string(name)};
  for (const auto& [key, value] : table_of(file, path, node)) {
    const auto at = value.source().begin;
    if (key.str() == "weight") {
      const auto weight = value.value<double>();
      if (!weight || !std::isfinite(*weight)) {
        fail(file, at, fmt::format("{}.weight is a number; negative pushes away", path));
      }
      action.weight = *weight;
    } else if (key.str() == "seen") {
      const auto seen = value.value_exact<bool>();
      if (!seen) fail(file, at, fmt::format("{}.seen is true or false", path));
      if (!*seen) config.not_seen.insert(action.name);
    } else {
      fail(file, at, fmt::format("{} has no key '{}'; known are weight and seen", path, key.str()));
    }
  }
  config.actions.push_back(std::move(action));
}

}  // namespace

Config read_config(const std::filesystem::path& file) {
  toml::table root;
  try {
    root = toml::parse_file(file.string());
  } catch (const toml::parse_error& error) {
    fail(file, error.source().begin, std::string(error.description()));
  }
  Config config;
  for (const auto& [key, value] : root) {
    if (key.str() != "actions") {
      fail(file, value.source().begin,
           fmt::format("there is no key '{}'; known is [actions.NAME]", key.str()));
    }
    for (const auto& [name, action] : table_of(file, "actions", value)) {
      read_action(file, name.str(), action, config);
    }
  }
  return config;
}

void declare_actions(engine::Engine& engine, const Config& config) {
  for (const auto& action : config.actions) engine.declare_action(action.name, action.weight);
}

}  // namespace fovea::api
