// The one place that knows which body of an op runs: see ops.h.
#include "ranking/ops.h"

#include "ranking/ops_bodies.h"

namespace fovea::ranking::ops {

// A test brings its own device, in host memory that only ops may read.
#ifndef FOVEA_BODY
#ifdef FOVEA_CUDA
#define FOVEA_BODY(op) (context.device == nullptr ? cpu::op : cuda::op)
#else
#define FOVEA_BODY(op) cpu::op  // there is no device without CUDA
#endif
#endif

void gemm(const Context& context, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  FOVEA_BODY(gemm)(context, a_transposed, b_transposed, m, n, k, alpha, a, lda, b, ldb, beta, c,
                   ldc);
}

void layer_norm(const Context& context, std::size_t tokens, std::size_t width, float epsilon,
                const float* x, const float* gain, const float* bias, float* y, float* mean,
                float* rstd) {
  FOVEA_BODY(layer_norm)(context, tokens, width, epsilon, x, gain, bias, y, mean, rstd);
}

void layer_norm_backward(const Context& context, std::size_t tokens, std::size_t width,
                         const float* x, const float* gain, const float* mean, const float* rstd,
                         const float* dy, float* dx, float* dgain, float* dbias) {
  FOVEA_BODY(layer_norm_backward)(context, tokens, width, x, gain, mean, rstd, dy, dx, dgain,
                                  dbias);
}

void causal_attention(const Context& context, const Sequences& sequences, std::size_t heads,
                      std::size_t width, const float* qkv, const float* bias, float* out,
                      float* probabilities, std::size_t from) {
  FOVEA_BODY(causal_attention)(context, sequences, heads, width, qkv, bias, out, probabilities,
                               from);
}

void causal_attention_backward(const Context& context, const Sequences& sequences,
                               std::size_t heads, std::size_t width, const float* qkv,
                               const float* probabilities, const float* dout, float* dqkv,
                               float* dbias) {
  FOVEA_BODY(causal_attention_backward)(context, sequences, heads, width, qkv, probabilities, dout,
                                        dqkv, dbias);
}

void attention(const Context& context, const Sequences& sequences, std::size_t heads,
               std::size_t width, const float* qkv, float* out) {
  FOVEA_BODY(attention)(context, sequences, heads, width, qkv, out);
}

void pair_gaps(const Context& context, const Sequences& sequences, const std::int64_t* times_ms,
               std::uint8_t* buckets) {
  FOVEA_BODY(pair_gaps)(context, sequences, times_ms, buckets);
}

void relative_bias(const Context& context, const Sequences& sequences, std::size_t heads,
                   std::size_t ages, const float* age_bias, std::size_t gaps, const float* gap_bias,
                   const std::uint8_t* buckets, float* out) {
  FOVEA_BODY(relative_bias)(context, sequences, heads, ages, age_bias, gaps, gap_bias, buckets,
                            out);
}

void relative_bias_backward(const Context& context, const Sequences& sequences, std::size_t heads,
                            std::size_t ages, float* dage_bias, std::size_t gaps, float* dgap_bias,
                            const std::uint8_t* buckets, const float* dout) {
  FOVEA_BODY(relative_bias_backward)(context, sequences, heads, ages, dage_bias, gaps, dgap_bias,
                                     buckets, dout);
}

void softmax_cross_entropy(const Context& context, std::size_t rows, std::size_t classes,
                           float* logits, const std::uint32_t* targets, float scale, double* loss) {
  FOVEA_BODY(softmax_cross_entropy)(context, rows, classes, logits, targets, scale, loss);
}

void sampled_logits(const Context& context, std::size_t rows, std::size_t drawn_count,
                    std::size_t width, const float* states, const float* vectors,
                    const std::uint32_t* targets, const std::uint32_t* drawn, float stands_for,
                    float* logits) {
  FOVEA_BODY(sampled_logits)(context, rows, drawn_count, width, states, vectors, targets, drawn,
                             stands_for, logits);
}

void bias_relu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x) {
  FOVEA_BODY(bias_relu)(context, tokens, width, bias, x);
}

