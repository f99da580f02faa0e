// Adam, and everything that the next epoch of a training depends on, so that a training that was
// killed goes on as if it had not been. Owns which arrays are kept; when, and where they lie, is
// the caller's business.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "ranking/ops.h"
#include "ranking/random.h"
#include "ranking/weights.h"

namespace fovea::ranking {

/// Adam's moments for a set of weights, and the step. They lie where the weights do.
template <typename WeightSet>
class Adam {
 public:
  explicit Adam(const WeightSet& weights) : first_(weights), second_(weights) {
    for (WeightSet* moments : {&first_, &second_}) {
      for (auto& [name, tensor] : moments->tensors()) tensor->zero();
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
        const Placed<std::uint32_t> placed(context, rows);
        ops::adam_rows(context, rows.size(), placed.data(), width, options_of(sparse), steps_,
                       g[i].second->data(), w[i].second->data(), m[i].second->data(),
                       v[i].second->data());
        ops::zero_rows(context, rows.size(), width, placed.data(), g[i].second->data());
        continue;
      }
      ops::adam(context, w[i].second->size(), options_of(w[i].first), steps_, g[i].second->data(),
                w[i].second->data(), m[i].second->data(), v[i].second->data());
      g[i].second->zero();
    }
  }

 private:
  template <typename>
  friend struct TrainingState;
  WeightSet first_, second_;
  std::size_t steps_ = 0;
};

/// Between two epochs. `WeightSet` is EncoderWeights or RankerWeights.
template <typename WeightSet>
struct TrainingState {
  /// `order` in which the first epoch finds what it shuffles: 0 .. n - 1.
  TrainingState(const WeightSet& initial, Random random_of, std::size_t n)
      : weights(initial), best(initial), adam(initial), random(random_of), order(n) {
    for (std::uint32_t i = 0; i < n; ++i) order[i] = i;
  }

  WeightSet weights, best;
  Adam<WeightSet> adam;
  Random random;
  std::vector<std::uint32_t> order;  ///< Each epoch shuffles the one before it.
  std::size_t epoch = 0;             ///< That are done.
  std::size_t best_epoch = 0;
  double best_fitness = -std::numeric_limits<double>::infinity();
  double best_ndcg_10 = 0;

  void shuffle() {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  }
  /// The weights after `epoch` become the best where their `fitness` is higher.
  void compare(double fitness, double ndcg_10) {
    if (!(fitness > best_fitness)) return;
    best_fitness = fitness;
    best = weights;
    best_epoch = epoch;
    best_ndcg_10 = ndcg_10;
  }

  Weights save() const {
    Weights to;
    const auto put = [&](const std::string& prefix, const WeightSet& set) {
      for (const auto& [name, tensor] : set.tensors()) {
        to.put(prefix + name, tensor->shape(), tensor->read());
      }
    };
    put("weights.", weights);
    put("best.", best);
    put("first.", adam.first_);
    put("second.", adam.second_);
    to.put_ids("order", order);
    const Counts counts{epoch, best_epoch, adam.steps_, random.state(), best_fitness, best_ndcg_10};
    to.put_bytes("counts", {reinterpret_cast<const char*>(&counts), sizeof counts});
    return to;
  }
  /// What is not learned stays as it was made. Throws WeightsError on a state of other shapes.
  void load(const Weights& from) {
    const auto get = [&](const std::string& prefix, WeightSet& set) {
      for (const auto& [name, tensor] : set.tensors()) {
        tensor->assign(from.floats(prefix + name, tensor->shape()));
      }
    };
    get("weights.", weights);
    get("best.", best);
    get("first.", adam.first_);
    get("second.", adam.second_);
    const auto ids = from.ids("order");
    const auto bytes = from.bytes("counts");
    Counts counts;
    if (ids.size() != order.size() || bytes.size() != sizeof counts) {
      throw WeightsError("the state of a training does not fit the training");
    }
    order.assign(ids.begin(), ids.end());
    std::copy_n(bytes.begin(), sizeof counts, reinterpret_cast<char*>(&counts));
    epoch = counts.epoch;
    best_epoch = counts.best_epoch;
    adam.steps_ = counts.steps;
    random = Random::at(counts.random);
    best_fitness = counts.best_fitness;
    best_ndcg_10 = counts.best_ndcg_10;
  }

 private:
  struct Counts {
    std::uint64_t epoch = 0, best_epoch = 0, steps = 0, random = 0;
    double best_fitness = 0, best_ndcg_10 = 0;
  };
  static_assert(std::is_trivially_copyable_v<Counts>);
};

}  // namespace fovea::ranking
