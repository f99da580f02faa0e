#include "api/experiments_config.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::api {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const toml::node& node, const std::string& what) {
  throw std::runtime_error(fmt::format("{}:{}: {}", file.string(), node.source().begin.line, what));
}

/// A value of the file, with the path of keys that leads to it.
struct Entry {
  const fs::path& file;
  std::string path;
  const toml::node& node;

  [[noreturn]] void refuse(std::string_view right) const {
    fail(file, node, fmt::format("{} is {}", path, right));
  }
  Entry inside(std::string_view key, const toml::node& value) const {
    return {file, fmt::format("{}.{}", path, key), value};
  }

  std::string text() const {
    if (const auto value = node.value_exact<std::string>()) return *value;
    refuse("a text in quotes");
  }
  double number() const {
    if (node.is_number()) return *node.value<double>();
    refuse("a number");
  }
  bool flag() const {
    if (const auto value = node.value_exact<bool>()) return *value;
    refuse("true or false");
  }
  std::int32_t whole() const {
    const auto value = node.value_exact<std::int64_t>();
    using Limits = std::numeric_limits<std::int32_t>;
    if (value && *value >= Limits::min() && *value <= Limits::max()) {
      return static_cast<std::int32_t>(*value);
    }
    refuse("a whole number");
  }
  template <typename Choice>
  Choice one_of(std::span<const std::pair<std::string_view, Choice>> choices) const {
    const auto given = node.value_exact<std::string>();
    std::string names;
    for (const auto& [name, choice] : choices) {
      if (given == name) return choice;
      if (!names.empty()) names += &choices.back().first == &name ? " or " : ", ";
      names += fmt::format("\"{}\"", name);
    }
    refuse(names);
  }

  /// Calls `read(entry)` for each table of a list of tables.
  void each_table(const std::function<void(const Entry&)>& read) const {
    const auto* list = node.as_array();
    const auto expected = fmt::format("a list of tables, [[{}]]", path);
    if (list == nullptr) refuse(expected);
    for (const auto& table : *list) {
      if (!table.is_table()) refuse(expected);
      read({file, path, table});
    }
  }

  using Keys = std::map<std::string_view, std::function<void(const Entry&)>>;
  /// Hands each value of a table to its key's reader.
  void each_key(const Keys& keys) const {
    const auto* table = node.as_table();
    if (table == nullptr) refuse(fmt::format("a table, [{}]", path));
    for (const auto& [key, value] : *table) {
      const auto known = keys.find(key.str());
      if (known != keys.end()) {
        known->second(inside(key.str(), value));
        continue;
      }
      std::string names;
      for (const auto& [name, read] : keys) names += fmt::format(" {},", name);
      names.back() = '.';
      fail(file, value, fmt::format("{} has no key '{}'; it has these:{}", path, key.str(), names));
    }
  }

  std::int64_t time_ms() const;
};

/// A date is its first moment; a time without an offset is UTC. Absent: it is no date.
std::optional<std::int64_t> moment_of(const toml::node& node) {
  toml::date date{};
  toml::time time{};
  std::chrono::minutes offset{0};
  if (const auto* day = node.as_date()) {
    date = day->get();
  } else if (const auto* moment = node.as_date_time()) {
    date = moment->get().date;
    time = moment->get().time;
    if (moment->get().offset) offset = std::chrono::minutes(moment->get().offset->minutes);
  } else if (const auto quoted = node.value_exact<std::string>();
             quoted && quoted->size() <= 40 &&
             quoted->find_first_not_of("0123456789-:+.TZ ") == std::string::npos) {
    // In quotes as without them: TOML's own rules say what a date is.
    try {
      const toml::table parsed = toml::parse("time = " + *quoted);
      return moment_of(*parsed.get("time"));
    } catch (const toml::parse_error&) {
      return std::nullopt;
    } catch (const TomlAssertion&) {
      return std::nullopt;
    }
  } else {
    return std::nullopt;
  }
  const std::chrono::sys_days day =
      std::chrono::year(date.year) / std::chrono::month(date.month) / std::chrono::day(date.day);
  const auto moment = day + std::chrono::hours(time.hour) + std::chrono::minutes(time.minute) +
                      std::chrono::seconds(time.second) - offset;
  const auto whole =
      std::chrono::duration_cast<std::chrono::milliseconds>(moment.time_since_epoch()).count();
  return whole + time.nanosecond / 1'000'000;
}

std::int64_t Entry::time_ms() const {
  if (const auto moment = moment_of(node); moment && *moment >= 0) return *moment;
  refuse("a date from 1970 on, such as 2026-03-01 or 2026-03-01T08:00:00Z");
}

engine::Boost read_boost(const Entry& entry) {
  engine::Boost boost;
  entry.each_key({{"filter", [&](const Entry& e) { boost.filter = e.text(); }},
                  {"add", [&](const Entry& e) { boost.add = e.number(); }}});
  return boost;
}

