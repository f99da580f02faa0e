// What one training step of the encoder minimises, and its gradient: cross-entropy of each next
// item, over all items or over a few that are drawn. Owns no weights and no step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ranking/encoder.h"

namespace fovea::ranking {

inline constexpr std::uint32_t kNoTarget = 0xFFFFFFFF;

/// The mean loss over `targets` (an item per token, kNoTarget to skip) with the softmax over all
/// items; its gradient is added to `gradient`. `mask` [V] and `whitened` [V, Z] are those of all
/// items, in the context's memory as weights, tape and gradient are; waits for the device.
double encoder_loss(const Context& context, const EncoderWeights& weights, const float* mask,
                    const float* whitened, const EncoderBatch& batch,
                    std::span<const std::uint32_t> targets, float dropout, std::uint64_t seed,
                    EncoderTape& tape, EncoderWeights& gradient);

/// The same with each target against `negatives` [K], drawn uniformly with replacement and shared
/// by the step: sampled softmax (Jean et al., arXiv 1412.2007), corrected as in Blanc and Rendle,
/// arXiv 1712.00527. A negative stands for V / K items, so log(V / K) is added to its logit; where
/// it is the target itself it does not count. The sum under the softmax is then right on average,
/// and the loss goes to encoder_loss as K grows. `rows` becomes the items that were touched,
/// ascending: only they are computed, and only their rows of gradient.items are added to.
double sampled_encoder_loss(const Context& context, const EncoderWeights& weights,
                            const float* mask, const float* whitened, const EncoderBatch& batch,
                            std::span<const std::uint32_t> targets,
                            std::span<const std::uint32_t> negatives, float dropout,
                            std::uint64_t seed, EncoderTape& tape, EncoderWeights& gradient,
                            std::vector<std::uint32_t>& rows);

/// Rows of logits over `items` to hold at once: Context::tile.
std::size_t logit_rows(const Context& context, std::size_t items);

}  // namespace fovea::ranking
