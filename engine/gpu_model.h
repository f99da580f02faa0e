// One version on a GPU: user encoder, index and ranker on one stream. Owns what lies there and the
// order of a batch: user states, nearest items, scores; between the three nothing touches the host.
// Which requests come together, and what happens when it fails, is engine/gpu's decision.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/item_vectors.h"
#include "index/live_index.h"
#include "ranking/interactions.h"
#include "ranking/model.h"

namespace fovea::engine {

/// One user, to be read and ranked. Legend as in ranking/model.h.
struct GpuQuestion {
  std::vector<ranking::Behaviour> behaviours;  ///< [L], 1 to behaviours_max(), oldest first
  std::vector<ranking::Behaviour> earlier;     ///< before those
  std::vector<float> vectors;                  ///< of the items of `behaviours` [L, D]
  std::size_t nearest = 0;                     ///< how many, 1 to GpuModel::kNearestMax
  std::vector<std::uint32_t> others;           ///< rows to score besides the nearest
  std::vector<float> bias;                     ///< [L], what a query adds to attention, or empty
};

struct GpuAnswer {
  std::vector<float> state;               ///< [D], as Model::user_state()
  std::vector<index::Neighbour> nearest;  ///< best first; fewer where there are no more
  // As Model::score(), but for what bfloat16 rounds:
  std::vector<float> nearest_scores;  ///< in the order of `nearest`
  std::vector<float> other_scores;    ///< in the order of GpuQuestion::others
};

/// What a version is ranked from; all that it refers to must outlive its GpuModel.
struct GpuSource {
  const ranking::Model& model;
  const ItemVectors& vectors;
  std::shared_ptr<const index::LiveIndex> index;  ///< With a main index.
  std::span<const float> log_popularity;          ///< By row; 0 beyond.
};

class GpuModel {
 public:
  static constexpr std::size_t kNearestMax = 2048;

  /// Takes the first GPU. Builds an exact index where that takes no more than half of `bytes_max`
  /// of the device's memory, else lists of 16-bit floats, else of codes; uses `threads` threads for
  /// that. Ranks a few users to compare with the CPU. Throws Unavailable with a sentence where it
  /// needs more than `bytes_max` or computes something else than the CPU, and
  /// ranking::DeviceError or index::DeviceError.
  GpuModel(const GpuSource& source, std::size_t bytes_max, int threads);
  ~GpuModel();
  GpuModel(const GpuModel&) = delete;
  GpuModel& operator=(const GpuModel&) = delete;

  /// New or changed items, for whatever search finds them later: called before they are put into
  /// the index. `texts` [n, K], `vectors` [n, D]. False where a row has no room any more; then
  /// nothing is put. Any thread.
  bool put(std::span<const std::uint32_t> rows, std::span<const float> texts,
           std::span<const float> vectors);

  /// One answer for each question, in order. `since` (or null) is what behaviours after training
  /// add to the transitions. One thread at a time. Throws ranking::DeviceError and
  /// index::DeviceError; afterwards it is not used again.
  std::vector<GpuAnswer> rank(std::span<const GpuQuestion* const> questions,
                              const std::shared_ptr<const ranking::Transitions>& since);

  std::size_t bytes() const;          ///< Reserved of the device's memory, by estimate.
  const std::string& kind() const;    ///< Of the index: "gpu-exact".
  const std::string& device() const;  ///< "NVIDIA H200"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea::engine
