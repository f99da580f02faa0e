// Plain bodies; see ops_plain.h.
#include "ranking/ops_plain.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ranking/random.h"

namespace fovea::ranking::ops::plain {

void gemm(const Context&, Transpose a_transposed, Transpose b_transposed, std::size_t m,
          std::size_t n, std::size_t k, float alpha, const float* a, std::size_t lda,
          const float* b, std::size_t ldb, float beta, float* c, std::size_t ldc) {
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t l = 0; l < k; ++l) {
        const float left = a_transposed == Transpose::kYes ? a[l * lda + i] : a[i * lda + l];
        const float right = b_transposed == Transpose::kYes ? b[j * ldb + l] : b[l * ldb + j];
        sum += static_cast<double>(left) * right;
      }
      const float before = beta == 0 ? 0 : beta * c[i * ldc + j];
      c[i * ldc + j] = alpha * static_cast<float>(sum) + before;
    }
  }
}

void layer_norm(const Context&, std::size_t tokens, std::size_t width, float epsilon,
                const float* x, const float* gain, const float* bias, float* y, float* mean,
                float* rstd) {
  for (std::size_t t = 0; t < tokens; ++t) {
    double sum = 0;
    for (std::size_t d = 0; d < width; ++d) sum += x[t * width + d];
    const double average = sum / static_cast<double>(width);
    double squares = 0;
    for (std::size_t d = 0; d < width; ++d) squares += std::pow(x[t * width + d] - average, 2);
    mean[t] = static_cast<float>(average);
    rstd[t] = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(width) + epsilon));
    for (std::size_t d = 0; d < width; ++d) {
      y[t * width + d] = (x[t * width + d] - mean[t]) * rstd[t] * gain[d] + bias[d];
    }
  }
}

void layer_norm_backward(const Context&, std::size_t tokens, std::size_t width, const float* x,
                         const float* gain, const float* mean, const float* rstd, const float* dy,
                         float* dx, float* dgain, float* dbias) {
  for (std::size_t t = 0; t < tokens; ++t) {
    double mean_dn = 0;   // of the gradient of the normalised row
    double mean_dnn = 0;  // of that gradient times the row
    for (std::size_t d = 0; d < width; ++d) {
      const float normal = (x[t * width + d] - mean[t]) * rstd[t];
      const float dn = dy[t * width + d] * gain[d];
      mean_dn += dn;
      mean_dnn += static_cast<double>(dn) * normal;
      dgain[d] += dy[t * width + d] * normal;
      dbias[d] += dy[t * width + d];
    }
    mean_dn /= static_cast<double>(width);
    mean_dnn /= static_cast<double>(width);
    for (std::size_t d = 0; d < width; ++d) {
      const float normal = (x[t * width + d] - mean[t]) * rstd[t];
      const double dn = dy[t * width + d] * gain[d];
      dx[t * width + d] += static_cast<float>(rstd[t] * (dn - mean_dn - normal * mean_dnn));
    }
  }
}

void causal_attention(const Context&, const Sequences& sequences, std::size_t heads,
                      std::size_t width, const float* qkv, const float* bias, float* out,
                      float* probabilities, std::size_t /*from*/) {
  const std::uint32_t* offsets = sequences.offsets;
  const std::size_t head_width = width / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(head_width));
  std::size_t block = 0;  // where the pairs of this sequence and head begin
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::size_t n = offsets[s + 1] - offsets[s];
    for (std::size_t h = 0; h < heads; ++h, block += n * n) {
      for (std::size_t i = 0; i < n; ++i) {
        const float* query = qkv + (offsets[s] + i) * 3 * width + h * head_width;
        float* row = probabilities + block + i * n;
        std::fill(row, row + n, 0.0F);
        std::vector<double> logits(i + 1);
        for (std::size_t j = 0; j <= i; ++j) {
          const float* key = qkv + (offsets[s] + j) * 3 * width + width + h * head_width;
          for (std::size_t d = 0; d < head_width; ++d) {
            logits[j] += static_cast<double>(query[d]) * key[d] * scale;
          }
          if (bias != nullptr) logits[j] += bias[block + i * n + j];
        }
        const double highest = *std::max_element(logits.begin(), logits.end());
        double sum = 0;
        for (double& logit : logits) sum += logit = std::exp(logit - highest);
        float* result = out + (offsets[s] + i) * width + h * head_width;
        std::fill(result, result + head_width, 0.0F);
        for (std::size_t j = 0; j <= i; ++j) {
          row[j] = static_cast<float>(logits[j] / sum);
          const float* value = qkv + (offsets[s] + j) * 3 * width + 2 * width + h * head_width;
          for (std::size_t d = 0; d < head_width; ++d) result[d] += row[j] * value[d];
        }
      }
    }
  }
}