engine::Overrides read_overrides(const Entry& entry) {
  engine::Overrides set;
  entry.each_key({
      {"ranker", [&](const Entry& e) { set.ranker = e.flag(); }},
      {"candidates", [&](const Entry& e) { set.candidates = e.whole(); }},
      {"model_version", [&](const Entry& e) { set.model_version = e.text(); }},
      {"diversity", [&](const Entry& e) { set.diversity = e.number(); }},
      {"boosts",
       [&](const Entry& e) {
         e.each_table([&](const Entry& boost) { set.boosts.push_back(read_boost(boost)); });
       }},
      {"index",
       [&](const Entry& e) { set.index = e.one_of<engine::IndexKind>(engine::kIndexKinds); }},
  });
  return set;
}

engine::Variant read_variant(const Entry& entry) {
  engine::Variant variant;
  bool weighed = false;
  entry.each_key({
      {"name", [&](const Entry& e) { variant.name = e.text(); }},
      {"weight",
       [&](const Entry& e) {
         variant.weight = e.number();
         weighed = true;
       }},
      {"set", [&](const Entry& e) { variant.set = read_overrides(e); }},
  });
  if (!weighed) {
    fail(entry.file, entry.node,
         fmt::format("variant '{}' has no weight; its share of the experiment's units is expected",
                     variant.name));
  }
  return variant;
}

std::vector<std::string> read_texts(const Entry& entry) {
  const auto* list = entry.node.as_array();
  if (list == nullptr) entry.refuse("a list of texts");
  std::vector<std::string> texts;
  for (const auto& text : *list) texts.push_back(Entry{entry.file, entry.path, text}.text());
  return texts;
}

engine::Randomised read_randomised(const Entry& entry) {
  engine::Randomised randomised;
  entry.each_key({{"share", [&](const Entry& e) { randomised.share = e.number(); }},
                  {"first", [&](const Entry& e) { randomised.first = e.whole(); }}});
  return randomised;
}

engine::Experiment read_experiment(const Entry& entry) {
  engine::Experiment experiment;
  std::optional<std::string> layer;
  std::optional<std::string> salt;
  entry.each_key({
      {"name", [&](const Entry& e) { experiment.name = e.text(); }},
      {"version", [&](const Entry& e) { experiment.version = e.whole(); }},
      {"layer", [&](const Entry& e) { layer = e.text(); }},
      {"from", [&](const Entry& e) { experiment.from = e.number(); }},
      {"to", [&](const Entry& e) { experiment.to = e.number(); }},
      {"unit", [&](const Entry& e) { experiment.unit = e.one_of<engine::Unit>(engine::kUnits); }},
      {"hash", [&](const Entry& e) { experiment.hash = e.one_of<engine::Hash>(engine::kHashes); }},
      {"salt", [&](const Entry& e) { salt = e.text(); }},
      {"success", [&](const Entry& e) { experiment.success = e.text(); }},
      {"guardrails", [&](const Entry& e) { experiment.guardrails = read_texts(e); }},
      {"start", [&](const Entry& e) { experiment.start_ms = e.time_ms(); }},
      {"end", [&](const Entry& e) { experiment.end_ms = e.time_ms(); }},
      {"interleave", [&](const Entry& e) { experiment.interleave = e.flag(); }},
      {"randomised", [&](const Entry& e) { experiment.randomised = read_randomised(e); }},
      {"variant",
       [&](const Entry& e) {
         e.each_table(
             [&](const Entry& variant) { experiment.variants.push_back(read_variant(variant)); });
       }},
  });
  experiment.layer = layer.value_or(experiment.name);  // one of its own
  experiment.salt = salt.value_or(experiment.name);
  return experiment;
}

}  // namespace

std::vector<engine::Experiment> read_experiments(const fs::path& file, const toml::node& node) {
  std::vector<engine::Experiment> experiments;
  Entry{file, "experiment", node}.each_table([&](const Entry& entry) {
    engine::Experiment experiment = read_experiment(entry);
    try {
      engine::validate(experiment, experiments);
    } catch (const engine::InvalidRequest& error) {
      fail(file, entry.node, fmt::format("experiment '{}': {}", experiment.name, error.what()));
    }
    experiments.push_back(std::move(experiment));
  });
  return experiments;
}

engine::Holdout read_holdout(const fs::path& file, const toml::node& node) {
  const Entry entry{file, "holdout", node};
  engine::Holdout holdout;
  entry.each_key({{"share", [&](const Entry& e) { holdout.share = e.number(); }},
                  {"salt", [&](const Entry& e) { holdout.salt = e.text(); }}});
  try {
    engine::validate(holdout);
  } catch (const engine::InvalidRequest& error) {
    fail(file, node, fmt::format("holdout: {}", error.what()));
  }
  return holdout;
}

}  // namespace fovea::api
