#include "engine/behaviours.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/request.h"

namespace fovea::engine {

ranking::Behaviour to_behaviour(std::uint32_t row, std::uint16_t action,
                                std::optional<double> value, std::int64_t time_ms) {
  constexpr double kValueMax = 1e30;
  return {row, static_cast<std::uint16_t>(action + 1),
          static_cast<float>(std::clamp(value.value_or(0), -kValueMax, kValueMax)), time_ms};
}

std::uint16_t declared_action(const storage::Catalog& catalog, std::string_view action,
                              std::string_view field) {
  if (const auto index = catalog.action(action)) return *index;
  std::string declared;
  for (const auto& known : catalog.actions()) {
    declared += declared.empty() ? known.name : ", " + known.name;
  }
  throw InvalidRequest(std::string(field),
                       fmt::format("{} is '{}', which is not declared; declared are: {}", field,
                                   action, declared.empty() ? "none" : declared));
}

std::string action_name(std::span<const storage::Action> actions, std::uint16_t model_action) {
  return model_action == kSeedAction ? "seed" : actions[model_action - 1U].name;
}

double action_weight(std::span<const storage::Action> actions, std::uint16_t model_action) {
  return model_action == kSeedAction ? 1.0 : actions[model_action - 1U].weight;
}

}  // namespace fovea::engine
