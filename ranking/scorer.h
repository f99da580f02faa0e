// The ranker on a GPU: target attention, features and MLP of a whole batch of requests in one
// kernel, over ragged histories and candidates, no padding between them. What does not change
// within a model version lies on the device; a call uploads one block of bytes and brings back
// scores, or the best of each request; candidates that a search left on the device stay there. The
// formula is ranker.h's, and rank_candidates() its proof. Legend: B users, L behaviours, N
// candidates, D channels, H heads, K text channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ranking/device.h"
#include "ranking/interactions.h"
#include "ranking/ranker.h"

namespace fovea::ranking {

/// One user and their candidates. Behaviours are oldest first, at most 4,096 of them, their actions
/// below the ranker's; L may be 0, and then what behaviours would say is 0. A row at or beyond the
/// items of the bank has no vector: as a behaviour it is read as zeros, as a candidate it scores
/// -infinity.
struct ScorerRequest {
  std::span<const Behaviour> behaviours;  // [L]
  std::span<const Behaviour> earlier;     // before those; only EASE reads them
  std::span<const float> state;           // [D], Model::user_state(); empty with ScorerRetrieved
  float centre = 0;                       // of the retrieval score; unread with ScorerRetrieved
  std::span<const std::uint32_t> candidates;  // [N] rows; with ScorerRetrieved, after its own
  std::span<const float> bias = {};           // [L], as BehaviourInput's; empty: nothing
};

/// What a search has left in the device's memory, or is queued on its stream to leave: `count`
/// candidates of every request of the batch, before those that the request brings. The centre of
/// the retrieval score is the mean of the first `centre_k` similarities, of as many as there are,
/// and 0 where there are none.
struct ScorerRetrieved {
  const std::uint32_t* rows = nullptr;  // [B, count] best first; 0xFFFFFFFF after the last
  const float* similarities = nullptr;  // [B, count] inner products with the state
  const float* states = nullptr;        // [B, D], Model::user_state()
  std::size_t count = 0;
  std::size_t centre_k = 0;
};

/// Every item of the catalogue, row by row. [V, D], [V, K], [V]
struct ScorerItems {
  std::span<const float> vectors;
  std::span<const float> texts;
  std::span<const float> log_popularity;
};

enum class ScorerPrecision : bool {
  kFloat32,   ///< Agrees with the CPU within 1e-4; many times slower.
  kBfloat16,  ///< Bank and MLP in bfloat16, every sum in float.
};

struct ScorerBest {
  std::uint32_t row = 0;
  std::uint32_t candidate = 0;  ///< Its place among the request's candidates.
  float score = 0;
};

/// Mean microseconds of one repetition by the device's clock; all_us is all of them together.
struct ScorerTimes {
  double gather_us = 0, pairs_us = 0, tiles_us = 0, best_us = 0, all_us = 0;
};

/// Bytes of the device's memory that a Scorer will hold between calls, to plan with.
std::size_t scorer_bytes(const RankerWeights& weights, const ItemRelations& relations,
                         std::size_t items_max, ScorerPrecision precision);

/// For the thread that has the device. Everything runs on the device's stream, after what was
/// queued there before. Throws DeviceError where the device fails; whoever catches it can answer
/// with rank_candidates() instead, and the Scorer is used again only if it was out_of_memory().
class Scorer {
 public:
  /// `device` must outlive this. `items_max` >= V: room for items that come later. `weights` is
  /// copied. Throws std::invalid_argument for a ranker of more than 8 heads.
  Scorer(Device& device, const RankerWeights& weights, const ItemRelations& relations,
         const ScorerItems& items, std::size_t items_max, ScorerPrecision precision);
  ~Scorer();
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  /// Writes items [first, first + n): new ones, or changed ones. first + n <= items_max.
  void put(std::size_t first, const ScorerItems& items);
  /// Replaces what later behaviours add to the transitions; null: nothing.
  void put_since(const Transitions* since);

  /// Scores of every candidate, request after request: `scores` [sum of N], where N counts what was
  /// retrieved. Null: nothing was. Waits for the scores.
  void score(std::span<const ScorerRequest> requests, std::span<float> scores,
             const ScorerRetrieved* retrieved = nullptr);
  /// The n <= 1024 best of each request, best first, ties in the order of the candidates. A request
  /// of fewer gives fewer.
  std::vector<std::vector<ScorerBest>> best(std::span<const ScorerRequest> requests, std::size_t n,
                                            const ScorerRetrieved* retrieved = nullptr);

  /// The kernels of the last call again, without its transfers; what was retrieved must still be
  /// there. For benchmarks; scores are not downloaded, and the next call is unaffected.
  ScorerTimes repeat(int times);

  std::size_t device_bytes() const;  ///< What is held on the device now.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea::ranking
