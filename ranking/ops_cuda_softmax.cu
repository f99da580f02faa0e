// Cross-entropy, the logits of a sampled softmax, and counting the better, on a device: a block for
// each row.
#include "ranking/device_cuda.cuh"
#include "ranking/ops_bodies.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

__global__ void cross_entropy(std::size_t classes, float* logits, const std::uint32_t* targets,
                              float scale, double* losses) {
  const std::size_t r = blockIdx.x;
  float* row = logits + r * classes;
  const float target = row[targets[r]];  // before anything is overwritten: the reduction waits
  const float highest =
      block_reduce<Highest>(lanes::lane_highest(classes, row, threadIdx.x, kBlock));
  const float sum =
      block_reduce<Sum>(lanes::exponentials(classes, highest, row, threadIdx.x, kBlock));
  lanes::cross_entropy_gradient(classes, targets[r], scale, sum, row, threadIdx.x, kBlock);
  if (threadIdx.x == 0) {
    losses[r] = log(static_cast<double>(sum)) - (static_cast<double>(target) - highest);
  }
}

// One block.
__global__ void add_losses(std::size_t rows, const double* losses, double* total) {
  double sum = 0;
  for (std::size_t r = threadIdx.x; r < rows; r += kBlock) sum += losses[r];
  sum = block_reduce<Sum>(sum);
  if (threadIdx.x == 0) *total += sum;
}

// A warp for the product would do; the block is for the drawn items.
__global__ void correct_logits(std::size_t drawn_count, std::size_t width, const float* states,
                               const float* vectors, const std::uint32_t* targets,
                               const std::uint32_t* drawn, float stands_for, float* logits) {
  const std::size_t r = blockIdx.x;
  const float* state = states + r * width;
  const float* vector = vectors + targets[r] * width;
  float* row = logits + r * (drawn_count + 1);
  float product = 0;
  for (std::size_t c = threadIdx.x; c < width; c += kBlock) product += state[c] * vector[c];
  product = block_reduce<Sum>(product);
  if (threadIdx.x == 0) row[0] = product;
  lanes::correct_drawn(drawn_count, drawn, targets[r], stands_for, row, threadIdx.x, kBlock);
}

__global__ void count_rows(std::size_t items, const float* scores, const std::uint32_t* targets,
                           const std::uint32_t* excluded_offsets, const std::uint32_t* excluded,
                           std::uint32_t* better) {
  const std::size_t r = blockIdx.x;
  const float* row = scores + r * items;
  const float target = row[targets[r]];
  const std::uint32_t first = excluded_offsets[r];
  std::uint32_t count = lanes::better(items, row, target, threadIdx.x, kBlock);
  count -= lanes::better_excluded(excluded_offsets[r + 1] - first, excluded + first, row, target,
                                  threadIdx.x, kBlock);  // may wrap; the sum over lanes does not
  count = block_reduce<Sum>(count);
  if (threadIdx.x == 0) better[r] = count;
}

}  // namespace

void softmax_cross_entropy(const Context& context, std::size_t rows, std::size_t classes,
                           float* logits, const std::uint32_t* targets, float scale, double* loss) {
  if (rows == 0) return;
  const Scratch losses(context, rows * sizeof(double));
  launch(context, cross_entropy, static_cast<unsigned>(rows), kBlock, classes, logits, targets,
         scale, losses.as<double>());
  launch(context, add_losses, 1, kBlock, rows, static_cast<const double*>(losses.as<double>()),
         loss);
}

void sampled_logits(const Context& context, std::size_t rows, std::size_t drawn_count,
                    std::size_t width, const float* states, const float* vectors,
                    const std::uint32_t* targets, const std::uint32_t* drawn, float stands_for,
                    float* logits) {
  launch(context, correct_logits, static_cast<unsigned>(rows), kBlock, drawn_count, width, states,
         vectors, targets, drawn, stands_for, logits);
}

void count_better(const Context& context, std::size_t n, std::size_t items, const float* scores,
                  const std::uint32_t* targets, const std::uint32_t* excluded_offsets,
                  const std::uint32_t* excluded, std::uint32_t* better) {
  launch(context, count_rows, static_cast<unsigned>(n), kBlock, items, scores, targets,
         excluded_offsets, excluded, better);
}

}  // namespace fovea::ranking::ops::cuda
