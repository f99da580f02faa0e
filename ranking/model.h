// The learned model of one version, for inference: item tower, user encoder, ranker.
// Legend: B users in a batch, L behaviours, N candidates, D channels, H heads, V items, K text
// channels, Z whitened. Owns the formulas on a request's path; training is trainer's, and where
// vectors lie in memory is the engine's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ranking/context.h"
#include "ranking/interactions.h"
#include "ranking/transitions.h"
#include "ranking/weights.h"

namespace fovea::ranking {

struct EncoderWeights;
struct RankerWeights;
struct ItemRelations;

/// The user's behaviours as the model reads them, oldest first.
/// Arrays are parallel; `vectors` [L, D] and `texts` [L, K] as the engine holds them for those
/// items.
struct BehaviourInput {
  std::span<const Behaviour> behaviours;
  std::span<const float> vectors;
  std::span<const float> texts;
  std::span<const Behaviour> earlier = {};  ///< Before those, oldest first; only EASE reads them.
  /// What attention's logits get besides, in every head (ranking/query_bias) [L]; empty: nothing.
  std::span<const float> bias = {};
};

struct CandidateInput {
  std::span<const std::uint32_t> rows;    // [N]
  std::span<const float> vectors;         // [N, D]
  std::span<const float> texts;           // [N, K]
  std::span<const float> log_popularity;  // [N], log(1 + training behaviours); 0 for a new item
};

/// The named terms of a score; they add up to it.
inline constexpr std::array<std::string_view, 7> kScoreParts = {
    "retrieval",    // inner product of user state and item, centred
    "attention",    // evidence of the behaviours, weighed by target attention
    "transitions",  // what follows what, fixed decay, and EASE over all behaviours
    "text",         // cosines to the last behaviours' texts
    "similarity",   // cosines to the behaviours' learned vectors
    "popularity",   // log of training behaviours
    "interaction",  // the MLP over all of these
};

struct Scores {
  std::vector<float> total;                                  // [N]
  std::vector<std::array<float, kScoreParts.size()>> parts;  // [N], empty unless asked for
  std::vector<float> attention;  // [N, L], mean over heads, rows sum to at most 1;
                                 // empty unless asked for
};

/// Immutable; thread-safe.
class Model {
 public:
  Model(std::shared_ptr<const EncoderWeights> encoder, std::shared_ptr<const RankerWeights> ranker,
        Transitions transitions, ItemPairs ease);

  std::size_t width() const;           ///< D
  std::size_t text_width() const;      ///< K
  std::size_t behaviours_max() const;  ///< L, newest kept
  std::size_t items() const;           ///< V at training
  std::size_t actions() const;         ///< A; behaviours of actions beyond are read as of none
  /// Reference candidates behind the centre of the retrieval score: the mean over the top centre_k
  /// retrieved.
  std::size_t centre_k() const;

  /// e_i = m_i E_i + W z_i. `whitened` is [n, Z]; rows at or beyond items(), or never acted on,
  /// have m_i = 0.
  void item_vectors(const Context& context, std::span<const std::uint32_t> rows,
                    std::span<const float> whitened, std::span<float> out) const;

  /// The retrieval query h [D]. Requires L >= 1.
  std::vector<float> user_state(const Context& context, const BehaviourInput& behaviours) const;

  /// Scores every candidate against the behaviours (L >= 1). `state` is user_state(), `centre` the
  /// mean inner product of state with the centre_k() nearest items.
  /// `since` (or null) is what behaviours after training add to transitions().
  Scores score(const Context& context, std::span<const float> state,
               const BehaviourInput& behaviours, const CandidateInput& candidates, float centre,
               bool explain, const Transitions* since = nullptr) const;

  const Transitions& transitions() const { return transitions_; }
  ItemRelations relations() const;
  const EncoderWeights& encoder() const { return *encoder_; }
  const RankerWeights& ranker() const { return *ranker_; }

  void save(Weights& weights) const;  ///< Arrays named "encoder.*", "ranker.*", "transitions.*".
  static Model load(const Weights& weights);

 private:
  std::shared_ptr<const EncoderWeights> encoder_;
  std::shared_ptr<const RankerWeights> ranker_;
  Transitions transitions_;
  ItemPairs ease_;  // empty where the catalogue is too large
};

}  // namespace fovea::ranking