void bias_gelu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x) {
  FOVEA_BODY(bias_gelu)(context, tokens, width, bias, x);
}

void relu_backward(const Context& context, std::size_t n, const float* y, float* dy) {
  FOVEA_BODY(relu_backward)(context, n, y, dy);
}

void gated_residual(const Context& context, std::size_t n, const float* x, const float* branch,
                    float* gate, float* y) {
  FOVEA_BODY(gated_residual)(context, n, x, branch, gate, y);
}

void gated_residual_backward(const Context& context, std::size_t n, const float* branch,
                             const float* gate, const float* dy, float* dbranch, float* dgate) {
  FOVEA_BODY(gated_residual_backward)(context, n, branch, gate, dy, dbranch, dgate);
}

void add(const Context& context, std::size_t n, const float* a, const float* b, float* y) {
  FOVEA_BODY(add)(context, n, a, b, y);
}

void add_bias(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
              float* x) {
  FOVEA_BODY(add_bias)(context, tokens, width, bias, x);
}

void add_bias_backward(const Context& context, std::size_t tokens, std::size_t width,
                       const float* dy, float* dbias) {
  FOVEA_BODY(add_bias_backward)(context, tokens, width, dy, dbias);
}

void dropout(const Context& context, std::size_t n, float p, std::uint64_t seed, float* x) {
  FOVEA_BODY(dropout)(context, n, p, seed, x);
}

void embed(const Context& context, std::size_t tokens, std::size_t width, float scale,
           const Embedding& embedding, float* out) {
  FOVEA_BODY(embed)(context, tokens, width, scale, embedding, out);
}

void add_segments(const Context& context, const Segments& segments, std::size_t width, float scale,
                  const float* factors, const float* from, float* to) {
  FOVEA_BODY(add_segments)(context, segments, width, scale, factors, from, to);
}

void copy_rows(const Context& context, std::size_t n, std::size_t width,
               const std::uint32_t* from_rows, const float* from, const std::uint32_t* to_rows,
               float* to) {
  FOVEA_BODY(copy_rows)(context, n, width, from_rows, from, to_rows, to);
}

void add_rows(const Context& context, std::size_t n, std::size_t width, const float* factors,
              std::size_t stride, const std::uint32_t* rows, const float* from, float* to) {
  FOVEA_BODY(add_rows)(context, n, width, factors, stride, rows, from, to);
}

void add_to_rows(const Context& context, std::size_t n, std::size_t width, const float* factors,
                 const std::uint32_t* rows, const float* from, float* to) {
  FOVEA_BODY(add_to_rows)(context, n, width, factors, rows, from, to);
}

void zero_rows(const Context& context, std::size_t n, std::size_t width, const std::uint32_t* rows,
               float* x) {
  FOVEA_BODY(zero_rows)(context, n, width, rows, x);
}

void adam(const Context& context, std::size_t n, const AdamOptions& options, std::size_t step,
          const float* gradient, float* weight, float* first, float* second) {
  FOVEA_BODY(adam)(context, n, options, step, gradient, weight, first, second);
}

void adam_rows(const Context& context, std::size_t n, const std::uint32_t* rows, std::size_t width,
               const AdamOptions& options, std::size_t step, const float* gradient, float* weight,
               float* first, float* second) {
  FOVEA_BODY(adam_rows)(context, n, rows, width, options, step, gradient, weight, first, second);
}

void count_better(const Context& context, std::size_t n, std::size_t items, const float* scores,
                  const std::uint32_t* targets, const std::uint32_t* excluded_offsets,
                  const std::uint32_t* excluded, std::uint32_t* better) {
  FOVEA_BODY(count_better)(context, n, items, scores, targets, excluded_offsets, excluded, better);
}

void exponential(const Context& context, std::size_t n, float* x) {
  FOVEA_BODY(exponential)(context, n, x);
}

}  // namespace fovea::ranking::ops
