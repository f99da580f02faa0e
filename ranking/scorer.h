// The ranker on a GPU: target attention, features and MLP of a whole batch of requests in one
// kernel, over ragged histories and candidates, no padding between them. What does not change
// within a model version lies on the device; a call uploads one block of bytes and brings back
// scores, or the best of each request. The formula is ranker.h's, and rank_candidates() its proof.
// Where the build or the machine has no GPU, scorer_unavailable() says why and the constructor
// throws. Legend: B users, L behaviours, N candidates, D channels, H heads, K text channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ranking/interactions.h"
#include "ranking/ranker.h"

namespace fovea::ranking {

/// The device failed: none there, driver too old, out of memory, lost. Whoever catches it can
/// answer with rank_candidates() instead; the Scorer is not used again, but for out_of_memory.
class ScorerError : public std::runtime_error {
 public:
  ScorerError(const std::string& what, bool out_of_memory)
      : std::runtime_error(what), out_of_memory_(out_of_memory) {}
  bool out_of_memory() const { return out_of_memory_; }

 private:
  bool out_of_memory_;
};

/// One user and their candidates. Behaviours are oldest first, at most 4,096 of them, their actions
/// below the ranker's; L may be 0, and then what behaviours would say is 0. A row at or beyond the
/// items of the bank has no vector: as a behaviour it is read as zeros, as a candidate it scores
/// -infinity.
struct ScorerRequest {
  std::span<const Behaviour> behaviours;      // [L]
  std::span<const Behaviour> earlier;         // before those; only EASE reads them
  std::span<const float> state;               // [D], Model::user_state()
  float centre = 0;                           // of the retrieval score
  std::span<const std::uint32_t> candidates;  // [N] rows; empty where they lie on the device
  std::size_t device_candidates = 0;          // N, where they do
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
  double pairs_us = 0, tiles_us = 0, best_us = 0, all_us = 0;
};

/// Why there is no GPU for a Scorer; nothing where there is one. Never throws.
std::optional<std::string> scorer_unavailable();

/// For one thread at a time.
class Scorer {
 public:
  /// `items_max` >= V: room for items that come later. `weights` is copied. Throws ScorerError, and
  /// std::invalid_argument for a ranker of more than 8 heads.
  Scorer(const RankerWeights& weights, const ItemRelations& relations, const ScorerItems& items,
         std::size_t items_max, ScorerPrecision precision);
  ~Scorer();
  Scorer(const Scorer&) = delete;
  Scorer& operator=(const Scorer&) = delete;

  /// Writes items [first, first + n): new ones, or changed ones. first + n <= items_max.
  void put(std::size_t first, const ScorerItems& items);
  /// Replaces what later behaviours add to the transitions; null: nothing.
  void put_since(const Transitions* since);

  /// Scores of every candidate, request after request: `scores` [sum of N]. `device_rows`: the
  /// candidates of all requests one after another in the device's memory, written before the call,
  /// or null.
  void score(std::span<const ScorerRequest> requests, std::span<float> scores,
             const std::uint32_t* device_rows = nullptr);
  /// The n <= 1024 best of each request, best first, ties in the order of the candidates. A request
  /// of fewer gives fewer.
  std::vector<std::vector<ScorerBest>> best(std::span<const ScorerRequest> requests, std::size_t n,
                                            const std::uint32_t* device_rows = nullptr);

  /// The kernels of the last call again, without its transfers. For benchmarks; scores are not
  /// downloaded, and the next call is unaffected.
  ScorerTimes repeat(int times);

  std::size_t device_bytes() const;  ///< What is held on the device now.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fovea::ranking
