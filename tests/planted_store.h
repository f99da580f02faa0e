// A store with exposures and behaviours of one experiment, "e", put there one by one, as a server
// would have written them. Shared by the tests of reports and by the program that plants for those
// in Python.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/experiments.h"
#include "storage/db.h"

namespace fovea::engine {

inline constexpr std::int64_t kDay0 = 1'770'000'000'000 / 86'400'000 * 86'400'000;
inline constexpr std::int64_t kHour = 3'600'000;
inline constexpr std::int64_t kDay = 24 * kHour;

/// "e": control and treatment, half each, success "buy", guardrail "refund".
inline Experiment planted_experiment() {
  Experiment experiment;
  experiment.name = experiment.salt = experiment.layer = "e";
  experiment.success = "buy";
  experiment.guardrails = {"refund"};
  experiment.variants = {{"control", .5, {}}, {"treatment", .5, {}}};
  return experiment;
}

inline void declare_planted_actions(storage::Db& db) {
  db.catalog().declare_action("view", 1);
  db.catalog().declare_action("buy", 5);
  db.catalog().declare_action("refund", -1);
}

struct PlantedExposure {
  std::string user, request;
  std::int64_t time_ms = 0;
  std::string variant;
  std::int32_t version = 1;
  std::string experiment = "e";
  std::vector<std::string> items;  ///< With teams: what was shown.
  std::vector<std::uint8_t> teams;
  bool shuffled = false;  ///< All of the items, uniformly.
};

/// Items that are shown must have been acted on, or put, before.
inline void plant(storage::Db& db, const PlantedExposure& planted) {
  storage::Exposure exposure{planted.request, planted.time_ms, "v1", {}, {}};
  for (const std::string& item : planted.items) {
    exposure.rows.push_back(db.catalog().row(item).value());
  }
  std::vector<float> propensities;
  if (planted.shuffled) {
    propensities.assign(planted.items.size(), 1.0F / static_cast<float>(planted.items.size()));
  }
  exposure.trials = {{planted.experiment, planted.version, planted.variant, std::move(propensities),
                      planted.teams}};
  db.exposures().append(planted.user, exposure);
}

struct PlantedEvent {
  std::string user, action;
  std::int64_t time_ms = 0;
  std::optional<std::string> request;
  std::optional<double> value;
  std::string item = "x";
};

inline void plant(storage::Db& db, const PlantedEvent& planted) {
  static std::uint64_t number = 0;
  const std::string id = std::to_string(number++);  // else two alike would be one
  const storage::NewEvent event{
      .user_id = planted.user,
      .item_id = planted.item,
      .action = planted.action,
      .time_ms = planted.time_ms,
      .value = planted.value,
      .event_id = id,
      .request_id =
          planted.request ? std::optional<std::string_view>(*planted.request) : std::nullopt};
  db.record({&event, 1});
}

}  // namespace fovea::engine
