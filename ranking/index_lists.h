// The lists of numbers that ops read beside floats: where sequences stand, where equal numbers
// stand. They are made on the host, a batch at a time, and go to a context's memory together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ranking/array.h"
#include "ranking/ops.h"

namespace fovea::ranking {

/// Lists one after another, so that one transfer takes them all to a device.
class IndexLists {
 public:
  /// Where a list stands; valid for the IndexLists that gave it.
  using List = std::size_t;
  struct SegmentLists {
    List ids, starts, order;
    std::size_t count;
  };
  struct SequenceLists {
    List offsets, sequence_of, pair_starts;
    std::size_t count, tokens, pairs;
  };

  List add(std::span<const std::uint32_t> numbers);
  /// Segments of equal numbers of `numbers`.
  SegmentLists add_segments(std::span<const std::uint32_t> numbers);
  /// Of `offsets` [S + 1] in tokens. At most 2^32 - 1 pairs.
  SequenceLists add_sequences(std::span<const std::uint32_t> offsets);

  /// Takes what was added to the context's memory. Nothing is added after that.
  void place(const Context& context);

  // From place() on, as long as this lives and does not move.
  const std::uint32_t* at(List list) const { return placed_.data() + list; }
  ops::Segments at(const SegmentLists& lists) const {
    return {lists.count, at(lists.ids), at(lists.starts), at(lists.order)};
  }
  ops::Sequences at(const SequenceLists& lists) const {
    return {lists.count,       lists.tokens,          lists.pairs,
            at(lists.offsets), at(lists.sequence_of), at(lists.pair_starts)};
  }

 private:
  std::vector<std::uint32_t> numbers_;
  Array<std::uint32_t> placed_;
};

}  // namespace fovea::ranking
