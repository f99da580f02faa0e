// Plain bodies of what looks rows up, moves and adds them; see ops_plain.h.
#include <cmath>
#include <limits>
#include <set>

#include "ranking/gap_bucket.h"
#include "ranking/ops_plain.h"

namespace fovea::ranking::ops::plain {
namespace {

// Where behaviour j of sequence s stands for behaviour i and head h, in causal_attention's layout.
std::size_t cell(const Sequences& sequences, std::size_t heads, std::size_t s, std::size_t h,
                 std::size_t i, std::size_t j) {
  std::size_t before = 0;
  for (std::size_t other = 0; other < s; ++other) {
    const std::size_t n = sequences.offsets[other + 1] - sequences.offsets[other];
    before += heads * n * n;
  }
  const std::size_t n = sequences.offsets[s + 1] - sequences.offsets[s];
  return before + h * n * n + i * n + j;
}

}  // namespace

void pair_gaps(const Context&, const Sequences& sequences, const std::int64_t* times_ms,
               std::uint8_t* buckets) {
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::int64_t* times = times_ms + sequences.offsets[s];
    const std::size_t n = sequences.offsets[s + 1] - sequences.offsets[s];
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        buckets[cell(sequences, 1, s, 0, i, j)] = gap_bucket(times[j], times[i]);
      }
    }
  }
}

void relative_bias(const Context&, const Sequences& sequences, std::size_t heads, std::size_t ages,
                   const float* age_bias, std::size_t gaps, const float* gap_bias,
                   const std::uint8_t* buckets, float* out) {
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::size_t n = sequences.offsets[s + 1] - sequences.offsets[s];
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
          const std::size_t gap = buckets[cell(sequences, 1, s, 0, i, j)];
          out[cell(sequences, heads, s, h, i, j)] =
              age_bias[h * ages + i - j] + gap_bias[h * gaps + gap];
        }
      }
    }
  }
}

void relative_bias_backward(const Context&, const Sequences& sequences, std::size_t heads,
                            std::size_t ages, float* dage_bias, std::size_t gaps, float* dgap_bias,
                            const std::uint8_t* buckets, const float* dout) {
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::size_t n = sequences.offsets[s + 1] - sequences.offsets[s];
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
          const std::size_t gap = buckets[cell(sequences, 1, s, 0, i, j)];
          const float d = dout[cell(sequences, heads, s, h, i, j)];
          dage_bias[h * ages + i - j] += d;
          dgap_bias[h * gaps + gap] += d;
        }
      }
    }
  }
}

void sampled_logits(const Context&, std::size_t rows, std::size_t drawn_count, std::size_t width,
                    const float* states, const float* vectors, const std::uint32_t* targets,
                    const std::uint32_t* drawn, float stands_for, float* logits) {
  for (std::size_t i = 0; i < rows; ++i) {
    double product = 0;
    for (std::size_t c = 0; c < width; ++c) {
      product += static_cast<double>(states[i * width + c]) * vectors[targets[i] * width + c];
    }
    logits[i * (1 + drawn_count)] = static_cast<float>(product);
    for (std::size_t j = 0; j < drawn_count; ++j) {
      float& logit = logits[i * (1 + drawn_count) + 1 + j];
      logit += stands_for;
      if (drawn[j] == targets[i]) logit = -std::numeric_limits<float>::infinity();
    }
  }
}

void add(const Context&, std::size_t n, const float* a, const float* b, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void embed(const Context&, std::size_t tokens, std::size_t width, float scale,
           const Embedding& embedding, float* out) {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t c = 0; c < width; ++c) {
      out[t * width + c] = scale * embedding.items[embedding.item[t] * width + c] +
                           embedding.positions[embedding.position[t] * width + c] +
                           embedding.actions[embedding.action[t] * width + c] +
                           embedding.gaps[embedding.gap[t] * width + c];
    }
  }
}

void add_segments(const Context&, const Segments& segments, std::size_t width, float scale,
                  const float* factors, const float* from, float* to) {
  for (std::size_t k = 0; k < segments.count; ++k) {
    for (std::size_t c = 0; c < width; ++c) {
      double sum = 0;
      for (std::size_t i = segments.starts[k]; i < segments.starts[k + 1]; ++i) {
        const std::size_t t = segments.order[i];
        sum += static_cast<double>(factors == nullptr ? 1 : factors[t]) * from[t * width + c];
      }
      to[segments.ids[k] * width + c] += static_cast<float>(scale * sum);
    }
  }
}

void copy_rows(const Context&, std::size_t n, std::size_t width, const std::uint32_t* from_rows,
               const float* from, const std::uint32_t* to_rows, float* to) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t source = from_rows == nullptr ? i : from_rows[i];
    const std::size_t target = to_rows == nullptr ? i : to_rows[i];
    for (std::size_t c = 0; c < width; ++c) to[target * width + c] = from[source * width + c];
  }
}

void add_rows(const Context&, std::size_t n, std::size_t width, const float* factors,
              std::size_t stride, const std::uint32_t* rows, const float* from, float* to) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t source = rows == nullptr ? i : rows[i];
    for (std::size_t c = 0; c < width; ++c) {
      to[i * width + c] += factors[i * stride] * from[source * width + c];
    }
  }
}

void add_to_rows(const Context&, std::size_t n, std::size_t width, const float* factors,
                 const std::uint32_t* rows, const float* from, float* to) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t target = rows == nullptr ? i : rows[i];
    for (std::size_t c = 0; c < width; ++c) {
      to[target * width + c] += factors[i] * from[i * width + c];
    }
  }
}

void zero_rows(const Context&, std::size_t n, std::size_t width, const std::uint32_t* rows,
               float* x) {
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t c = 0; c < width; ++c) x[rows[i] * width + c] = 0;
  }
}

void adam_rows(const Context& context, std::size_t n, const std::uint32_t* rows, std::size_t width,
               const AdamOptions& options, std::size_t step, const float* gradient, float* weight,
               float* first, float* second) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t at = rows[i] * width;
    plain::adam(context, width, options, step, gradient + at, weight + at, first + at, second + at);
  }
}

void count_better(const Context&, std::size_t n, std::size_t items, const float* scores,
                  const std::uint32_t* targets, const std::uint32_t* excluded_offsets,
                  const std::uint32_t* excluded, std::uint32_t* better) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::set<std::uint32_t> out(excluded + excluded_offsets[i],
                                      excluded + excluded_offsets[i + 1]);
    better[i] = 0;
    for (std::uint32_t v = 0; v < items; ++v) {
      if (!out.contains(v) && scores[i * items + v] > scores[i * items + targets[i]]) ++better[i];
    }
  }
}

}  // namespace fovea::ranking::ops::plain
