#include "api/version_json.h"

#include <utility>

namespace fovea::api {

boost::json::array to_json(std::span<const engine::ListedVersion> versions) {
  boost::json::array result;
  for (const engine::ListedVersion& version : versions) {
    boost::json::object object{{"version", version.name}, {"current", version.current}};
    if (version.card) {
      const engine::VersionCard& card = *version.card;
      boost::json::object metrics;
      for (const auto& [name, value] : card.metrics) metrics[name] = value;
      object["trained_ms"] = card.trained_ms;
      object["split"] = engine::name(card.split);
      object["items"] = card.items;
      object["users"] = card.users;
      object["behaviours"] = card.behaviours;
      object["text_encoder"] = card.text_encoder;
      if (!card.from.empty()) object["from"] = card.from;
      if (!card.replaced.empty()) object["replaced"] = card.replaced;
      object["metrics"] = std::move(metrics);
    } else {
      object["damaged"] = version.complaint;
    }
    result.push_back(std::move(object));
  }
  return result;
}

}  // namespace fovea::api
