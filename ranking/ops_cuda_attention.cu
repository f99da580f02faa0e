// Self-attention on a device: a warp for each token and head, no work for padding. Backward
// sums a query's gradient along its row and a key's along its column, so that no two warps write to
// the same place.
#include <cmath>
#include <optional>

#include "ranking/device_cuda.cuh"
#include "ranking/ops_bodies.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

struct Shape {
  std::size_t heads, width, head_width, work;
  float scale;
};

Shape shape_of(const Sequences& sequences, std::size_t heads, std::size_t width) {
  const std::size_t head_width = width / heads;
  return {heads, width, head_width, sequences.tokens * heads,
          1 / std::sqrt(static_cast<float>(head_width))};
}

__device__ std::size_t warp_number() { return thread_number() / lanes::kWarp; }
__device__ std::size_t lane_number() { return threadIdx.x % lanes::kWarp; }

// A row of attention, by the warp that it is the work of.
__device__ void attend_row(const lanes::AttentionRow& row, const Shape& shape, const float* qkv,
                           const float* bias, float* out, float* probabilities) {
  float* cells = probabilities + row.cells;
  const std::size_t lane = lane_number();
  const float highest = warp_reduce<Highest>(lanes::attention_logits(
      row, shape.head_width, shape.width, qkv, bias, shape.scale, cells, lane, lanes::kWarp));
  const float sum =
      warp_reduce<Sum>(lanes::exponentials(row.seen, highest, cells, lane, lanes::kWarp));
  lanes::attention_normalise(row, sum, cells, lane, lanes::kWarp);
  __syncwarp();  // every lane reads what all have written
  lanes::attention_output(row, shape.head_width, shape.width, qkv, cells, out, lane, lanes::kWarp);
}

__global__ void attend_causally(Sequences sequences, Shape shape, const float* qkv,
                                const float* bias, float* out, float* probabilities) {
  if (warp_number() >= shape.work) return;  // the whole warp
  attend_row(lanes::attention_row(sequences, shape.heads, warp_number()), shape, qkv, bias, out,
             probabilities);
}

__global__ void attend(Sequences sequences, Shape shape, const float* qkv, float* out,
                       float* probabilities) {
  if (warp_number() >= shape.work) return;
  attend_row(lanes::whole_attention_row(sequences, shape.heads, warp_number()), shape, qkv, nullptr,
             out, probabilities);
}

__global__ void attend_backward_rows(Sequences sequences, Shape shape, const float* qkv,
                                     const float* probabilities, const float* dout, float* dqkv,
                                     float* dlogits) {
  if (warp_number() >= shape.work) return;
  const lanes::AttentionRow row = lanes::attention_row(sequences, shape.heads, warp_number());
  const float* cells = probabilities + row.cells;
  float* dcells = dlogits + row.cells;
  const std::size_t lane = lane_number();
  const float mean = warp_reduce<Sum>(lanes::attention_dprobabilities(
      row, shape.head_width, shape.width, qkv, cells, dout, dcells, lane, lanes::kWarp));
  lanes::attention_dlogits(row, mean, cells, dcells, lane, lanes::kWarp);
  __syncwarp();
  lanes::attention_dquery(row, shape.head_width, shape.width, qkv, dcells, shape.scale, dqkv, lane,
                          lanes::kWarp);
}

__global__ void attend_backward_columns(Sequences sequences, Shape shape, const float* qkv,
                                        const float* probabilities, const float* dlogits,
                                        const float* dout, float* dqkv) {
  if (warp_number() >= shape.work) return;
  const lanes::AttentionRow row = lanes::attention_row(sequences, shape.heads, warp_number());
  lanes::attention_dkey_dvalue(row, shape.head_width, shape.width, qkv, probabilities, dlogits,
                               dout, shape.scale, dqkv, lane_number(), lanes::kWarp);
}

}  // namespace

void causal_attention(const Context& context, const Sequences& sequences, std::size_t heads,
                      std::size_t width, const float* qkv, const float* bias, float* out,
                      float* probabilities, std::size_t /*from*/) {
  const Shape shape = shape_of(sequences, heads, width);
  launch(context, attend_causally, warp_blocks(shape.work), kBlock, sequences, shape, qkv, bias,
         out, probabilities);
}

void attention(const Context& context, const Sequences& sequences, std::size_t heads,
               std::size_t width, const float* qkv, float* out) {
  const Shape shape = shape_of(sequences, heads, width);
  const Scratch probabilities(context, heads * sequences.pairs * sizeof(float));
  launch(context, attend, warp_blocks(shape.work), kBlock, sequences, shape, qkv, out,
         probabilities.as<float>());
}

void causal_attention_backward(const Context& context, const Sequences& sequences,
                               std::size_t heads, std::size_t width, const float* qkv,
                               const float* probabilities, const float* dout, float* dqkv,
                               float* dbias) {
  const Shape shape = shape_of(sequences, heads, width);
  // The columns read what the rows left: in the caller's array where it is asked for.
  std::optional<Scratch> scratch;
  float* dlogits = dbias;
  if (dlogits == nullptr) {
    scratch.emplace(context, heads * sequences.pairs * sizeof(float));
    dlogits = scratch->as<float>();
  }
  launch(context, attend_backward_rows, warp_blocks(shape.work), kBlock, sequences, shape, qkv,
         probabilities, dout, dqkv, dlogits);
  launch(context, attend_backward_columns, warp_blocks(shape.work), kBlock, sequences, shape, qkv,
         probabilities, static_cast<const float*>(dlogits), dout, dqkv);
}

}  // namespace fovea::ranking::ops::cuda
