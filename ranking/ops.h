// The float formulas the model is written over. One declaration here; ops_cpu.cpp has the fast
// body, ops_plain.cpp a plain one that serves as its proof and is compared with it in tests.
// Legend: T tokens (behaviours of all sequences, one after another), S sequences, D channels, H
// heads, V items. Every array is row-major. Outputs are overwritten, gradients of weights are added
// to. Inputs may not overlap outputs unless said. Any size may be 0. Thread-safe: an op touches its
// arguments only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ranking/context.h"

namespace fovea::ranking::ops {

enum class Transpose : bool { kNo, kYes };

/// C [M, N] = alpha op(A) op(B) + beta C, with op(A) [M, K] and op(B) [K, N]; ld: floats from row
/// to row as stored.
void gemm(const Context& context, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc);

/// y [T, D] = (x - mean) * rstd * gain + bias, per row; mean and rstd [T] are kept for the way
/// back.
void layer_norm(const Context& context, std::size_t tokens, std::size_t width, const float* x,
                const float* gain, const float* bias, float* y, float* mean, float* rstd);
/// dx is added to; so are dgain and dbias [D].
void layer_norm_backward(const Context& context, std::size_t tokens, std::size_t width,
                         const float* x, const float* gain, const float* mean, const float* rstd,
                         const float* dy, float* dx, float* dgain, float* dbias);

/// Multi-head causal self-attention within each sequence. qkv [T, 3D] (queries, keys, values side
/// by side), offsets [S + 1] in tokens, out [T, D]. probabilities: for sequence s of length n and
/// head h an [n, n] block, zero above the diagonal, blocks in order of s, then h: H * sum n^2
/// floats. bias, of the same layout, is added to the logits; null: none.
void causal_attention(const Context& context, std::size_t sequences, const std::uint32_t* offsets,
                      std::size_t heads, std::size_t width, const float* qkv, const float* bias,
                      float* out, float* probabilities);
/// dbias, of the layout of probabilities, is overwritten up to each block's diagonal; null: not
/// asked for.
void causal_attention_backward(const Context& context, std::size_t sequences,
                               const std::uint32_t* offsets, std::size_t heads, std::size_t width,
                               const float* qkv, const float* probabilities, const float* dout,
                               float* dqkv, float* dbias);

/// In place: logits [M, V] become scale * (softmax - one_hot(target)), the gradient of scale times
/// the summed cross-entropy. Returns that sum without the scale.
double softmax_cross_entropy(const Context& context, std::size_t rows, std::size_t classes,
                             float* logits, const std::uint32_t* targets, float scale);

/// In place: x [T, D] += bias [D], then max(x, 0).
void bias_relu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x);
/// In place: dy *= (y > 0).
void relu_backward(const Context& context, std::size_t n, const float* y, float* dy);

/// y = x + sigmoid(gate) * branch, each [n]; `gate` becomes its sigmoid, which the way back wants.
void gated_residual(const Context& context, std::size_t n, const float* x, const float* branch,
                    float* gate, float* y);
/// What dy [n] implies for the branch and for the gate before its sigmoid; dx is dy.
void gated_residual_backward(const Context& context, std::size_t n, const float* branch,
                             const float* gate, const float* dy, float* dbranch, float* dgate);

/// x [T, D] += bias [D].
void add_bias(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
              float* x);
/// dbias [D] += column sums of dy [T, D].
void add_bias_backward(const Context& context, std::size_t tokens, std::size_t width,
                       const float* dy, float* dbias);

/// In place: each x[i] is dropped (0) with probability p, else divided by 1 - p. Which ones is a
/// function of (seed, i): the way back is the same call on the gradient. p = 0 leaves x alone.
void dropout(const Context& context, std::size_t n, float p, std::uint64_t seed, float* x);

/// One step of Adam (arXiv 1412.6980, with decoupled weight decay, arXiv 1711.05101) on n weights.
/// step from 1.
struct AdamOptions {
  float learning_rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.98F;
  float epsilon = 1e-8F;
  float weight_decay = 0;
};
void adam(const Context& context, std::size_t n, const AdamOptions& options, std::size_t step,
          const float* gradient, float* weight, float* first, float* second);

/// In place: x[i] = exp(x[i]), relative error below 2e-6 for x in [-87, 88]; below that 0.
void exponential(const Context& context, std::size_t n, float* x);

/// Sum of a[i] * b[i].
float dot(std::size_t n, const float* a, const float* b);

}  // namespace fovea::ranking::ops
