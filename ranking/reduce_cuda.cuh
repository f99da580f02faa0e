// Sums and maxima over the lanes of a warp or a block, in one fixed order: the same inputs give the
// same bits. Every thread of the group calls them, and every one gets the result.
#pragma once

#include <cstddef>

#include "ranking/ops_lanes.h"

namespace fovea::ranking::ops::cuda {

inline constexpr int kBlock = 256;
inline constexpr int kWarps = kBlock / lanes::kWarp;

struct Sum {
  template <typename T>
  __device__ static T of(T a, T b) {
    return a + b;
  }
};
struct Highest {
  template <typename T>
  __device__ static T of(T a, T b) {
    return a > b ? a : b;
  }
};

/// Of 32 threads.
template <typename Operation, typename T>
__device__ T warp_reduce(T x) {
  for (int distance = lanes::kWarp / 2; distance > 0; distance /= 2) {
    x = Operation::of(x, __shfl_xor_sync(0xFFFFFFFF, x, distance));
  }
  return x;
}

/// Of kBlock threads in one dimension.
template <typename Operation, typename T>
__device__ T block_reduce(T x) {
  __shared__ T of_warps[kWarps];
  x = warp_reduce<Operation>(x);
  if (threadIdx.x % lanes::kWarp == 0) of_warps[threadIdx.x / lanes::kWarp] = x;
  __syncthreads();
  x = of_warps[0];
  for (int warp = 1; warp < kWarps; ++warp) x = Operation::of(x, of_warps[warp]);
  __syncthreads();  // of_warps is free for the next call
  return x;
}

/// Of the kRowLanes threads of a column, in blocks of kWarp columns by kRowLanes rows.
__device__ inline float row_lanes_sum(float x) {
  __shared__ float of_lanes[lanes::kRowLanes][lanes::kWarp];
  of_lanes[threadIdx.y][threadIdx.x] = x;
  __syncthreads();
  float sum = 0;
  for (std::size_t lane = 0; lane < lanes::kRowLanes; ++lane) sum += of_lanes[lane][threadIdx.x];
  __syncthreads();
  return sum;
}

/// This thread's number among all, and how many there are.
__device__ inline std::size_t thread_number() {
  return static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::size_t thread_count() {
  return static_cast<std::size_t>(gridDim.x) * blockDim.x;
}

/// Blocks for n pieces of which each thread may take several.
inline unsigned blocks_for(std::size_t n) {
  constexpr std::size_t kMost = 132 * 16;
  const std::size_t wanted = lanes::groups(n, kBlock);
  return static_cast<unsigned>(wanted < kMost ? wanted : kMost);
}
/// Blocks of kWarps warps for n pieces, one for each warp.
inline unsigned warp_blocks(std::size_t n) {
  return static_cast<unsigned>(lanes::groups(n, kWarps));
}

}  // namespace fovea::ranking::ops::cuda
