// Bodies of ops.h for the CPU that look rows up, move and add them: bound by memory, so that plain
// loops are as fast as any. Compiled for the least processor, whatever runs them: products and sums
// round apart here, and a training gives the same bits on every one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ranking/gap_bucket.h"
#include "ranking/ops_bodies.h"

namespace fovea::ranking::ops::cpu {
namespace {

// Calls visit(at, pair, head, newer, age) for each pair of behaviours that attention sees: `at` in
// the layout of causal_attention's probabilities, `pair` in one [n, n] block for each sequence,
// `newer` the token that attends, `age` how many behaviours before it the other one stands.
template <typename Visit>
void for_each_pair(const Sequences& sequences, std::size_t heads, const Visit& visit) {
  for (std::size_t s = 0; s < sequences.count; ++s) {
    const std::size_t first = sequences.offsets[s];
    const std::size_t n = sequences.offsets[s + 1] - first;
    const std::size_t pairs = sequences.pair_starts[s];
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
          visit(heads * pairs + (h * n + i) * n + j, pairs + i * n + j, h, first + i, i - j);
        }
      }
    }
  }
}

}  // namespace

void pair_gaps(const Context&, const Sequences& sequences, const std::int64_t* times_ms,
               std::uint8_t* buckets) {
  for_each_pair(
      sequences, 1,
      [&](std::size_t, std::size_t pair, std::size_t, std::size_t newer, std::size_t age) {
        buckets[pair] = gap_bucket(times_ms[newer - age], times_ms[newer]);
      });
}

void relative_bias(const Context&, const Sequences& sequences, std::size_t heads, std::size_t ages,
                   const float* age_bias, std::size_t gaps, const float* gap_bias,
                   const std::uint8_t* buckets, float* out) {
  for_each_pair(sequences, heads,
                [&](std::size_t at, std::size_t pair, std::size_t h, std::size_t, std::size_t age) {
                  out[at] = age_bias[h * ages + age] + gap_bias[h * gaps + buckets[pair]];
                });
}

void relative_bias_backward(const Context&, const Sequences& sequences, std::size_t heads,
                            std::size_t ages, float* dage_bias, std::size_t gaps, float* dgap_bias,
                            const std::uint8_t* buckets, const float* dout) {
  for_each_pair(sequences, heads,
                [&](std::size_t at, std::size_t pair, std::size_t h, std::size_t, std::size_t age) {
                  dage_bias[h * ages + age] += dout[at];
                  dgap_bias[h * gaps + buckets[pair]] += dout[at];
                });
}

void sampled_logits(const Context&, std::size_t rows, std::size_t drawn_count, std::size_t width,
                    const float* states, const float* vectors, const std::uint32_t* targets,
                    const std::uint32_t* drawn, float stands_for, float* logits) {
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = logits + i * (drawn_count + 1);
    row[0] = dot(width, states + i * width, vectors + targets[i] * width);
    for (std::size_t j = 0; j < drawn_count; ++j) {
      row[1 + j] = drawn[j] == targets[i] ? -std::numeric_limits<float>::infinity()
                                          : row[1 + j] + stands_for;
    }
  }
}

void add(const Context&, std::size_t n, const float* a, const float* b, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void embed(const Context&, std::size_t tokens, std::size_t width, float scale,
           const Embedding& embedding, float* out) {
  for (std::size_t t = 0; t < tokens; ++t, out += width) {
    const float* item = embedding.items + embedding.item[t] * width;
    const float* position = embedding.positions + embedding.position[t] * width;
    const float* action = embedding.actions + embedding.action[t] * width;
    const float* gap = embedding.gaps + embedding.gap[t] * width;
    for (std::size_t c = 0; c < width; ++c) {
      out[c] = scale * item[c] + position[c] + action[c] + gap[c];
    }
  }
}

void add_segments(const Context&, const Segments& segments, std::size_t width, float scale,
                  const float* factors, const float* from, float* to) {
  for (std::size_t k = 0; k < segments.count; ++k) {
    float* sum = to + segments.ids[k] * width;
    for (std::size_t i = segments.starts[k]; i < segments.starts[k + 1]; ++i) {
      const std::size_t t = segments.order[i];
      const float factor = factors == nullptr ? scale : scale * factors[t];
      const float* row = from + t * width;
      for (std::size_t c = 0; c < width; ++c) sum[c] += factor * row[c];
    }
  }
}

void copy_rows(const Context&, std::size_t n, std::size_t width, const std::uint32_t* from_rows,
               const float* from, const std::uint32_t* to_rows, float* to) {
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(from + (from_rows == nullptr ? i : from_rows[i]) * width, width,
                to + (to_rows == nullptr ? i : to_rows[i]) * width);
  }
}

void add_rows(const Context&, std::size_t n, std::size_t width, const float* factors,
              std::size_t stride, const std::uint32_t* rows, const float* from, float* to) {
  for (std::size_t i = 0; i < n; ++i) {
    const float factor = factors[i * stride];
    if (factor == 0) continue;
    const float* row = from + (rows == nullptr ? i : rows[i]) * width;
    for (std::size_t c = 0; c < width; ++c) to[i * width + c] += factor * row[c];
  }
}

void add_to_rows(const Context&, std::size_t n, std::size_t width, const float* factors,
                 const std::uint32_t* rows, const float* from, float* to) {
  for (std::size_t i = 0; i < n; ++i) {
    if (factors[i] == 0) continue;
    float* row = to + (rows == nullptr ? i : rows[i]) * width;
    for (std::size_t c = 0; c < width; ++c) row[c] += factors[i] * from[i * width + c];
  }
}

void zero_rows(const Context&, std::size_t n, std::size_t width, const std::uint32_t* rows,
               float* x) {
  for (std::size_t i = 0; i < n; ++i) std::fill_n(x + rows[i] * width, width, 0.0F);
}

void count_better(const Context&, std::size_t n, std::size_t items, const float* scores,
                  const std::uint32_t* targets, const std::uint32_t* excluded_offsets,
                  const std::uint32_t* excluded, std::uint32_t* better) {
  for (std::size_t i = 0; i < n; ++i) {
    const float* row = scores + i * items;
    const float target = row[targets[i]];
    std::uint32_t count = 0;
    for (std::size_t v = 0; v < items; ++v) count += row[v] > target ? 1 : 0;
    for (std::size_t e = excluded_offsets[i]; e < excluded_offsets[i + 1]; ++e) {
      if (row[excluded[e]] > target) --count;
    }
    better[i] = count;
  }
}

}  // namespace fovea::ranking::ops::cpu
