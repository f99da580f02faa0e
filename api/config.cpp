#include "api/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "api/experiments_config.h"
#include "api/toml.h"
#include "engine/engine.h"

namespace fovea::api {
namespace {

/// Absent: it is no list, or has something else than strings.
std::optional<std::vector<std::string>> texts_of(const toml::node& node) {
  const auto* list = node.as_array();
  if (list == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& one : *list) {
    const auto text = one.value_exact<std::string>();
    if (!text) return std::nullopt;
    texts.push_back(*text);
  }
  return texts;
}

std::string describe(const toml::node& node) {
  if (const auto text = node.value_exact<std::string_view>()) {
    return fmt::format("the string \"{}\"", *text);
  }
  if (const auto number = node.value_exact<std::int64_t>()) {
    return fmt::format("the number {}", *number);
  }
  if (const auto number = node.value_exact<double>()) return fmt::format("the number {}", *number);
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  if (const auto texts = texts_of(node)) {
    std::string list;
    for (const auto& text : *texts) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", text);
    return fmt::format("the list [{}]", list);
  }
  if (node.is_array()) return "a list";
  return node.is_table() ? "a table" : "a date or time";
}

/// One file on its way in.
class Reader {
 public:
  Reader(const std::filesystem::path& file, std::vector<std::string>& complaints)
      : file_(file), complaints_(complaints) {}

  Config read();

 private:
  void complain(const toml::source_position& at, const std::string& what) {
    complaints_.push_back(fmt::format("{}:{}: {}", file_.string(), at.line, what));
  }
  const toml::table* table_of(std::string_view key, const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr) {
      complain(node.source().begin,
               fmt::format("{} is {}; a table is expected, [{}]", key, describe(node), key));
    }
    return table;
  }
  void read_action(std::string_view name, const toml::node& node);
  void read_server(const toml::table& table);
  void read_experiment(std::string_view key, const toml::node& node);

  const std::filesystem::path& file_;
  std::vector<std::string>& complaints_;
  Config config_;
};

void Reader::read_action(std::string_view name, const toml::node& node) {
  const std::string path = fmt::format("actions.{}", name);
  const auto* table = table_of(path, node);
  if (table == nullptr) return;
  storage::Action action{std::string(name)};
  for (const auto& [key, value] : *table) {
    const auto at = value.source().begin;
    if (key.str() == "weight") {
      const auto weight = value.value<double>();
      if (weight && std::isfinite(*weight)) {
        action.weight = *weight;
      } else {
        complain(at, fmt::format("{}.weight is {}; a number is expected, and a negative one pushes "
                                 "away",
                                 path, describe(value)));
      }
    } else if (key.str() == "seen") {
      const auto seen = value.value_exact<bool>();
      if (!seen) {
        complain(at,
                 fmt::format("{}.seen is {}; true or false is expected", path, describe(value)));
      } else if (!*seen) {
        config_.not_seen.insert(action.name);
      }
    } else {
      complain(at, fmt::format("{} has no key '{}'; known are weight and seen", path, key.str()));
    }
  }
  config_.actions.push_back(std::move(action));
}

void Reader::read_server(const toml::table& table) {
  for (const auto& [key, value] : table) {
    FileSetting setting{std::string(key.str()), value.source().begin.line, {}, describe(value)};
    if (const auto text = value.value_exact<std::string>()) {
      setting.value = *text;
    } else if (const auto number = value.value_exact<std::int64_t>()) {
      setting.value = *number;
    } else if (const auto real = value.value_exact<double>()) {
      setting.value = *real;
    } else if (const auto flag = value.value_exact<bool>()) {
      setting.value = *flag;
    } else if (auto texts = texts_of(value)) {
      setting.value = std::move(*texts);
    }
    config_.server.push_back(std::move(setting));
  }
  std::sort(config_.server.begin(), config_.server.end(),
            [](const auto& a, const auto& b) { return a.line < b.line; });
}

void Reader::read_experiment(std::string_view key, const toml::node& node) {
  try {
    if (key == "holdout") {
      config_.experiments.holdout = read_holdout(file_, node);
    } else {
      config_.experiments.list = read_experiments(file_, node);
    }
  } catch (const std::runtime_error& error) {
    complaints_.emplace_back(error.what());
  }
}

Config Reader::read() {
  if (std::filesystem::is_directory(file_)) {  // which reads as an empty file
    complaints_.push_back(
        fmt::format("{} is a directory; a TOML file is expected", file_.string()));
    return {};
  }
  toml::table root;
  try {
    root = parse_toml(file_);
  } catch (const toml::parse_error& error) {
    complain(error.source().begin, std::string(error.description()));
    return {};
  } catch (const std::runtime_error& error) {
    complaints_.emplace_back(error.what());
    return {};
  }
  for (const auto& [key, value] : root) {
    if (key.str() == "actions") {
      const auto* actions = table_of("actions", value);
      if (actions == nullptr) continue;
      for (const auto& [name, action] : *actions) read_action(name.str(), action);
    } else if (key.str() == "server") {
      if (const auto* table = table_of("server", value)) read_server(*table);
    } else if (key.str() == "experiment" || key.str() == "holdout") {
      read_experiment(key.str(), value);
    } else {
      complain(value.source().begin,
               fmt::format("there is no key '{}'; known are [server], [actions.NAME], "
                           "[[experiment]] and [holdout]",
                           key.str()));
    }
  }
  return std::move(config_);
}

}  // namespace

Config read_config(const std::filesystem::path& file, std::vector<std::string>& complaints) {
  return Reader(file, complaints).read();
}

Config read_config(const std::filesystem::path& file) {
  std::vector<std::string> complaints;
  Config config = read_config(file, complaints);
  if (!complaints.empty()) {
    throw std::runtime_error(fmt::format("{}", fmt::join(complaints, "\n")));
  }
  return config;
}

void declare_actions(engine::Engine& engine, const Config& config) {
  for (const auto& action : config.actions) engine.declare_action(action.name, action.weight);
}

}  // namespace fovea::api
