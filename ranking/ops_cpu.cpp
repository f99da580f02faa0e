// Fast bodies of ops.h for the CPU (ops_cpu_rows.cpp has those that move rows): oneDNN for matrix
// products, loops that vectorise for the rest. A loop over one row is a function compiled for three
// instruction sets, picked when the program starts; OpenMP spreads rows over threads. Every row is
// summed by one thread in one order, so results do not depend on threads where the gradients of
// weights are not summed.
#include <oneapi/dnnl/dnnl.h>

#include "ranking/ops_bodies.h"
#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <vector>

#include "ranking/clones.h"
#include "ranking/random.h"

namespace fovea::ranking::ops {
namespace cpu {
namespace {

// Rows below which starting threads costs more than it saves.
constexpr std::size_t kParallelRows = 64;

template <typename Body>
void for_rows([[maybe_unused]] const Context& context, std::size_t rows,
              [[maybe_unused]] std::size_t least, const Body& body) {
#ifdef _OPENMP
  if (context.threads > 1 && rows >= least) {
#pragma omp parallel for num_threads(context.threads) schedule(static)
    for (std::size_t r = 0; r < rows; ++r) body(r);
    return;
  }
#endif
  for (std::size_t r = 0; r < rows; ++r) body(r);
}

// Splits [0, n) into blocks that are worth a thread each.
template <typename Body>
void for_blocks(const Context& context, std::size_t n, const Body& body) {
  constexpr std::size_t kBlock = 16'384;
  for_rows(context, (n + kBlock - 1) / kBlock, 2,
           [&](std::size_t block) { body(block * kBlock, std::min(n, (block + 1) * kBlock)); });
}

// exp by 2^k times a polynomial on [-ln2/2, ln2/2] (coefficients: Cephes, S. Moshier). Inlined into
// the clones.
inline __attribute__((always_inline)) float exp_one(float x) {
  const float clamped = std::min(std::max(x, -87.0F), 88.0F);
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float k = (clamped * 1.44269504F + kRound) - kRound;
  const float r = (clamped - k * 0.693359375F) + k * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  // max() in this order makes a number of what is none, which an integer could not hold; p stays
  // none.
  const auto exponent = static_cast<std::int32_t>(std::max(-127.0F, k));
  const auto power = static_cast<std::uint32_t>(exponent + 127) << 23;
  return x < -87.0F ? 0.0F : p * std::bit_cast<float>(power);
}

FOVEA_CLONES float dot_row(std::size_t n, const float* a, const float* b) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

FOVEA_CLONES float sum_row(std::size_t n, const float* x) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

FOVEA_CLONES float max_row(std::size_t n, const float* x) {
  float highest = x[0];
#pragma omp simd reduction(max : highest)
  for (std::size_t i = 0; i < n; ++i) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

// x = exp(x - shift); returns the sum.
FOVEA_CLONES float exp_row(std::size_t n, float shift, float* x) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = exp_one(x[i] - shift);
    sum += x[i];
  }
  return sum;
}

// One head of one sequence of n tokens in attention(): results stand `width` apart. keys [head
// width, n] takes the keys on their sides, so that loops run along the tokens; row [n].
FOVEA_CLONES void attend_head(std::size_t n, std::size_t head_width, std::size_t width, float scale,
                              const float* head, float* keys, float* row, float* result) {
  const std::size_t stride = 3 * width;
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < head_width; ++k) keys[k * n + j] = head[j * stride + width + k];
  }
  for (std::size_t i = 0; i < n; ++i) {
    const float* query = head + i * stride;
    std::fill_n(row, n, 0.0F);
    std::size_t k = 0;
    for (; k + 4 <= head_width; k += 4) {
      const float* key = keys + k * n;
      const float a = scale * query[k];
      const float b = scale * query[k + 1];
      const float c = scale * query[k + 2];
      const float d = scale * query[k + 3];
#pragma omp simd
      for (std::size_t j = 0; j < n; ++j) {
        row[j] += a * key[j] + b * key[n + j] + c * key[2 * n + j] + d * key[3 * n + j];
      }
    }
    for (; k < head_width; ++k) {
#pragma omp simd
      for (std::size_t j = 0; j < n; ++j) row[j] += scale * query[k] * keys[k * n + j];
    }
    float highest = row[0];
#pragma omp simd reduction(max : highest)
    for (std::size_t j = 0; j < n; ++j) highest = row[j] > highest ? row[j] : highest;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t j = 0; j < n; ++j) {
      row[j] = exp_one(row[j] - highest);
      sum += row[j];
    }
    float* values = result + i * width;
    std::fill_n(values, head_width, 0.0F);
    const float inverse = 1 / sum;
    for (std::size_t j = 0; j < n; ++j) {
      const float probability = row[j] * inverse;
      const float* value = head + j * stride + 2 * width;
#pragma omp simd
      for (std::size_t c = 0; c < head_width; ++c) values[c] += probability * value[c];
    }
  }
}

