// The float formulas the model is written over. One declaration here; ops_cpu*.cpp have the fast
// bodies, ops_cuda*.cu those for a device, ops_plain*.cpp plain ones that serve as proof of both
// and are compared with them in tests. ops.cpp decides by context.device which of them runs.
// Legend: T tokens (behaviours of all sequences, one after another), S sequences, D channels, H
// heads, V items. Every array is row-major and lies in the memory of context.device, also arrays of
// indices and what Sequences and Segments point to. Outputs are overwritten, gradients of weights
// are added to. Inputs may not overlap outputs unless said. Any size may be 0. Thread-safe on the
// CPU: an op touches its arguments only. On a device an op returns before it has run, in the order
// asked for, and gives the same bits each time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ranking/context.h"

namespace fovea::ranking::ops {

enum class Transpose : bool { kNo, kYes };

/// Where the sequences of a ragged batch stand. Of sequence s with n behaviours, `pairs` holds an
/// [n, n] block: row for the behaviour that attends, column for the one attended to.
struct Sequences {
  std::size_t count = 0;                       ///< S
  std::size_t tokens = 0;                      ///< T
  std::size_t pairs = 0;                       ///< Sum of n^2.
  const std::uint32_t* offsets = nullptr;      ///< [S + 1], in tokens
  const std::uint32_t* sequence_of = nullptr;  ///< [T]
  const std::uint32_t* pair_starts = nullptr;  ///< [S], sum of n^2 of the sequences before
};

/// Where equal numbers stand in a list: what is summed over them has one order, and no two sums
/// write to the same place.
struct Segments {
  std::size_t count = 0;                  ///< Of different numbers.
  const std::uint32_t* ids = nullptr;     ///< [count], the numbers, ascending
  const std::uint32_t* starts = nullptr;  ///< [count + 1], in `order`
  const std::uint32_t* order = nullptr;   ///< Places in the list, ascending within each segment
};

/// C [M, N] = alpha op(A) op(B) + beta C, with op(A) [M, K] and op(B) [K, N]; ld: floats from row
/// to row as stored.
void gemm(const Context& context, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc);

/// y [T, D] = (x - mean) * rstd * gain + bias, per row, with rstd = 1 / sqrt(variance + epsilon);
/// mean and rstd [T] are kept for the way back.
void layer_norm(const Context& context, std::size_t tokens, std::size_t width, float epsilon,
                const float* x, const float* gain, const float* bias, float* y, float* mean,
                float* rstd);
/// dx is added to; so are dgain and dbias [D].
void layer_norm_backward(const Context& context, std::size_t tokens, std::size_t width,
                         const float* x, const float* gain, const float* mean, const float* rstd,
                         const float* dy, float* dx, float* dgain, float* dbias);

/// Multi-head causal self-attention within each sequence. qkv [T, 3D] (queries, keys, values side
/// by side), out [T, D]. probabilities: for sequence s of length n and head h an [n, n] block, zero
/// above the diagonal, blocks in order of s, then h: H * sum n^2 floats. bias, of the same layout,
/// is added to the logits; null: none. What the rows before `from` come to is not asked for: they
/// may be left as they are.
void causal_attention(const Context& context, const Sequences& sequences, std::size_t heads,
                      std::size_t width, const float* qkv, const float* bias, float* out,
                      float* probabilities, std::size_t from);
/// dbias, of the layout of probabilities, is overwritten up to each block's diagonal; null: not
/// asked for.
void causal_attention_backward(const Context& context, const Sequences& sequences,
                               std::size_t heads, std::size_t width, const float* qkv,
                               const float* probabilities, const float* dout, float* dqkv,
                               float* dbias);

/// Multi-head self-attention within each sequence, to what comes before and after: arrays as in
/// causal_attention. For inference: no probabilities are kept, there is no way back.
void attention(const Context& context, const Sequences& sequences, std::size_t heads,
               std::size_t width, const float* qkv, float* out);

/// buckets: gap_bucket() of the times [T] of each pair that attention sees, in the [n, n] blocks of
/// `sequences`; above the diagonal untouched.
void pair_gaps(const Context& context, const Sequences& sequences, const std::int64_t* times_ms,
               std::uint8_t* buckets);
/// out, of the layout of causal_attention's bias, = age_bias [H, ages] by how many behaviours lie
/// between two + gap_bias [H, gaps] by `buckets`; above the diagonal untouched.
void relative_bias(const Context& context, const Sequences& sequences, std::size_t heads,
                   std::size_t ages, const float* age_bias, std::size_t gaps, const float* gap_bias,
                   const std::uint8_t* buckets, float* out);
void relative_bias_backward(const Context& context, const Sequences& sequences, std::size_t heads,
                            std::size_t ages, float* dage_bias, std::size_t gaps, float* dgap_bias,
                            const std::uint8_t* buckets, const float* dout);

/// In place: logits [M, V] become scale * (softmax - one_hot(target)), the gradient of scale times
/// the summed cross-entropy. That sum, without the scale, is added to *loss.
void softmax_cross_entropy(const Context& context, std::size_t rows, std::size_t classes,
                           float* logits, const std::uint32_t* targets, float scale, double* loss);

/// Logits [M, 1 + K] of a sampled softmax, whose columns from 1 on hold the products with the drawn
/// items: column 0 becomes the product of states [M, D] with the targets' rows of vectors [*, D],
/// the others gain `stands_for`, or become minus infinity where `drawn` [K] is the target [M].
void sampled_logits(const Context& context, std::size_t rows, std::size_t drawn_count,
                    std::size_t width, const float* states, const float* vectors,
                    const std::uint32_t* targets, const std::uint32_t* drawn, float stands_for,
                    float* logits);

/// In place: x [T, D] += bias [D], then max(x, 0).
void bias_relu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x);
/// In place: x [T, D] = gelu(x + bias [D]), the exact one (arXiv 1606.08415): gelu(x) = x / 2 * (1
/// + erf(x / sqrt(2))). Absolute error below 1e-6 + 2e-6 |gelu(x)|.
void bias_gelu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x);
/// In place: dy *= (y > 0).
void relu_backward(const Context& context, std::size_t n, const float* y, float* dy);

