// What one lane of a group of threads computes of one row, for the bodies of ops.h that run on a
// device: index arithmetic, work lists and the order of sums as plain functions that the host can
// run too. The kernels in ops_cuda_*.cu are these functions with a reduction between them;
// tests/ops_lanes_test walks the same lanes on the host and compares with the plain bodies.
// Lane `lane` of `lanes` takes entries lane, lane + lanes, ...; partial sums are then reduced in
// one fixed order. Legend as in ops.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "ranking/ops.h"
#include "ranking/random.h"

#ifdef __CUDACC__
#define FOVEA_LANES __host__ __device__
#else
#define FOVEA_LANES
#endif

namespace fovea::ranking::ops::lanes {

inline constexpr int kWarp = 32;

/// How many groups of `size` cover n.
constexpr std::size_t groups(std::size_t n, std::size_t size) { return (n + size - 1) / size; }

/// A token and a head in attention. Work is numbered token by token, heads side by side: T *
/// H pieces, none of them for padding.
struct AttentionRow {
  std::size_t first;   // token of the sequence's first behaviour
  std::size_t place;   // of the token within the sequence
  std::size_t length;  // n, of the sequence
  std::size_t seen;    // how many of them, from the first on, the token attends to
  std::size_t head;
  std::size_t block;  // where the [n, n] block of this sequence and head begins
  std::size_t cells;  // where this token's row in it begins
};
/// Of causal attention: what comes later is not seen.
FOVEA_LANES inline AttentionRow attention_row(const Sequences& sequences, std::size_t heads,
                                              std::size_t work) {
  const std::size_t token = work / heads;
  const std::size_t s = sequences.sequence_of[token];
  AttentionRow row{};
  row.head = work % heads;
  row.first = sequences.offsets[s];
  row.place = token - row.first;
  row.length = sequences.offsets[s + 1] - row.first;
  row.seen = row.place + 1;
  row.block = heads * static_cast<std::size_t>(sequences.pair_starts[s]) +
              row.head * row.length * row.length;
  row.cells = row.block + row.place * row.length;
  return row;
}

/// Of attention to the whole sequence.
FOVEA_LANES inline AttentionRow whole_attention_row(const Sequences& sequences, std::size_t heads,
                                                    std::size_t work) {
  AttentionRow row = attention_row(sequences, heads, work);
  row.seen = row.length;
  return row;
}

/// Where a token's query (part 0), key (1) or value (2) for the row's head begins in qkv [T, 3D].
FOVEA_LANES inline std::size_t part_at(const AttentionRow& row, std::size_t head_width,
                                       std::size_t width, std::size_t place, std::size_t part) {
  return (row.first + place) * 3 * width + part * width + row.head * head_width;
}
/// Where its output for the row's head begins in out [T, D].
FOVEA_LANES inline std::size_t output_at(const AttentionRow& row, std::size_t head_width,
                                         std::size_t width, std::size_t place) {
  return (row.first + place) * width + row.head * head_width;
}

FOVEA_LANES inline float dot(std::size_t n, const float* a, const float* b) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// Logits of the row into `cells` [seen], the row's own. Returns the lane's highest.
FOVEA_LANES inline float attention_logits(const AttentionRow& row, std::size_t head_width,
                                          std::size_t width, const float* qkv, const float* bias,
                                          float scale, float* cells, std::size_t lane,
                                          std::size_t lanes) {
  const float* query = qkv + part_at(row, head_width, width, row.place, 0);
  float highest = -INFINITY;
  for (std::size_t j = lane; j < row.seen; j += lanes) {
    float logit = scale * dot(head_width, query, qkv + part_at(row, head_width, width, j, 1));
    if (bias != nullptr) logit += bias[row.cells + j];
    cells[j] = logit;
    highest = logit > highest ? logit : highest;
  }
  return highest;
}
/// x = exp(x - highest) over n entries. Returns the lane's sum.
FOVEA_LANES inline float exponentials(std::size_t n, float highest, float* x, std::size_t lane,
                                      std::size_t lanes) {
  float sum = 0;
  for (std::size_t j = lane; j < n; j += lanes) {
    x[j] = expf(x[j] - highest);
    sum += x[j];
  }
  return sum;
}
/// The row's exponentials become probabilities; zero where it does not see.
FOVEA_LANES inline void attention_normalise(const AttentionRow& row, float sum, float* cells,
                                            std::size_t lane, std::size_t lanes) {
  const float factor = 1 / sum;
  for (std::size_t j = lane; j < row.length; j += lanes) {
    cells[j] = j < row.seen ? cells[j] * factor : 0;
  }
}
/// The values of what the row attends to, weighed.
FOVEA_LANES inline void attention_output(const AttentionRow& row, std::size_t head_width,
                                         std::size_t width, const float* qkv, const float* cells,
                                         float* out, std::size_t lane, std::size_t lanes) {
  for (std::size_t c = lane; c < head_width; c += lanes) {
    float sum = 0;
    for (std::size_t j = 0; j < row.seen; ++j) {
      sum += cells[j] * qkv[part_at(row, head_width, width, j, 2) + c];
    }
    out[output_at(row, head_width, width, row.place) + c] = sum;
  }
}

/// Gradients of the row's probabilities into dcells. Returns the lane's part of their mean.
FOVEA_LANES inline float attention_dprobabilities(const AttentionRow& row, std::size_t head_width,
                                                  std::size_t width, const float* qkv,
                                                  const float* cells, const float* dout,
                                                  float* dcells, std::size_t lane,
                                                  std::size_t lanes) {
  const float* gradient = dout + output_at(row, head_width, width, row.place);
  float mean = 0;
  for (std::size_t j = lane; j <= row.place; j += lanes) {
    dcells[j] = dot(head_width, gradient, qkv + part_at(row, head_width, width, j, 2));
    mean += cells[j] * dcells[j];
  }
  return mean;
}
/// dcells becomes the gradient of the row's logits.
FOVEA_LANES inline void attention_dlogits(const AttentionRow& row, float mean, const float* cells,
                                          float* dcells, std::size_t lane, std::size_t lanes) {
  for (std::size_t j = lane; j <= row.place; j += lanes) {
    dcells[j] = cells[j] * (dcells[j] - mean);
  }
}
/// The query's gradient from that of the row's logits.
FOVEA_LANES inline void attention_dquery(const AttentionRow& row, std::size_t head_width,
                                         std::size_t width, const float* qkv, const float* dcells,
                                         float scale, float* dqkv, std::size_t lane,
                                         std::size_t lanes) {
  for (std::size_t c = lane; c < head_width; c += lanes) {
    float sum = 0;
    for (std::size_t j = 0; j <= row.place; ++j) {
      sum += dcells[j] * qkv[part_at(row, head_width, width, j, 1) + c];
    }
    dqkv[part_at(row, head_width, width, row.place, 0) + c] = scale * sum;
  }
}
/// The key's and the value's gradients of the row's token, from all that attend to it: its column
/// of the blocks, oldest first.
FOVEA_LANES inline void attention_dkey_dvalue(const AttentionRow& row, std::size_t head_width,
                                              std::size_t width, const float* qkv,
                                              const float* probabilities, const float* dlogits,
                                              const float* dout, float scale, float* dqkv,
                                              std::size_t lane, std::size_t lanes) {
  for (std::size_t c = lane; c < head_width; c += lanes) {
    float dkey = 0;
    float dvalue = 0;
    for (std::size_t i = row.place; i < row.length; ++i) {
      const std::size_t cell = row.block + i * row.length + row.place;
      dkey += dlogits[cell] * qkv[part_at(row, head_width, width, i, 0) + c];
      dvalue += probabilities[cell] * dout[output_at(row, head_width, width, i) + c];
    }
    dqkv[part_at(row, head_width, width, row.place, 1) + c] = scale * dkey;
    dqkv[part_at(row, head_width, width, row.place, 2) + c] = dvalue;
  }
}

/// What the lane's tokens add to the age_bias gradient of a head and age.
FOVEA_LANES inline float age_sum(const Sequences& sequences, std::size_t heads, std::size_t head,
                                 std::size_t age, const float* dout, std::size_t lane,
                                 std::size_t lanes) {
  float sum = 0;
  for (std::size_t t = lane; t < sequences.tokens; t += lanes) {
    const AttentionRow row = attention_row(sequences, heads, t * heads + head);
    if (row.place >= age) sum += dout[row.cells + row.place - age];
  }
  return sum;
}
/// The same of a head and a bucket of time.
FOVEA_LANES inline float gap_sum(const Sequences& sequences, std::size_t heads, std::size_t head,
                                 std::size_t bucket, const std::uint8_t* buckets, const float* dout,
                                 std::size_t lane, std::size_t lanes) {
  float sum = 0;
  for (std::size_t t = lane; t < sequences.tokens; t += lanes) {
    const AttentionRow row = attention_row(sequences, heads, t * heads + head);
    const std::size_t pairs =
        sequences.pair_starts[sequences.sequence_of[t]] + row.place * row.length;
    for (std::size_t j = 0; j <= row.place; ++j) {
      if (buckets[pairs + j] == bucket) sum += dout[row.cells + j];
    }
  }
  return sum;
}

FOVEA_LANES inline float lane_sum(std::size_t n, const float* x, std::size_t lane,
                                  std::size_t lanes) {
  float sum = 0;
  for (std::size_t i = lane; i < n; i += lanes) sum += x[i];
  return sum;
}
FOVEA_LANES inline float lane_squares(std::size_t n, const float* x, float mean, std::size_t lane,
                                      std::size_t lanes) {
  float sum = 0;
  for (std::size_t i = lane; i < n; i += lanes) sum += (x[i] - mean) * (x[i] - mean);
  return sum;
}
FOVEA_LANES inline float lane_highest(std::size_t n, const float* x, std::size_t lane,
                                      std::size_t lanes) {
  float highest = -INFINITY;
  for (std::size_t i = lane; i < n; i += lanes) highest = x[i] > highest ? x[i] : highest;
  return highest;
}
FOVEA_LANES inline void normalise(std::size_t n, const float* x, float mean, float rstd,
                                  const float* gain, const float* bias, float* y, std::size_t lane,
                                  std::size_t lanes) {
  for (std::size_t i = lane; i < n; i += lanes) {
    y[i] = (x[i] - mean) * rstd * gain[i] + bias[i];
  }
}
/// What the normalised row's gradient sums to, and its product with the row.
struct NormSums {
  float dn, dnn;
};
FOVEA_LANES inline NormSums norm_sums(std::size_t n, const float* x, const float* gain, float mean,
                                      float rstd, const float* dy, std::size_t lane,
                                      std::size_t lanes) {
  NormSums sums{};
  for (std::size_t i = lane; i < n; i += lanes) {
    const float dn = dy[i] * gain[i];
    sums.dn += dn;
    sums.dnn += dn * (x[i] - mean) * rstd;
  }
  return sums;
}
FOVEA_LANES inline void normalise_backward(std::size_t n, const float* x, const float* gain,
                                           float mean, float rstd, NormSums sums, const float* dy,
                                           float* dx, std::size_t lane, std::size_t lanes) {
  const float dn = sums.dn / static_cast<float>(n);
  const float dnn = sums.dnn / static_cast<float>(n);
  for (std::size_t i = lane; i < n; i += lanes) {
    dx[i] += rstd * (dy[i] * gain[i] - dn - (x[i] - mean) * rstd * dnn);
  }
}

/// Exponentials of a row of logits become gradients of its cross-entropy.
FOVEA_LANES inline void cross_entropy_gradient(std::size_t n, std::size_t target, float scale,
                                               float sum, float* x, std::size_t lane,
                                               std::size_t lanes) {
  const float factor = scale / sum;
  for (std::size_t c = lane; c < n; c += lanes) {
    x[c] = x[c] * factor - (c == target ? scale : 0.0F);
  }
}

/// The drawn items' logits of one row of ops::sampled_logits, which begins with the target's.
FOVEA_LANES inline void correct_drawn(std::size_t drawn_count, const std::uint32_t* drawn,
                                      std::uint32_t target, float stands_for, float* row,
                                      std::size_t lane, std::size_t lanes) {
  for (std::size_t j = lane; j < drawn_count; j += lanes) {
    row[1 + j] = drawn[j] == target ? -INFINITY : row[1 + j] + stands_for;
  }
}

/// How many of the lane's scores are above the target's.
FOVEA_LANES inline std::uint32_t better(std::size_t n, const float* scores, float target,
                                        std::size_t lane, std::size_t lanes) {
  std::uint32_t count = 0;
  for (std::size_t v = lane; v < n; v += lanes) count += scores[v] > target ? 1 : 0;
  return count;
}
/// How many of the lane's excluded columns are.
FOVEA_LANES inline std::uint32_t better_excluded(std::size_t n, const std::uint32_t* excluded,
                                                 const float* scores, float target,
                                                 std::size_t lane, std::size_t lanes) {
  std::uint32_t count = 0;
  for (std::size_t e = lane; e < n; e += lanes) count += scores[excluded[e]] > target ? 1 : 0;
  return count;
}

/// Which values ops::dropout drops: the same on every device, and on the way back.
struct DropoutMask {
  std::uint32_t threshold, key;
  float scale;  // of what stays

