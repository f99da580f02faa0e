// What a training's epochs came to, as JSON Lines: the log in a version's folder and in a
// checkpoint.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ranking/trainer.h"

namespace fovea::engine {

/// {"stage":..,"epoch":..,"loss":..,"validation_ndcg@10":..,"seconds":..,"best_epoch":..}
/// for each epoch; without validation, without that field.
std::string to_jsonl(std::span<const ranking::TrainProgress> epochs);

/// Throws what Boost.JSON throws on other text.
std::vector<ranking::TrainProgress> parse_jsonl(std::string_view text);

}  // namespace fovea::engine