FOVEA_CLONES void scale_row(std::size_t n, float factor, float* x) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) x[i] *= factor;
}

FOVEA_CLONES void add_scaled_row(std::size_t n, float factor, const float* x, float* y) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

FOVEA_CLONES void normalise_row(std::size_t n, float epsilon, const float* x, const float* gain,
                                const float* bias, float* y, float* mean, float* rstd) {
  const float average = sum_row(n, x) / static_cast<float>(n);
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (std::size_t i = 0; i < n; ++i) squares += (x[i] - average) * (x[i] - average);
  const float inverse = 1 / std::sqrt(squares / static_cast<float>(n) + epsilon);
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) y[i] = (x[i] - average) * inverse * gain[i] + bias[i];
  *mean = average;
  *rstd = inverse;
}

FOVEA_CLONES void normalise_backward_row(std::size_t n, const float* x, const float* gain,
                                         float mean, float rstd, const float* dy, float* dx) {
  float sum_dn = 0;
  float sum_dnn = 0;
#pragma omp simd reduction(+ : sum_dn, sum_dnn)
  for (std::size_t i = 0; i < n; ++i) {
    const float dn = dy[i] * gain[i];
    sum_dn += dn;
    sum_dnn += dn * (x[i] - mean) * rstd;
  }
  sum_dn /= static_cast<float>(n);
  sum_dnn /= static_cast<float>(n);
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    dx[i] += rstd * (dy[i] * gain[i] - sum_dn - (x[i] - mean) * rstd * sum_dnn);
  }
}

FOVEA_CLONES void gain_backward_row(std::size_t n, const float* x, float mean, float rstd,
                                    const float* dy, float* dgain, float* dbias) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    dgain[i] += dy[i] * (x[i] - mean) * rstd;
    dbias[i] += dy[i];
  }
}

FOVEA_CLONES void bias_relu_row(std::size_t n, const float* bias, float* x) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) x[i] = std::max(x[i] + bias[i], 0.0F);
}

FOVEA_CLONES void bias_gelu_row(std::size_t n, const float* bias, float* x) {
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) {
    // 1 - erf(u) for u >= 0 (Abramowitz and Stegun 7.1.26), absolute error below 1.5e-7.
    const float sum = x[i] + bias[i];
    const float u = std::abs(sum) * 0.707106781F;
    const float t = 1 / (1 + 0.3275911F * u);
    float p = 1.061405429F;
    p = p * t - 1.453152027F;
    p = p * t + 1.421413741F;
    p = p * t - 0.284496736F;
    p = p * t + 0.254829592F;
    const float tail = p * t * exp_one(-u * u);
    x[i] = 0.5F * (sum > 0 ? sum * (2 - tail) : sum * tail);
  }
}

FOVEA_CLONES void relu_backward_block(std::size_t begin, std::size_t end, const float* y,
                                      float* dy) {
#pragma omp simd
  for (std::size_t i = begin; i < end; ++i) dy[i] = y[i] > 0 ? dy[i] : 0;
}

FOVEA_CLONES void gated_residual_block(std::size_t begin, std::size_t end, const float* x,
                                       const float* branch, float* gate, float* y) {
#pragma omp simd
  for (std::size_t i = begin; i < end; ++i) {
    gate[i] = 1 / (1 + exp_one(-gate[i]));
    y[i] = x[i] + gate[i] * branch[i];
  }
}

