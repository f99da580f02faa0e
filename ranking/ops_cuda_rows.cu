// Looking rows up, moving and adding them on a device. A thread for each number of what is written;
// sums over rows that share a target follow Segments.
#include "ranking/device_cuda.cuh"
#include "ranking/ops_bodies.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

__global__ void embed_rows(std::size_t n, std::size_t width, float scale, Embedding e, float* out) {
  for (std::size_t i = thread_number(); i < n; i += thread_count()) {
    const std::size_t t = i / width;
    const std::size_t c = i % width;
    out[i] = scale * e.items[e.item[t] * width + c] + e.positions[e.position[t] * width + c] +
             e.actions[e.action[t] * width + c] + e.gaps[e.gap[t] * width + c];
  }
}

// Blocks of kWarp columns by kRowLanes rows, one for each segment and group of columns.
__global__ void add_segment(Segments segments, std::size_t width, float scale, const float* factors,
                            const float* from, float* to) {
  const std::size_t column = static_cast<std::size_t>(blockIdx.y) * lanes::kWarp + threadIdx.x;
  float sum = 0;
  if (column < width) {
    sum = lanes::segment_lane_sum(segments, blockIdx.x, width, column, factors, from, threadIdx.y);
  }
  sum = row_lanes_sum(sum);
  if (column < width && threadIdx.y == 0) {
    to[segments.ids[blockIdx.x] * width + column] += scale * sum;
  }
}

__device__ std::size_t row_of(const std::uint32_t* rows, std::size_t i) {
  return rows == nullptr ? i : rows[i];
}

__global__ void copy(std::size_t n, std::size_t width, const std::uint32_t* from_rows,
                     const float* from, const std::uint32_t* to_rows, float* to) {
  for (std::size_t i = thread_number(); i < n; i += thread_count()) {
    to[row_of(to_rows, i / width) * width + i % width] =
        from[row_of(from_rows, i / width) * width + i % width];
  }
}

__global__ void add_from(std::size_t n, std::size_t width, const float* factors, std::size_t stride,
                         const std::uint32_t* rows, const float* from, float* to) {
  for (std::size_t i = thread_number(); i < n; i += thread_count()) {
    const float factor = factors[i / width * stride];
    if (factor != 0) to[i] += factor * from[row_of(rows, i / width) * width + i % width];
  }
}

__global__ void add_to(std::size_t n, std::size_t width, const float* factors,
                       const std::uint32_t* rows, const float* from, float* to) {
  for (std::size_t i = thread_number(); i < n; i += thread_count()) {
    const float factor = factors[i / width];
    if (factor != 0) to[row_of(rows, i / width) * width + i % width] += factor * from[i];
  }
}

__global__ void zero(std::size_t n, std::size_t width, const std::uint32_t* rows, float* x) {
  for (std::size_t i = thread_number(); i < n; i += thread_count()) {
    x[rows[i / width] * width + i % width] = 0;
  }
}

}  // namespace

void embed(const Context& context, std::size_t tokens, std::size_t width, float scale,
           const Embedding& embedding, float* out) {
  const std::size_t n = tokens * width;
  launch(context, embed_rows, blocks_for(n), kBlock, n, width, scale, embedding, out);
}

void add_segments(const Context& context, const Segments& segments, std::size_t width, float scale,
                  const float* factors, const float* from, float* to) {
  const dim3 blocks(static_cast<unsigned>(segments.count),
                    static_cast<unsigned>(lanes::groups(width, lanes::kWarp)));
  launch(context, add_segment, blocks, dim3(lanes::kWarp, lanes::kRowLanes), segments, width, scale,
         factors, from, to);
}

void copy_rows(const Context& context, std::size_t n, std::size_t width,
               const std::uint32_t* from_rows, const float* from, const std::uint32_t* to_rows,
               float* to) {
  launch(context, copy, blocks_for(n * width), kBlock, n * width, width, from_rows, from, to_rows,
         to);
}

void add_rows(const Context& context, std::size_t n, std::size_t width, const float* factors,
              std::size_t stride, const std::uint32_t* rows, const float* from, float* to) {
  launch(context, add_from, blocks_for(n * width), kBlock, n * width, width, factors, stride, rows,
         from, to);
}

void add_to_rows(const Context& context, std::size_t n, std::size_t width, const float* factors,
                 const std::uint32_t* rows, const float* from, float* to) {
  launch(context, add_to, blocks_for(n * width), kBlock, n * width, width, factors, rows, from, to);
}

void zero_rows(const Context& context, std::size_t n, std::size_t width, const std::uint32_t* rows,
               float* x) {
  launch(context, zero, blocks_for(n * width), kBlock, n * width, width, rows, x);
}

}  // namespace fovea::ranking::ops::cuda
