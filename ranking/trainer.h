// Learns a Model from behaviours and texts: transitions counted, encoder by full softmax over all
// positions, ranker on behaviours that neither has seen. Owns the recipe; reads no disk and knows
// no names.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ranking/interactions.h"
#include "ranking/model.h"
#include "ranking/train_options.h"

namespace fovea::ranking {

struct TrainData {
  Interactions interactions;  ///< What may be learned from, oldest first.
  std::vector<HeldOut>
      validation;  ///< Decides when to stop; empty: the epochs of the first training are kept.
  std::size_t items = 0;            ///< V
  std::span<const float> texts;     ///< [V, K], centred unit vectors; zeros where none.
  std::size_t text_width = 0;       ///< K
  std::span<const float> whitened;  ///< [V, Z]
  std::size_t whitened_width = 0;   ///< Z
  std::vector<float>
      action_weights;  ///< By action index; [0] is 1. Targets are behaviours of positive weight.
};

/// One line of progress, also while nobody watches.
struct TrainProgress {
  std::string stage;  ///< "encoder for the ranker", "ranker", "encoder"
  std::size_t epoch = 0;
  double loss = 0;
  std::optional<double> validation_ndcg_10;
  double seconds = 0;  ///< Of this epoch.
};

struct TrainResult {
  Model model;
  double encoder_validation_ndcg_10 = 0;
  double ranker_validation_ndcg_10 = 0;
  std::size_t encoder_epochs = 0;
};

/// Requires at least one user with two behaviours of positive weight: std::invalid_argument
/// otherwise. The same data, options and machine give the same weights.
TrainResult train(const TrainData& data, const TrainOptions& options,
                  const std::function<void(const TrainProgress&)>& progress);

}  // namespace fovea::ranking
