// Trains the user encoder and the item tower on behaviour sequences. Owns batches, steps and when
// to stop.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ranking/encoder.h"
#include "ranking/ops.h"
#include "ranking/trainer.h"

namespace fovea::ranking {

/// A behaviour sequence and what is to be told about it.
struct EncoderFit {
  EncoderWeights weights;
  std::size_t epochs = 0;  ///< Of the weights that were kept.
  double validation_ndcg_10 = 0;
};

/// Cross-entropy with the softmax over every item that a sequence touches (above
/// options.sampled_softmax_above of them a sampled one), at every position whose next behaviour has
/// an action of positive weight. Stops when the validation NDCG@10 has not
/// risen for options.patience epochs, or without validation after `epochs` of them.
EncoderFit train_encoder(const TrainData& data, const Interactions& sequences,
                         std::span<const HeldOut> validation, std::size_t epochs,
                         const TrainOptions& options, const std::string& stage,
                         const std::function<void(const TrainProgress&)>& progress);

/// The user state after the newest behaviour of each history, [n, D]. `vectors` [V, D] of all
/// items.
std::vector<float> last_states(const Context& context, const EncoderWeights& weights,
                               std::span<const float> vectors, std::span<const HeldOut> questions);

/// Item vectors of all V items as they serve, [V, D].
std::vector<float> all_item_vectors(const Context& context, const EncoderWeights& weights,
                                    std::span<const float> whitened);

/// Adam's moments for a set of weights, and the step.
template <typename WeightSet>
class Adam {
 public:
  explicit Adam(const WeightSet& weights) : first_(weights), second_(weights) {
    for (WeightSet* moments : {&first_, &second_}) {
      for (auto& [name, tensor] : moments->tensors()) tensor->values_fill(0);
    }
  }
  /// `options_of(name)` gives each array's options. Of the array `sparse` only `rows` have a
  /// gradient, and only they and their moments move (as in PyTorch's SparseAdam): with a large
  /// table a step then costs what it touches.
  template <typename OptionsOf>
  void step(const Context& context, WeightSet& gradient, WeightSet& weights,
            const OptionsOf& options_of, const std::string& sparse = {},
            std::span<const std::uint32_t> rows = {}) {
    ++steps_;
    const auto g = gradient.tensors();
    const auto w = weights.tensors();
    const auto m = first_.tensors();
    const auto v = second_.tensors();
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (w[i].first == sparse) {
        const std::size_t width = w[i].second->columns();
        for (const std::uint32_t row : rows) {
          ops::adam(context, width, options_of(sparse), steps_, g[i].second->row(row),
                    w[i].second->row(row), m[i].second->row(row), v[i].second->row(row));
          std::fill_n(g[i].second->row(row), width, 0.0F);
        }
        continue;
      }
      ops::adam(context, w[i].second->size(), options_of(w[i].first), steps_, g[i].second->data(),
                w[i].second->data(), m[i].second->data(), v[i].second->data());
      g[i].second->values_fill(0);
    }
  }

 private:
  WeightSet first_, second_;
  std::size_t steps_ = 0;
};

}  // namespace fovea::ranking