FOVEA_CLONES void gated_residual_backward_block(std::size_t begin, std::size_t end,
                                                const float* branch, const float* gate,
                                                const float* dy, float* dbranch, float* dgate) {
#pragma omp simd
  for (std::size_t i = begin; i < end; ++i) {
    dbranch[i] = dy[i] * gate[i];
    dgate[i] = dy[i] * branch[i] * gate[i] * (1 - gate[i]);
  }
}

FOVEA_CLONES void dropout_block(std::size_t begin, std::size_t end, std::uint32_t threshold,
                                std::uint32_t key, float scale, float* x) {
#pragma omp simd
  for (std::size_t i = begin; i < end; ++i) {
    x[i] = mix32(static_cast<std::uint32_t>(i) ^ key) < threshold ? 0 : x[i] * scale;
  }
}

FOVEA_CLONES void adam_block(std::size_t begin, std::size_t end, const AdamOptions& options,
                             float rate1, float rate2, const float* gradient, float* weight,
                             float* first, float* second) {
  const AdamOptions o = options;
#pragma omp simd
  for (std::size_t i = begin; i < end; ++i) {
    first[i] = o.beta1 * first[i] + (1 - o.beta1) * gradient[i];
    second[i] = o.beta2 * second[i] + (1 - o.beta2) * gradient[i] * gradient[i];
    const float move = first[i] * rate1 / (std::sqrt(second[i] * rate2) + o.epsilon);
    weight[i] -= o.learning_rate * (move + o.weight_decay * weight[i]);
  }
}

FOVEA_CLONES void exp_block(std::size_t begin, std::size_t end, float* x) {
#pragma omp simd
  for (std::size_t i = begin; i < end; ++i) x[i] = exp_one(x[i]);
}

}  // namespace

void gemm(const Context& context, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {  // oneDNN refuses leading dimensions of 0
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
    }
    return;
  }
#ifdef _OPENMP
  if (omp_get_max_threads() != context.threads) omp_set_num_threads(context.threads);
#else
  (void)context;
#endif
  const auto flag = [](Transpose t) { return t == Transpose::kYes ? 'T' : 'N'; };
  const auto size = [](std::size_t x) { return static_cast<dnnl_dim_t>(x); };
  const dnnl_status_t status =
      dnnl_sgemm(flag(a_transposed), flag(b_transposed), size(m), size(n), size(k), alpha, a,
                 size(lda), b, size(ldb), beta, c, size(ldc));
  if (status != dnnl_success) std::abort();  // only our own wrong sizes lead here
}

void layer_norm(const Context& context, std::size_t tokens, std::size_t width, float epsilon,
                const float* x, const float* gain, const float* bias, float* y, float* mean,
                float* rstd) {
  for_rows(context, tokens, kParallelRows, [&](std::size_t t) {
    normalise_row(width, epsilon, x + t * width, gain, bias, y + t * width, mean + t, rstd + t);
  });
}

void layer_norm_backward(const Context& context, std::size_t tokens, std::size_t width,
                         const float* x, const float* gain, const float* mean, const float* rstd,
                         const float* dy, float* dx, float* dgain, float* dbias) {
  for_rows(context, tokens, kParallelRows, [&](std::size_t t) {
    normalise_backward_row(width, x + t * width, gain, mean[t], rstd[t], dy + t * width,
                           dx + t * width);
  });
  for (std::size_t t = 0; t < tokens; ++t) {
    gain_backward_row(width, x + t * width, mean[t], rstd[t], dy + t * width, dgain, dbias);
  }
}

