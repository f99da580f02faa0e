// See index_lists.h.
#include "ranking/index_lists.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace fovea::ranking {

IndexLists::List IndexLists::add(std::span<const std::uint32_t> numbers) {
  const List list = numbers_.size();
  numbers_.insert(numbers_.end(), numbers.begin(), numbers.end());
  return list;
}

IndexLists::SegmentLists IndexLists::add_segments(std::span<const std::uint32_t> numbers) {
  std::vector<std::uint64_t> sorted(numbers.size());  // by number, then by place
  for (std::size_t t = 0; t < numbers.size(); ++t) {
    sorted[t] = static_cast<std::uint64_t>(numbers[t]) << 32 | t;
  }
  std::ranges::sort(sorted);
  std::vector<std::uint32_t> ids;
  std::vector<std::uint32_t> starts;
  std::vector<std::uint32_t> order(sorted.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const auto number = static_cast<std::uint32_t>(sorted[i] >> 32);
    if (ids.empty() || ids.back() != number) {
      ids.push_back(number);
      starts.push_back(static_cast<std::uint32_t>(i));
    }
    order[i] = static_cast<std::uint32_t>(sorted[i]);
  }
  starts.push_back(static_cast<std::uint32_t>(sorted.size()));
  return {add(ids), add(starts), add(order), ids.size()};
}

IndexLists::SequenceLists IndexLists::add_sequences(std::span<const std::uint32_t> offsets) {
  std::vector<std::uint32_t> sequence_of(offsets.back());
  std::vector<std::uint32_t> pair_starts(offsets.size() - 1);
  std::uint64_t pairs = 0;
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
    std::fill(sequence_of.begin() + offsets[s], sequence_of.begin() + offsets[s + 1],
              static_cast<std::uint32_t>(s));
    pair_starts[s] = static_cast<std::uint32_t>(pairs);
    const std::uint64_t n = offsets[s + 1] - offsets[s];
    pairs += n * n;
  }
  if (pairs > std::numeric_limits<std::uint32_t>::max()) {
    throw std::length_error("a batch of more than 2^32 pairs of behaviours");
  }
  return {add(offsets),       add(sequence_of),   add(pair_starts),
          pair_starts.size(), sequence_of.size(), static_cast<std::size_t>(pairs)};
}

void IndexLists::place(const Context& context) {
  placed_ = context.device == nullptr
                ? Array<std::uint32_t>(std::exchange(numbers_, {}))
                : Array<std::uint32_t>(context, std::span<const std::uint32_t>(numbers_));
}

}  // namespace fovea::ranking
