// The bias of attention for distance in the history and in time, on a device. Backward takes one
// block for each learned number, which walks all tokens: an option that is off by default, and no
// two blocks write to the same place.
#include "ranking/device_cuda.cuh"
#include "ranking/gap_bucket.h"
#include "ranking/ops_bodies.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

// One warp for each token.
__global__ void fill_gaps(Sequences sequences, const std::int64_t* times_ms,
                          std::uint8_t* buckets) {
  const std::size_t token = thread_number() / lanes::kWarp;
  if (token >= sequences.tokens) return;
  const lanes::AttentionRow row = lanes::attention_row(sequences, 1, token);
  for (std::size_t j = threadIdx.x % lanes::kWarp; j <= row.place; j += lanes::kWarp) {
    buckets[row.cells + j] = gap_bucket(times_ms[row.first + j], times_ms[token]);
  }
}

// One warp for each token and head.
__global__ void fill_bias(Sequences sequences, std::size_t heads, std::size_t ages,
                          const float* age_bias, std::size_t gaps, const float* gap_bias,
                          const std::uint8_t* buckets, float* out) {
  const std::size_t work = thread_number() / lanes::kWarp;
  if (work >= sequences.tokens * heads) return;
  const lanes::AttentionRow row = lanes::attention_row(sequences, heads, work);
  const lanes::AttentionRow pairs = lanes::attention_row(sequences, 1, work / heads);
  for (std::size_t j = threadIdx.x % lanes::kWarp; j <= row.place; j += lanes::kWarp) {
    out[row.cells + j] = age_bias[row.head * ages + row.place - j] +
                         gap_bias[row.head * gaps + buckets[pairs.cells + j]];
  }
}

__global__ void sum_ages(Sequences sequences, std::size_t heads, std::size_t ages, float* dage_bias,
                         const float* dout) {
  const std::size_t head = blockIdx.x / ages;
  const float sum = block_reduce<Sum>(
      lanes::age_sum(sequences, heads, head, blockIdx.x % ages, dout, threadIdx.x, kBlock));
  if (threadIdx.x == 0) dage_bias[blockIdx.x] += sum;
}

__global__ void sum_gaps(Sequences sequences, std::size_t heads, std::size_t gaps, float* dgap_bias,
                         const std::uint8_t* buckets, const float* dout) {
  const std::size_t head = blockIdx.x / gaps;
  const float sum = block_reduce<Sum>(lanes::gap_sum(sequences, heads, head, blockIdx.x % gaps,
                                                     buckets, dout, threadIdx.x, kBlock));
  if (threadIdx.x == 0) dgap_bias[blockIdx.x] += sum;
}

}  // namespace

void pair_gaps(const Context& context, const Sequences& sequences, const std::int64_t* times_ms,
               std::uint8_t* buckets) {
  launch(context, fill_gaps, warp_blocks(sequences.tokens), kBlock, sequences, times_ms, buckets);
}

void relative_bias(const Context& context, const Sequences& sequences, std::size_t heads,
                   std::size_t ages, const float* age_bias, std::size_t gaps, const float* gap_bias,
                   const std::uint8_t* buckets, float* out) {
  launch(context, fill_bias, warp_blocks(sequences.tokens * heads), kBlock, sequences, heads, ages,
         age_bias, gaps, gap_bias, buckets, out);
}

void relative_bias_backward(const Context& context, const Sequences& sequences, std::size_t heads,
                            std::size_t ages, float* dage_bias, std::size_t gaps, float* dgap_bias,
                            const std::uint8_t* buckets, const float* dout) {
  launch(context, sum_ages, static_cast<unsigned>(heads * ages), kBlock, sequences, heads, ages,
         dage_bias, dout);
  launch(context, sum_gaps, static_cast<unsigned>(heads * gaps), kBlock, sequences, heads, gaps,
         dgap_bias, buckets, dout);
}

}  // namespace fovea::ranking::ops::cuda