void attention(const Context&, const Sequences& sequences, std::size_t heads, std::size_t width,
               const float* qkv, float* out) {
  const std::uint32_t* offsets = sequences.offsets;
  const std::size_t head_width = width / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(head_width));
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::size_t n = offsets[s + 1] - offsets[s];
    for (std::size_t h = 0; h < heads; ++h) {
      const auto at = [&](std::size_t token, std::size_t part) {
        return qkv + (offsets[s] + token) * 3 * width + part * width + h * head_width;
      };
      for (std::size_t i = 0; i < n; ++i) {
        std::vector<double> weights(n);
        for (std::size_t j = 0; j < n; ++j) {
          for (std::size_t d = 0; d < head_width; ++d) {
            weights[j] += static_cast<double>(at(i, 0)[d]) * at(j, 1)[d] * scale;
          }
        }
        const double highest = *std::max_element(weights.begin(), weights.end());
        double sum = 0;
        for (double& weight : weights) sum += weight = std::exp(weight - highest);
        for (std::size_t d = 0; d < head_width; ++d) {
          double value = 0;
          for (std::size_t j = 0; j < n; ++j) value += weights[j] / sum * at(j, 2)[d];
          out[(offsets[s] + i) * width + h * head_width + d] = static_cast<float>(value);
        }
      }
    }
  }
}

void causal_attention_backward(const Context&, const Sequences& sequences, std::size_t heads,
                               std::size_t width, const float* qkv, const float* probabilities,
                               const float* dout, float* dqkv, float* dbias) {
  const std::uint32_t* offsets = sequences.offsets;
  const std::size_t head_width = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  std::fill(dqkv, dqkv + static_cast<std::size_t>(offsets[sequences.count]) * 3 * width, 0.0F);
  std::size_t block = 0;
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::size_t n = offsets[s + 1] - offsets[s];
    for (std::size_t h = 0; h < heads; ++h, block += n * n) {
      const auto at = [&](std::size_t token, std::size_t part) {
        return (offsets[s] + token) * 3 * width + part * width + h * head_width;
      };
      for (std::size_t i = 0; i < n; ++i) {
        const float* p = probabilities + block + i * n;
        const float* gradient = dout + (offsets[s] + i) * width + h * head_width;
        std::vector<float> dp(i + 1);
        double mean = 0;
        for (std::size_t j = 0; j <= i; ++j) {
          for (std::size_t d = 0; d < head_width; ++d) {
            dp[j] += gradient[d] * qkv[at(j, 2) + d];
            dqkv[at(j, 2) + d] += p[j] * gradient[d];
          }
          mean += static_cast<double>(p[j]) * dp[j];
        }
        for (std::size_t j = 0; j <= i; ++j) {
          const float dlogit = p[j] * (dp[j] - static_cast<float>(mean)) * scale;
          if (dbias != nullptr) dbias[block + i * n + j] = dlogit / scale;
          for (std::size_t d = 0; d < head_width; ++d) {
            dqkv[at(i, 0) + d] += dlogit * qkv[at(j, 1) + d];
            dqkv[at(j, 1) + d] += dlogit * qkv[at(i, 0) + d];
          }
        }
      }
    }
  }
}

