// The rules of a request over scored candidates: diversity, caps and pins decide who stands where
// on a page. Looks nothing up: an attribute's values and an item's vector come with the candidates.
// Boosts are part of the score, and filters of what becomes a candidate.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/attributes.h"

namespace fovea::engine {

/// Values of one capped attribute.
struct CapValues {
  std::string attribute;
  std::size_t at_most = 0;
  /// By candidate [N]: keys of its values; an item is over the cap when one of them is.
  std::vector<std::vector<AttributeKey>> keys;
};

/// How often each value stands on a page, for each of its caps.
class CapCounts {
 public:
  explicit CapCounts(std::vector<std::size_t> at_most)
      : at_most_(std::move(at_most)), counts_(at_most_.size()) {}

  // `keys_of(c)` is what an item's values of cap c are: a range of keys.
  /// The first cap that one more such item would exceed; absent: none.
  template <typename KeysOf>
  std::optional<std::size_t> full(const KeysOf& keys_of) const {
    for (std::size_t c = 0; c < counts_.size(); ++c) {
      for (const AttributeKey& key : keys_of(c)) {
        const auto count = counts_[c].find(key);
        if (count != counts_[c].end() && count->second >= at_most_[c]) return c;
      }
    }
    return std::nullopt;
  }
  template <typename KeysOf>
  void add(const KeysOf& keys_of) {
    for (std::size_t c = 0; c < counts_.size(); ++c) {
      for (const AttributeKey& key : keys_of(c)) ++counts_[c][key];
    }
  }

 private:
  std::vector<std::size_t> at_most_;
  std::vector<std::map<AttributeKey, std::size_t>> counts_;  // by cap
};

struct PinnedCandidate {
  std::size_t candidate = 0;
  std::size_t position = 0;  ///< Over all pages, from 0.
};

struct Rules {
  std::size_t limit = 0;  ///< Of this page.
  std::size_t first = 0;  ///< Items on the pages before.
  double diversity = 0;   ///< 0 to 1
  /// Unit vectors of the candidates [N, width], for diversity; zeros for one without.
  std::span<const float> vectors;
  std::size_t width = 0;
  std::vector<CapValues> caps;
  std::vector<PinnedCandidate> pins;  ///< Distinct in both.
};

struct Placed {
  std::size_t candidate = 0;
  bool pinned = false;
  std::vector<std::string> moved_by;  ///< Rules that moved it, for people.
};

/// The page, in order, of candidates whose order by score is `by_score` (each once, best first).
/// Diversity takes, place by place, the candidate of greatest
///   (1 - diversity) * score - diversity * highest cosine to those before it,
/// scores as shares of the range of the first candidates (maximal marginal relevance, Carbonell and
/// Goldstein 1998). Then those over a cap are passed over, and the pins of this page take their
/// places; a pin counts in a cap and is not held back by it. A page is shorter than its limit where
/// candidates run out.
std::vector<Placed> arrange(std::span<const std::size_t> by_score, std::span<const double> scores,
                            const Rules& rules);

}  // namespace fovea::engine
