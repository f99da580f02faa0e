// The store's behaviours as arrays, for training and for measuring alike, so that the two cannot
// read differently.
#pragma once

#include <cstddef>
#include <vector>

#include "ranking/interactions.h"
#include "storage/db.h"

namespace fovea::engine {

struct Dataset {
  /// Of every user with behaviours, in the store's order, oldest first. Behaviours of absent items
  /// are left out, as they are when serving.
  ranking::Interactions interactions;
  std::vector<float> action_weights;  ///< By the model's action index; [0] is 1.
};

Dataset read_dataset(storage::Db& db);

}  // namespace fovea::engine
