// Layer normalisation and sums over columns on a device. A warp for each row; a column is summed in
// chunks of rows, and the chunks in order.
#include "ranking/device_cuda.cuh"
#include "ranking/ops_bodies.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

__global__ void normalise_rows(std::size_t rows, std::size_t width, float epsilon, const float* x,
                               const float* gain, const float* bias, float* y, float* mean,
                               float* rstd) {
  const std::size_t row = thread_number() / lanes::kWarp;
  if (row >= rows) return;
  const std::size_t lane = threadIdx.x % lanes::kWarp;
  const auto n = static_cast<float>(width);
  x += row * width;
  const float average = warp_reduce<Sum>(lanes::lane_sum(width, x, lane, lanes::kWarp)) / n;
  const float variance =
      warp_reduce<Sum>(lanes::lane_squares(width, x, average, lane, lanes::kWarp)) / n;
  const float inverse = 1 / sqrtf(variance + epsilon);
  lanes::normalise(width, x, average, inverse, gain, bias, y + row * width, lane, lanes::kWarp);
  if (lane == 0) {
    mean[row] = average;
    rstd[row] = inverse;
  }
}

__global__ void normalise_rows_backward(std::size_t rows, std::size_t width, const float* x,
                                        const float* gain, const float* mean, const float* rstd,
                                        const float* dy, float* dx) {
  const std::size_t row = thread_number() / lanes::kWarp;
  if (row >= rows) return;
  const std::size_t lane = threadIdx.x % lanes::kWarp;
  x += row * width;
  dy += row * width;
  lanes::NormSums sums =
      lanes::norm_sums(width, x, gain, mean[row], rstd[row], dy, lane, lanes::kWarp);
  sums.dn = warp_reduce<Sum>(sums.dn);
  sums.dnn = warp_reduce<Sum>(sums.dnn);
  lanes::normalise_backward(width, x, gain, mean[row], rstd[row], sums, dy, dx + row * width, lane,
                            lanes::kWarp);
}

// What is summed over rows, at a row and column.
struct Gradient {
  const float* dy;
  std::size_t width;
  __device__ float operator()(std::size_t row, std::size_t column) const {
    return dy[row * width + column];
  }
};
struct GainGradient {
  const float *x, *mean, *rstd, *dy;
  std::size_t width;
  __device__ float operator()(std::size_t row, std::size_t column) const {
    const std::size_t at = row * width + column;
    return dy[at] * (x[at] - mean[row]) * rstd[row];
  }
};

// partial [chunks, width]; blocks of kWarp columns by kRowLanes rows, a chunk each.
template <typename Value>
__global__ void sum_chunks(std::size_t rows, std::size_t width, Value value, float* partial) {
  const std::size_t column = static_cast<std::size_t>(blockIdx.y) * lanes::kWarp + threadIdx.x;
  float sum = 0;
  if (column < width) {
    sum = lanes::row_lane_sum(lanes::chunk_rows(blockIdx.x, rows), threadIdx.y,
                              [&](std::size_t row) { return value(row, column); });
  }
  sum = row_lanes_sum(sum);
  if (column < width && threadIdx.y == 0) {
    partial[static_cast<std::size_t>(blockIdx.x) * width + column] = sum;
  }
}

__global__ void add_chunks(std::size_t chunks, std::size_t width, const float* partial,
                           float* total) {
  const std::size_t column = thread_number();
  if (column >= width) return;
  float sum = 0;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * width + column];
  total[column] += sum;
}

// total [width] += the sums over rows of value(row, column).
template <typename Value>
void add_column_sums(const Context& context, std::size_t rows, std::size_t width,
                     const Value& value, float* total) {
  if (rows == 0 || width == 0) return;
  const std::size_t chunks = lanes::groups(rows, lanes::kChunkRows);
  const Scratch partial(context, chunks * width * sizeof(float));
  const dim3 blocks(static_cast<unsigned>(chunks),
                    static_cast<unsigned>(lanes::groups(width, lanes::kWarp)));
  launch(context, sum_chunks<Value>, blocks, dim3(lanes::kWarp, lanes::kRowLanes), rows, width,
         value, partial.as<float>());
  launch(context, add_chunks, static_cast<unsigned>(lanes::groups(width, kBlock)), kBlock, chunks,
         width, static_cast<const float*>(partial.as<float>()), total);
}

}  // namespace

void layer_norm(const Context& context, std::size_t tokens, std::size_t width, float epsilon,
                const float* x, const float* gain, const float* bias, float* y, float* mean,
                float* rstd) {
  launch(context, normalise_rows, warp_blocks(tokens), kBlock, tokens, width, epsilon, x, gain,
         bias, y, mean, rstd);
}

void layer_norm_backward(const Context& context, std::size_t tokens, std::size_t width,
                         const float* x, const float* gain, const float* mean, const float* rstd,
                         const float* dy, float* dx, float* dgain, float* dbias) {
  launch(context, normalise_rows_backward, warp_blocks(tokens), kBlock, tokens, width, x, gain,
         mean, rstd, dy, dx);
  add_column_sums(context, tokens, width, GainGradient{x, mean, rstd, dy, width}, dgain);
  add_column_sums(context, tokens, width, Gradient{dy, width}, dbias);
}

void add_bias_backward(const Context& context, std::size_t tokens, std::size_t width,
                       const float* dy, float* dbias) {
  add_column_sums(context, tokens, width, Gradient{dy, width}, dbias);
}

}  // namespace fovea::ranking::ops::cuda
