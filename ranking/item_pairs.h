// A sparse item-to-item matrix: for each source the targets it speaks for, and how strongly. Owns
// the arrays; what an entry means is its maker's (transitions, ease).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ranking/weights.h"

namespace fovea::ranking {

/// Immutable; thread-safe.
class ItemPairs {
 public:
  struct Entry {
    std::uint32_t row;
    float weight;
  };

  ItemPairs() = default;

  /// Entries of one source, ascending by row; empty for a row beyond those it was made of.
  std::span<const Entry> from(std::uint32_t row) const;
  float weight(std::uint32_t source, std::uint32_t target) const;  ///< 0 when not kept.
  std::size_t entries() const { return entries_.size(); }          ///< Of all sources.

  void save(Weights& weights, const std::string& name) const;  ///< Arrays "<name>.*".
  static ItemPairs load(const Weights& weights, const std::string& name);

  /// Appends the next source: of its entries the `kept` of greatest magnitude, ties by row.
  void add_source(std::vector<Entry> entries, std::size_t kept);

 private:
  std::vector<std::uint32_t> offsets_ = {0};  // [sources + 1]
  std::vector<Entry> entries_;
};

}  // namespace fovea::ranking
