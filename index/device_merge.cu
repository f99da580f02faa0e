#include <cuda_runtime_api.h>

#include "index/device_merge.h"

namespace fovea::index {
namespace {

// A block per query.
__global__ void __launch_bounds__(kMergeThreads) merge_kernel(const Merge merge) {
  __shared__ MergeShared shared;
  const std::size_t query = blockIdx.x;
  const std::size_t thread = threadIdx.x;
  merge_count(merge, shared, query, thread);
  __syncthreads();
  for (std::size_t step = 0; step < kMergeSteps; ++step) {
    merge_sum(shared, step, thread);
    __syncthreads();
  }
  merge_keep(merge, shared, query, thread);
  __syncthreads();
  merge_write(merge, shared, query, thread);
}

}  // namespace

int launch_merge(const Merge& merge, std::size_t batch, CUstream_st* stream) {
  merge_kernel<<<static_cast<unsigned>(batch), kMergeThreads, 0, stream>>>(merge);
  return cudaGetLastError();
}

}  // namespace fovea::index
