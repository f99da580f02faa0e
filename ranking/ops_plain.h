// The plain bodies of ops.h: loops as the formulas stand, no threads, no tricks. They prove the
// fast ones and are used by nothing else.
#pragma once

#include "ranking/ops.h"

namespace fovea::ranking::ops::plain {

void gemm(const Context& context, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc);
void layer_norm(const Context& context, std::size_t tokens, std::size_t width, const float* x,
                const float* gain, const float* bias, float* y, float* mean, float* rstd);
void layer_norm_backward(const Context& context, std::size_t tokens, std::size_t width,
                         const float* x, const float* gain, const float* mean, const float* rstd,
                         const float* dy, float* dx, float* dgain, float* dbias);
void causal_attention(const Context& context, std::size_t sequences, const std::uint32_t* offsets,
                      std::size_t heads, std::size_t width, const float* qkv, const float* bias,
                      float* out, float* probabilities);
void causal_attention_backward(const Context& context, std::size_t sequences,
                               const std::uint32_t* offsets, std::size_t heads, std::size_t width,
                               const float* qkv, const float* probabilities, const float* dout,
                               float* dqkv, float* dbias);
double softmax_cross_entropy(const Context& context, std::size_t rows, std::size_t classes,
                             float* logits, const std::uint32_t* targets, float scale);
void bias_relu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x);
void relu_backward(const Context& context, std::size_t n, const float* y, float* dy);
void gated_residual(const Context& context, std::size_t n, const float* x, const float* branch,
                    float* gate, float* y);
void gated_residual_backward(const Context& context, std::size_t n, const float* branch,
                             const float* gate, const float* dy, float* dbranch, float* dgate);
void add_bias(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
              float* x);
void add_bias_backward(const Context& context, std::size_t tokens, std::size_t width,
                       const float* dy, float* dbias);
void dropout(const Context& context, std::size_t n, float p, std::uint64_t seed, float* x);
void adam(const Context& context, std::size_t n, const AdamOptions& options, std::size_t step,
          const float* gradient, float* weight, float* first, float* second);
void exponential(const Context& context, std::size_t n, float* x);
float dot(std::size_t n, const float* a, const float* b);

}  // namespace fovea::ranking::ops::plain
