// One list made of two by team draft, so that a reader's choices tell which of the two is better
// (Radlinski, Kurup and Joachims 2008). Owns the draft; what the lists are made of is not its
// matter.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace fovea::engine {

struct Drafted {
  std::uint32_t row = 0;
  std::uint8_t team = 0;  ///< 0: brought in by the first list, 1: by the second.
};

/// In each round both teams take, in an order drawn anew, the best of their list that is not taken
/// yet, until there are `n` or both lists have ended; where one has, the other goes on. `may_take`
/// is asked when it is a row's turn: what it lets through is taken, what it refuses is passed over.
/// The same seed and lists give the same draft.
std::vector<Drafted> team_draft(std::span<const std::uint32_t> first,
                                std::span<const std::uint32_t> second, std::size_t n,
                                std::uint64_t seed,
                                const std::function<bool(std::uint32_t row)>& may_take);

}  // namespace fovea::engine
