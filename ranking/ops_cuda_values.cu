// Ops that look at one number at a time, on a device.
#include "ranking/device_cuda.cuh"
#include "ranking/ops_bodies.h"
#include "ranking/ops_lanes.h"
#include "ranking/reduce_cuda.cuh"

namespace fovea::ranking::ops::cuda {
namespace {

// work(i) for each i below n.
template <typename Work>
__global__ void each(std::size_t n, Work work) {
  for (std::size_t i = thread_number(); i < n; i += thread_count()) work(i);
}

// What it does to value i, as a struct rather than a lambda: the host passes it to the device.
struct BiasRelu {
  std::size_t width;
  const float* bias;
  float* x;
  __device__ void operator()(std::size_t i) const {
    const float sum = x[i] + bias[i % width];
    x[i] = sum > 0 ? sum : 0;
  }
};
struct BiasGelu {
  std::size_t width;
  const float* bias;
  float* x;
  __device__ void operator()(std::size_t i) const {
    const float sum = x[i] + bias[i % width];
    x[i] = 0.5F * sum * erfcf(-0.707106781F * sum);
  }
};
struct ReluBackward {
  const float* y;
  float* dy;
  __device__ void operator()(std::size_t i) const { dy[i] = y[i] > 0 ? dy[i] : 0; }
};
struct GatedResidual {
  const float *x, *branch;
  float *gate, *y;
  __device__ void operator()(std::size_t i) const {
    gate[i] = 1 / (1 + expf(-gate[i]));
    y[i] = x[i] + gate[i] * branch[i];
  }
};
struct GatedResidualBackward {
  const float *branch, *gate, *dy;
  float *dbranch, *dgate;
  __device__ void operator()(std::size_t i) const {
    dbranch[i] = dy[i] * gate[i];
    dgate[i] = dy[i] * branch[i] * gate[i] * (1 - gate[i]);
  }
};
struct Add {
  const float *a, *b;
  float* y;
  __device__ void operator()(std::size_t i) const { y[i] = a[i] + b[i]; }
};
struct AddBias {
  std::size_t width;
  const float* bias;
  float* x;
  __device__ void operator()(std::size_t i) const { x[i] += bias[i % width]; }
};
struct Dropout {
  lanes::DropoutMask mask;
  float* x;
  __device__ void operator()(std::size_t i) const {
    x[i] = mask.dropped(i) ? 0 : x[i] * mask.scale;
  }
};
struct Adam {
  lanes::AdamStep step;
  const float* gradient;
  float *weight, *first, *second;
  __device__ void operator()(std::size_t i) const {
    step.move(gradient[i], weight[i], first[i], second[i]);
  }
};
struct AdamRows {
  Adam adam;
  const std::uint32_t* rows;
  std::size_t width;
  __device__ void operator()(std::size_t i) const { adam(rows[i / width] * width + i % width); }
};
struct Exponential {
  float* x;
  __device__ void operator()(std::size_t i) const { x[i] = x[i] < -87 ? 0 : expf(x[i]); }
};

template <typename Work>
void for_each(const Context& context, std::size_t n, const Work& work) {
  launch(context, each<Work>, blocks_for(n), kBlock, n, work);
}

}  // namespace

void bias_relu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x) {
  for_each(context, tokens * width, BiasRelu{width, bias, x});
}

void bias_gelu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x) {
  for_each(context, tokens * width, BiasGelu{width, bias, x});
}

void relu_backward(const Context& context, std::size_t n, const float* y, float* dy) {
  for_each(context, n, ReluBackward{y, dy});
}

void gated_residual(const Context& context, std::size_t n, const float* x, const float* branch,
                    float* gate, float* y) {
  for_each(context, n, GatedResidual{x, branch, gate, y});
}

void gated_residual_backward(const Context& context, std::size_t n, const float* branch,
                             const float* gate, const float* dy, float* dbranch, float* dgate) {
  for_each(context, n, GatedResidualBackward{branch, gate, dy, dbranch, dgate});
}

void add(const Context& context, std::size_t n, const float* a, const float* b, float* y) {
  for_each(context, n, Add{a, b, y});
}

void add_bias(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
              float* x) {
  for_each(context, tokens * width, AddBias{width, bias, x});
}

void dropout(const Context& context, std::size_t n, float p, std::uint64_t seed, float* x) {
  if (p <= 0) return;
  for_each(context, n, Dropout{lanes::DropoutMask::of(p, seed), x});
}

void adam(const Context& context, std::size_t n, const AdamOptions& options, std::size_t step,
          const float* gradient, float* weight, float* first, float* second) {
  for_each(context, n, Adam{lanes::AdamStep::of(options, step), gradient, weight, first, second});
}

void adam_rows(const Context& context, std::size_t n, const std::uint32_t* rows, std::size_t width,
               const AdamOptions& options, std::size_t step, const float* gradient, float* weight,
               float* first, float* second) {
  const Adam adam{lanes::AdamStep::of(options, step), gradient, weight, first, second};
  for_each(context, n * width, AdamRows{adam, rows, width});
}

void exponential(const Context& context, std::size_t n, float* x) {
  for_each(context, n, Exponential{x});
}

}  // namespace fovea::ranking::ops::cuda
