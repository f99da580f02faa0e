// The kernel that takes in what was retrieved: see scorer_gather.h.
#include "ranking/scorer_gather.h"
#include "ranking/scorer_kernels.h"

namespace fovea::ranking::scorer {
namespace {

__global__ void __launch_bounds__(kThreads) gather_kernel(std::byte* block) {
  const std::uint32_t users = BlockView(block).header->users;
  for (std::uint32_t u = blockIdx.x; u < users; u += gridDim.x) {
    gather(block, u, threadIdx.x, kThreads);
    if (threadIdx.x >= 32) continue;
    CentreSum centre = centre_sum(block, u, threadIdx.x, 32);
    for (unsigned mask = 1; mask < 32; mask *= 2) {
      centre.merge({__shfl_xor_sync(0xFFFFFFFF, centre.sum, mask),
                    __shfl_xor_sync(0xFFFFFFFF, centre.count, mask)});
    }
    if (threadIdx.x == 0) set_centre(block, u, centre);
  }
}

}  // namespace

void gather_retrieved(cudaStream_t stream, unsigned blocks, std::byte* block) {
  gather_kernel<<<blocks, kThreads, 0, stream>>>(block);
}

}  // namespace fovea::ranking::scorer