void softmax_cross_entropy(const Context&, std::size_t rows, std::size_t classes, float* logits,
                           const std::uint32_t* targets, float scale, double* loss) {
  for (std::size_t r = 0; r < rows; ++r) {
    float* row = logits + r * classes;
    const float highest = *std::max_element(row, row + classes);
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c)
      sum += std::exp(static_cast<double>(row[c]) - highest);
    *loss += std::log(sum) + highest - row[targets[r]];
    for (std::size_t c = 0; c < classes; ++c) {
      const double probability = std::exp(static_cast<double>(row[c]) - highest) / sum;
      row[c] = scale * static_cast<float>(probability - (c == targets[r] ? 1 : 0));
    }
  }
}

void bias_relu(const Context&, std::size_t tokens, std::size_t width, const float* bias, float* x) {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t d = 0; d < width; ++d) {
      x[t * width + d] = std::max(x[t * width + d] + bias[d], 0.0F);
    }
  }
}

void bias_gelu(const Context&, std::size_t tokens, std::size_t width, const float* bias, float* x) {
  for (std::size_t i = 0; i < tokens * width; ++i) {
    const double sum = static_cast<double>(x[i]) + bias[i % width];
    x[i] = static_cast<float>(sum / 2 * (1 + std::erf(sum / std::sqrt(2.0))));
  }
}

void relu_backward(const Context&, std::size_t n, const float* y, float* dy) {
  for (std::size_t i = 0; i < n; ++i) {
    if (!(y[i] > 0)) dy[i] = 0;
  }
}

void gated_residual(const Context&, std::size_t n, const float* x, const float* branch, float* gate,
                    float* y) {
  for (std::size_t i = 0; i < n; ++i) {
    gate[i] = 1 / (1 + std::exp(-gate[i]));
    y[i] = x[i] + gate[i] * branch[i];
  }
}

void gated_residual_backward(const Context&, std::size_t n, const float* branch, const float* gate,
                             const float* dy, float* dbranch, float* dgate) {
  for (std::size_t i = 0; i < n; ++i) {
    dbranch[i] = dy[i] * gate[i];
    dgate[i] = dy[i] * branch[i] * gate[i] * (1 - gate[i]);
  }
}

void add_bias(const Context&, std::size_t tokens, std::size_t width, const float* bias, float* x) {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t d = 0; d < width; ++d) x[t * width + d] += bias[d];
  }
}

void add_bias_backward(const Context&, std::size_t tokens, std::size_t width, const float* dy,
                       float* dbias) {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t d = 0; d < width; ++d) dbias[d] += dy[t * width + d];
  }
}

void dropout(const Context&, std::size_t n, float p, std::uint64_t seed, float* x) {
  if (p <= 0) return;
  const auto threshold = static_cast<std::uint32_t>(static_cast<double>(p) * 0x1p32);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t draw =
        mix32(static_cast<std::uint32_t>(i) ^ static_cast<std::uint32_t>(mix(seed)));
    x[i] = draw < threshold ? 0 : x[i] / (1 - p);
  }
}

void adam(const Context&, std::size_t n, const AdamOptions& options, std::size_t step,
          const float* gradient, float* weight, float* first, float* second) {
  const double correction1 = 1 - std::pow(static_cast<double>(options.beta1), step);
  const double correction2 = 1 - std::pow(static_cast<double>(options.beta2), step);
  for (std::size_t i = 0; i < n; ++i) {
    first[i] = options.beta1 * first[i] + (1 - options.beta1) * gradient[i];
    second[i] = options.beta2 * second[i] + (1 - options.beta2) * gradient[i] * gradient[i];
    const double move =
        (first[i] / correction1) / (std::sqrt(second[i] / correction2) + options.epsilon);
    weight[i] -= static_cast<float>(options.learning_rate *
                                    (move + static_cast<double>(options.weight_decay) * weight[i]));
  }
}

void exponential(const Context&, std::size_t n, float* x) {
  for (std::size_t i = 0; i < n; ++i) x[i] = x[i] < -87 ? 0 : std::exp(x[i]);
}

float dot(std::size_t n, const float* a, const float* b) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return static_cast<float>(sum);
}

}  // namespace fovea::ranking::ops::plain
