// Trains the user encoder and the item tower on behaviour sequences. Owns batches, steps and when
// to stop.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ranking/encoder.h"
#include "ranking/trainer.h"
#include "ranking/training_state.h"

namespace fovea::ranking {

/// A behaviour sequence and what is to be told about it.
struct EncoderFit {
  EncoderWeights weights;
  std::size_t epochs = 0;  ///< Of the weights that were kept.
  double validation_ndcg_10 = 0;
};

/// Cross-entropy with the softmax over every item that a sequence touches (above
/// options.sampled_softmax_above of them a sampled one), at every position whose next behaviour has
/// an action of positive weight. Stops when the validation NDCG@10 has not risen for
/// options.patience epochs, or without validation after `epochs` of them. Begins at `from` where it
/// is not null: rows that it has not learned are zero at first, and where validation never rises
/// above it, it is what is kept. Runs on options.device; what it gives lies in the host's memory.
EncoderFit train_encoder(const TrainData& data, const Interactions& sequences,
                         std::span<const HeldOut> validation, std::size_t epochs,
                         const EncoderWeights* from, const TrainOptions& options,
                         const std::string& stage, const TrainWatch& watch);

/// The user state after the newest behaviour of each history, [n, D], in the context's memory;
/// zeros without one. `vectors` [V, D] of all items.
Tensor last_states(const Context& context, const EncoderWeights& weights, const Tensor& vectors,
                   std::span<const HeldOut> questions);

/// Item vectors of all V items as they serve, [V, D], in the context's memory.
Tensor all_item_vectors(const Context& context, const EncoderWeights& weights,
                        const float* whitened);

}  // namespace fovea::ranking