  static DropoutMask of(float p, std::uint64_t seed) {
    return {static_cast<std::uint32_t>(static_cast<double>(p) * 0x1p32),
            static_cast<std::uint32_t>(mix(seed)), 1 / (1 - p)};
  }
  FOVEA_LANES bool dropped(std::size_t i) const {
    return mix32(static_cast<std::uint32_t>(i) ^ key) < threshold;
  }
};

/// What ops::adam does to one weight.
struct AdamStep {
  AdamOptions options;
  float rate1, rate2;  // correct the moments for having begun at zero

  static AdamStep of(const AdamOptions& options, std::size_t step) {
    const auto rate = [step](float beta) {
      return static_cast<float>(1 / (1 - std::pow(static_cast<double>(beta), step)));
    };
    return {options, rate(options.beta1), rate(options.beta2)};
  }
  FOVEA_LANES void move(float gradient, float& weight, float& first, float& second) const {
    first = options.beta1 * first + (1 - options.beta1) * gradient;
    second = options.beta2 * second + (1 - options.beta2) * gradient * gradient;
    const float moved = first * rate1 / (sqrtf(second * rate2) + options.epsilon);
    weight -= options.learning_rate * (moved + options.weight_decay * weight);
  }
};

// Sums over rows: kRowLanes rows at a time side by side, a chunk of kChunkRows rows by one group,
// chunks added up afterwards, oldest first.
inline constexpr std::size_t kRowLanes = 8;
inline constexpr std::size_t kChunkRows = 64;

struct RowRange {
  std::size_t begin, end;
};
FOVEA_LANES inline RowRange chunk_rows(std::size_t chunk, std::size_t rows) {
  const std::size_t begin = chunk * kChunkRows;
  return {begin, begin + kChunkRows < rows ? begin + kChunkRows : rows};
}
/// Sum of value(row) over the lane's rows of a range.
template <typename Value>
FOVEA_LANES float row_lane_sum(RowRange range, std::size_t lane, const Value& value) {
  float sum = 0;
  for (std::size_t r = range.begin + lane; r < range.end; r += kRowLanes) sum += value(r);
  return sum;
}
/// One column of a segment's rows of add_segments, without the scale, by one of kRowLanes lanes.
FOVEA_LANES inline float segment_lane_sum(const Segments& segments, std::size_t segment,
                                          std::size_t width, std::size_t column,
                                          const float* factors, const float* from,
                                          std::size_t lane) {
  float sum = 0;
  for (std::size_t i = segments.starts[segment] + lane; i < segments.starts[segment + 1];
       i += kRowLanes) {
    const std::size_t t = segments.order[i];
    const float value = from[t * width + column];
    sum += factors == nullptr ? value : factors[t] * value;
  }
  return sum;
}

/// A row-major product as a library that knows columns only computes it: the transposed result,
/// from the transposed factors in the other order: B is the first.
struct ColumnMajor {
  bool first_transposed, second_transposed;
  std::size_t m, n, k;
  std::size_t first_ld, second_ld;
};
constexpr ColumnMajor column_major(Transpose a_transposed, Transpose b_transposed, std::size_t m,
                                   std::size_t n, std::size_t k, std::size_t lda, std::size_t ldb) {
  return {b_transposed == Transpose::kYes, a_transposed == Transpose::kYes, n, m, k, ldb, lda};
}

/// bfloat16 rows begin at multiples of 16 bytes.
constexpr std::size_t packed_ld(std::size_t columns) { return groups(columns, 8) * 8; }

}  // namespace fovea::ranking::ops::lanes