void causal_attention(const Context& context, const Sequences& sequences, std::size_t heads,
                      std::size_t width, const float* qkv, const float* bias, float* out,
                      float* probabilities, std::size_t from) {
  const std::uint32_t* offsets = sequences.offsets;
  const std::size_t head_width = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for_rows(context, sequences.count, 2, [&](std::size_t s) {
    const std::size_t n = offsets[s + 1] - offsets[s];
    if (n == 0) return;  // arrays without a token may be null
    const std::size_t asked = from > offsets[s] ? std::min(n, from - offsets[s]) : 0;
    const std::size_t block_start = heads * sequences.pair_starts[s];
    const float* first = qkv + static_cast<std::size_t>(offsets[s]) * 3 * width;
    float* result = out + static_cast<std::size_t>(offsets[s]) * width;
    const std::size_t stride = 3 * width;
    for (std::size_t h = 0; h < heads; ++h) {
      float* block = probabilities + block_start + h * n * n;
      const float* queries = first + h * head_width;
      const float* keys = queries + width;
      const float* values = keys + width;
      // Every pair's product and not only those before the diagonal: in one call they take less.
      cpu::gemm(context, Transpose::kNo, Transpose::kYes, n - asked, n, head_width, scale,
                queries + asked * stride, stride, keys, stride, 0, block + asked * n, n);
      for (std::size_t i = asked; i < n; ++i) {
        float* row = block + i * n;
        if (bias != nullptr) add_scaled_row(i + 1, 1, bias + block_start + (h * n + i) * n, row);
        const float sum = exp_row(i + 1, max_row(i + 1, row), row);
        scale_row(i + 1, 1 / sum, row);
        std::fill(row + i + 1, row + n, 0.0F);
      }
      cpu::gemm(context, Transpose::kNo, Transpose::kNo, n - asked, head_width, n, 1,
                block + asked * n, n, values, stride, 0, result + asked * width + h * head_width,
                width);
    }
  });
}

void attention(const Context& context, const Sequences& sequences, std::size_t heads,
               std::size_t width, const float* qkv, float* out) {
  const std::uint32_t* offsets = sequences.offsets;
  const std::size_t head_width = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for_rows(context, sequences.count, 2, [&](std::size_t s) {
    const std::size_t n = offsets[s + 1] - offsets[s];
    if (n == 0) return;  // arrays without a token may be null
    std::vector<float> scratch(n * (head_width + 1));
    for (std::size_t h = 0; h < heads; ++h) {
      attend_head(n, head_width, width, scale, qkv + offsets[s] * 3 * width + h * head_width,
                  scratch.data() + n, scratch.data(), out + offsets[s] * width + h * head_width);
    }
  });
}

void causal_attention_backward(const Context& context, const Sequences& sequences,
                               std::size_t heads, std::size_t width, const float* qkv,
                               const float* probabilities, const float* dout, float* dqkv,
                               float* dbias) {
  const std::uint32_t* offsets = sequences.offsets;
  const std::size_t head_width = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  for_rows(context, sequences.count, 2, [&](std::size_t s) {
    const std::size_t n = offsets[s + 1] - offsets[s];
    if (n == 0) return;  // arrays without a token may be null
    const std::size_t block_start = heads * sequences.pair_starts[s];
    const std::size_t start = static_cast<std::size_t>(offsets[s]) * 3 * width;
    std::fill(dqkv + start, dqkv + start + n * 3 * width, 0.0F);
    std::vector<float> dlogits(n);
    for (std::size_t h = 0; h < heads; ++h) {
      const float* block = probabilities + block_start + h * n * n;
      const float* query = qkv + start + h * head_width;
      float* dquery = dqkv + start + h * head_width;
      for (std::size_t i = 0; i < n; ++i) {
        const float* p = block + i * n;
        const float* gradient = dout + (offsets[s] + i) * width + h * head_width;
        for (std::size_t j = 0; j <= i; ++j) {
          dlogits[j] = dot_row(head_width, gradient, query + j * 3 * width + 2 * width);
          add_scaled_row(head_width, p[j], gradient, dquery + j * 3 * width + 2 * width);
        }
        const float mean = dot_row(i + 1, p, dlogits.data());
        for (std::size_t j = 0; j <= i; ++j) {
          const float dbiased = p[j] * (dlogits[j] - mean);
          if (dbias != nullptr) dbias[block_start + (h * n + i) * n + j] = dbiased;
          const float dlogit = dbiased * scale;
          add_scaled_row(head_width, dlogit, query + j * 3 * width + width, dquery + i * 3 * width);
          add_scaled_row(head_width, dlogit, query + i * 3 * width, dquery + j * 3 * width + width);
        }
      }
    }
  });
}