/// y = x + sigmoid(gate) * branch, each [n]; `gate` becomes its sigmoid, which the way back wants.
void gated_residual(const Context& context, std::size_t n, const float* x, const float* branch,
                    float* gate, float* y);
/// What dy [n] implies for the branch and for the gate before its sigmoid; dx is dy.
void gated_residual_backward(const Context& context, std::size_t n, const float* branch,
                             const float* gate, const float* dy, float* dbranch, float* dgate);

/// y = a + b, each [n].
void add(const Context& context, std::size_t n, const float* a, const float* b, float* y);
/// x [T, D] += bias [D].
void add_bias(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
              float* x);
/// dbias [D] += column sums of dy [T, D].
void add_bias_backward(const Context& context, std::size_t tokens, std::size_t width,
                       const float* dy, float* dbias);

/// In place: each x[i] is dropped (0) with probability p, else divided by 1 - p. Which ones is a
/// function of (seed, i): the way back is the same call on the gradient. p = 0 leaves x alone.
void dropout(const Context& context, std::size_t n, float p, std::uint64_t seed, float* x);

/// out [T, D] = scale * items[item] + positions[position] + actions[action] + gaps[gap], tables of
/// rows of D, indices [T].
struct Embedding {
  const float *items, *positions, *actions, *gaps;
  const std::uint32_t *item, *position, *action, *gap;
};
void embed(const Context& context, std::size_t tokens, std::size_t width, float scale,
           const Embedding& embedding, float* out);

/// The row ids[k] of `to` [*, D] += scale * factors[t] * row t of `from` [*, D], over the t of
/// segment k. factors null: all 1.
void add_segments(const Context& context, const Segments& segments, std::size_t width, float scale,
                  const float* factors, const float* from, float* to);
/// Row to_rows[i] of `to` = row from_rows[i] of `from`, for n rows of D; null: row i. No row is
/// written twice.
void copy_rows(const Context& context, std::size_t n, std::size_t width,
               const std::uint32_t* from_rows, const float* from, const std::uint32_t* to_rows,
               float* to);
/// to [n, D] += factors[i * stride] * row rows[i] of `from`; where the factor is 0 nothing is read.
/// rows null: row i.
void add_rows(const Context& context, std::size_t n, std::size_t width, const float* factors,
              std::size_t stride, const std::uint32_t* rows, const float* from, float* to);
/// Row rows[i] of `to` += factors[i] * from [n, D]; where the factor is 0 nothing is written. rows
/// null: row i. No row comes twice: add_segments is for those that may.
void add_to_rows(const Context& context, std::size_t n, std::size_t width, const float* factors,
                 const std::uint32_t* rows, const float* from, float* to);
/// Rows rows[i] of x become 0.
void zero_rows(const Context& context, std::size_t n, std::size_t width, const std::uint32_t* rows,
               float* x);

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
/// The same for `rows` [n] of arrays of rows of D, none of them twice.
void adam_rows(const Context& context, std::size_t n, const std::uint32_t* rows, std::size_t width,
               const AdamOptions& options, std::size_t step, const float* gradient, float* weight,
               float* first, float* second);

/// better[i] = how many of scores [n, V] in row i are above its column targets[i], columns
/// excluded[excluded_offsets[i] .. excluded_offsets[i + 1]) left out. No column is excluded twice.
void count_better(const Context& context, std::size_t n, std::size_t items, const float* scores,
                  const std::uint32_t* targets, const std::uint32_t* excluded_offsets,
                  const std::uint32_t* excluded, std::uint32_t* better);

/// In place: x[i] = exp(x[i]), relative error below 2e-6 for x in [-87, 88]; below that 0.
void exponential(const Context& context, std::size_t n, float* x);

/// Sum of a[i] * b[i], on the host.
float dot(std::size_t n, const float* a, const float* b);

}  // namespace fovea::ranking::ops
