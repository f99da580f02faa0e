// How a stored event becomes a behaviour of the model, for training and serving alike.
// Storage counts declared actions from 0; for the model 0 is "no particular action", which seed
// items have, so that a declared action has its storage index + 1.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ranking/interactions.h"
#include "storage/catalog.h"
#include "storage/history.h"

namespace fovea::engine {

inline constexpr std::uint16_t kSeedAction = 0;

/// `action` is storage's index. A value beyond what the model's single precision can add up is cut
/// to it.
ranking::Behaviour to_behaviour(std::uint32_t row, std::uint16_t action,
                                std::optional<double> value, std::int64_t time_ms);
inline ranking::Behaviour to_behaviour(const storage::Event& event) {
  return to_behaviour(event.row, event.action, event.value, event.time_ms);
}

/// The storage index of an action. Throws InvalidRequest(field), naming those that are declared.
std::uint16_t declared_action(const storage::Catalog& catalog, std::string_view action,
                              std::string_view field);

/// For people; "seed" for kSeedAction.
std::string action_name(std::span<const storage::Action> actions, std::uint16_t model_action);

/// 1 for kSeedAction.
double action_weight(std::span<const storage::Action> actions, std::uint16_t model_action);

}  // namespace fovea::engine
