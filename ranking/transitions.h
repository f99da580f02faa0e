// A sparse item-to-item matrix counted from behaviour sequences: what is acted on soon after what.
// It costs seconds, takes no gradient, gives candidates of its own, and starts the target
// attention.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ranking/interactions.h"
#include "ranking/item_pairs.h"

namespace fovea::ranking {

/// C[a, b], b after a. Immutable once counted; thread-safe.
class Transitions : public ItemPairs {
 public:
  struct Options {
    std::size_t window = 5;  ///< b counts for a when it is at most this many behaviours after a.
    double gap_decay = 0.7;  ///< C[a,b] += gap_decay^(gap - 1)
    double backward = 0.5;   ///< C[b,a] += backward times the same
    double source_popularity = -0.25;   ///< C[a,b] *= popularity(a)^source_popularity
    double target_popularity = -0.1;    ///< ... * popularity(b)^target_popularity
    std::size_t row_entries_max = 200;  ///< The strongest kept per item.
  };
  static constexpr float kAgeDecay =
      0.6F;  ///< Behaviour number `age` from the newest (0) counts kAgeDecay^age.

  Transitions() = default;
  explicit Transitions(ItemPairs pairs) : ItemPairs(std::move(pairs)) {}
  /// `items` is the number of rows; behaviours at rows beyond it are ignored. A behaviour whose
  /// action's weight (by action index; 1 beyond them) is not positive is neither source nor target,
  /// and does not count in the distance of others.
  static Transitions count(const Interactions& interactions, std::size_t items,
                           std::span<const float> action_weights, const Options& options);
  /// What behaviours newer than `after_ms` add to transitions that were counted of those until
  /// then: pairs whose later behaviour is newer. `interactions` holds them and, before them, what
  /// their window reaches; `log_popularity` is log(1 + behaviours) of those counted before, by row.
  static Transitions count_since(std::int64_t after_ms, std::span<const float> log_popularity,
                                 const Interactions& interactions, std::size_t items,
                                 std::span<const float> action_weights, const Options& options);

  /// Every item with a transition score, sum over behaviours of kAgeDecay^age C[behaviour, item],
  /// once and in no order. `behaviours` newest first; only the first 20 count. `since` (or null)
  /// adds to C.
  std::vector<Entry> following(std::span<const std::uint32_t> behaviours_newest_first,
                               const Transitions* since = nullptr) const;
  /// The n of them with the highest score, best first; of equal scores the lower row first.
  std::vector<Entry> best(std::span<const std::uint32_t> behaviours_newest_first,
                          std::size_t n) const;
};

}  // namespace fovea::ranking