void softmax_cross_entropy(const Context& context, std::size_t rows, std::size_t classes,
                           float* logits, const std::uint32_t* targets, float scale, double* loss) {
  std::vector<double> losses(rows);
  for_rows(context, rows, 2, [&](std::size_t r) {
    float* row = logits + r * classes;
    const float highest = max_row(classes, row);
    const double target = static_cast<double>(row[targets[r]]) - highest;
    const float sum = exp_row(classes, highest, row);
    losses[r] = std::log(static_cast<double>(sum)) - target;
    scale_row(classes, scale / sum, row);
    row[targets[r]] -= scale;
  });
  double total = 0;
  for (const double one : losses) total += one;
  *loss += total;
}

void bias_relu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x) {
  for_rows(context, tokens, kParallelRows,
           [&](std::size_t t) { bias_relu_row(width, bias, x + t * width); });
}

void bias_gelu(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
               float* x) {
  for_rows(context, tokens, kParallelRows,
           [&](std::size_t t) { bias_gelu_row(width, bias, x + t * width); });
}

void relu_backward(const Context& context, std::size_t n, const float* y, float* dy) {
  for_blocks(context, n,
             [&](std::size_t begin, std::size_t end) { relu_backward_block(begin, end, y, dy); });
}

void gated_residual(const Context& context, std::size_t n, const float* x, const float* branch,
                    float* gate, float* y) {
  for_blocks(context, n, [&](std::size_t begin, std::size_t end) {
    gated_residual_block(begin, end, x, branch, gate, y);
  });
}

void gated_residual_backward(const Context& context, std::size_t n, const float* branch,
                             const float* gate, const float* dy, float* dbranch, float* dgate) {
  for_blocks(context, n, [&](std::size_t begin, std::size_t end) {
    gated_residual_backward_block(begin, end, branch, gate, dy, dbranch, dgate);
  });
}

void add_bias(const Context& context, std::size_t tokens, std::size_t width, const float* bias,
              float* x) {
  for_rows(context, tokens, kParallelRows,
           [&](std::size_t t) { add_scaled_row(width, 1, bias, x + t * width); });
}

void add_bias_backward(const Context&, std::size_t tokens, std::size_t width, const float* dy,
                       float* dbias) {
  for (std::size_t t = 0; t < tokens; ++t) add_scaled_row(width, 1, dy + t * width, dbias);
}

void dropout(const Context& context, std::size_t n, float p, std::uint64_t seed, float* x) {
  if (p <= 0) return;
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(p) * 0x1p32);
  const auto key = static_cast<std::uint32_t>(mix(seed));
  for_blocks(context, n, [&](std::size_t begin, std::size_t end) {
    dropout_block(begin, end, threshold, key, 1 / (1 - p), x);
  });
}

void adam(const Context& context, std::size_t n, const AdamOptions& options, std::size_t step,
          const float* gradient, float* weight, float* first, float* second) {
  const auto rate = [step](float beta) {
    return static_cast<float>(1 / (1 - std::pow(static_cast<double>(beta), step)));
  };
  for_blocks(context, n, [&](std::size_t begin, std::size_t end) {
    adam_block(begin, end, options, rate(options.beta1), rate(options.beta2), gradient, weight,
               first, second);
  });
}

void adam_rows(const Context&, std::size_t n, const std::uint32_t* rows, std::size_t width,
               const AdamOptions& options, std::size_t step, const float* gradient, float* weight,
               float* first, float* second) {
  const Context alone{1};  // a row is not worth a thread
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t at = rows[i] * width;
    cpu::adam(alone, width, options, step, gradient + at, weight + at, first + at, second + at);
  }
}

void exponential(const Context& context, std::size_t n, float* x) {
  for_blocks(context, n, [&](std::size_t begin, std::size_t end) { exp_block(begin, end, x); });
}

}  // namespace cpu

float dot(std::size_t n, const float* a, const float* b) { return cpu::dot_row(n, a, b); }

}  // namespace fovea::ranking::ops
