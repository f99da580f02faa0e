// The kernel that finds counted pairs: see scorer_pairs.h.
#include "ranking/scorer_kernels.h"

namespace fovea::ranking::scorer {
namespace {

// Calls meet(entry's row, its weight) for the lane's share of one source's entries.
template <typename Meet>
__device__ void for_each_entry(const PairsView& pairs, std::uint32_t source, unsigned lane,
                               const Meet& meet) {
  if (source >= pairs.sources) return;
  const std::uint32_t end = pairs.offsets[source + 1];
  for (std::uint32_t i = pairs.offsets[source] + lane; i < end; i += 32) {
    meet(pairs.rows[i], i);
  }
}

__global__ void __launch_bounds__(kThreads)
    pairs_kernel(const __grid_constant__ PairArguments arguments) {
  __shared__ std::uint32_t table_rows[kTableSlots];
  __shared__ std::uint16_t table_candidates[kTableSlots];
  const BlockView block(arguments.block);
  const Scratch& scratch = arguments.scratch;
  const unsigned lane = threadIdx.x % 32;
  const unsigned warp = threadIdx.x / 32;
  for (std::uint32_t g = blockIdx.x; g < block.header->groups; g += gridDim.x) {
    const PairGroup group = block.groups()[g];
    const User user = block.users()[group.user];
    const std::uint32_t* candidates = block.candidates() + user.first_candidate;
    const std::uint32_t words = bit_words(user.behaviours);
    const std::uint32_t earlier = user.sources - user.behaviours;
    std::uint32_t* bits = scratch.bits + user.first_word;
    PairValues* pairs = scratch.pairs + user.first_pair;
    const auto set_bit = [&](std::size_t word, std::uint32_t bit) {
      return (atomicOr(bits + word, bit) & bit) != 0;
    };
    for (std::uint32_t chunk = 0; chunk < user.candidates; chunk += kTableCandidates) {
      __syncthreads();
      for (unsigned slot = threadIdx.x; slot < kTableSlots; slot += kThreads) {
        table_rows[slot] = kNoRow;
      }
      __syncthreads();
      const std::uint32_t chunk_end = min(user.candidates, chunk + kTableCandidates);
      for (std::uint32_t c = chunk + threadIdx.x; c < chunk_end; c += kThreads) {
        const std::uint32_t row = candidates[c];
        if (row >= arguments.items) continue;
        std::uint32_t slot = slot_of(row);
        while (atomicCAS(table_rows + slot, kNoRow, row) != kNoRow) slot = next_slot(slot);
        table_candidates[slot] = static_cast<std::uint16_t>(c - chunk);
      }
      __syncthreads();
      for (std::uint32_t s = group.first + warp; s < min(user.sources, group.first + kPairGroup);
           s += kWarps) {
        const Source source = block.sources()[user.first_source + s];
        if (s < earlier) {
          for_each_entry(arguments.ease, source.row, lane, [&](std::uint32_t row, std::uint32_t i) {
            find(table_rows, table_candidates, row, [&](std::uint32_t c) {
              atomicAdd(reinterpret_cast<unsigned long long*>(scratch.earlier) +
                            user.first_candidate + chunk + c,
                        static_cast<unsigned long long>(to_fixed(arguments.ease.weights[i])));
            });
          });
          continue;
        }
        const std::uint32_t j = s - earlier;
        const auto add = [&](const PairsView& of, bool transition) {
          for_each_entry(of, source.row, lane, [&](std::uint32_t row, std::uint32_t i) {
            find(table_rows, table_candidates, row, [&](std::uint32_t c) {
              const float weight = of.weights[i];
              add_pair(pairs, words, user.behaviours, chunk + c, j,
                       transition ? PairValues{weight, 0} : PairValues{0, weight}, set_bit);
            });
          });
          __syncwarp();  // the next matrix may meet the same pair in another lane
        };
        add(arguments.transitions, true);
        add(arguments.since, true);
        if (source.positive != 0) add(arguments.ease, false);
      }
    }
  }
}

}  // namespace

void find_pairs(cudaStream_t stream, unsigned blocks, const PairArguments& arguments) {
  pairs_kernel<<<blocks, kThreads, 0, stream>>>(arguments);
}

}  // namespace fovea::ranking::scorer
