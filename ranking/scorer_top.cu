// The kernel that keeps the best of each request: see scorer_top.h.
#include "ranking/scorer_kernels.h"
#include "ranking/scorer_top.h"

namespace fovea::ranking::scorer {
namespace {

__global__ void __launch_bounds__(kTopMax) top_kernel(const std::byte* bytes, Scratch scratch) {
  __shared__ std::uint64_t keys[kSorted];
  const BlockView block(bytes);
  const std::uint32_t* rows = block.candidates();
  for (std::uint32_t u = blockIdx.x; u < block.header->users; u += gridDim.x) {
    const User user = block.users()[u];
    keys[threadIdx.x] = kNoKey;
    for (std::uint32_t first = 0; first < user.candidates; first += kTopMax) {
      const std::uint32_t c = first + threadIdx.x;
      std::uint64_t key = kNoKey;
      if (c < user.candidates) {
        const float score = scratch.scores[user.first_candidate + c];
        if (score > -INFINITY) key = key_of(score, c);  // not where it is none or no number
      }
      keys[kTopMax + threadIdx.x] = key;
      __syncthreads();
      for (std::uint32_t size = 2; size <= kSorted; size *= 2) {
        for (std::uint32_t distance = size / 2; distance > 0; distance /= 2) {
          perform(exchange(threadIdx.x, size, distance), keys);
          __syncthreads();
        }
      }
    }
    if (threadIdx.x < block.header->top) {
      const std::uint64_t key = keys[threadIdx.x];
      ScorerBest& best = scratch.best[std::size_t{u} * block.header->top + threadIdx.x];
      const std::uint32_t c = candidate_of(key);
      best = key == kNoKey ? ScorerBest{kNoRow, kNoRow, 0}
                           : ScorerBest{rows[user.first_candidate + c], c, score_of(key)};
    }
    __syncthreads();
  }
}

}  // namespace

void take_best(cudaStream_t stream, unsigned blocks, const std::byte* block,
               const Scratch& scratch) {
  top_kernel<<<blocks, kTopMax, 0, stream>>>(block, scratch);
}

}  // namespace fovea::ranking::scorer
