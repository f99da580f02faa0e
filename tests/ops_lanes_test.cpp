// What the kernels' lanes do, walked on the host in the kernels' order, agrees with the plain
// bodies: the index arithmetic, work lists and sums of the bodies for a device are checked where
// none is.
#include "ranking/ops_lanes.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "ranking/index_lists.h"
#include "ranking/ops_plain.h"
#include "ranking/random.h"
#include "tests/ops_arrays.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;
namespace lanes = ops::lanes;

constexpr Context kContext{1};

// part(lane) of every lane, added up as reduce_cuda.cuh does: by halves within a warp, warps in
// order.
template <typename Part>
float sum_over(std::size_t group, const Part& part) {
  float sum = 0;
  for (std::size_t warp = 0; warp < group; warp += lanes::kWarp) {
    std::array<float, lanes::kWarp> x{};
    for (std::size_t lane = 0; lane < x.size(); ++lane) x[lane] = part(warp + lane);
    for (std::size_t distance = lanes::kWarp / 2; distance > 0; distance /= 2) {
      const auto before = x;
      for (std::size_t lane = 0; lane < x.size(); ++lane) x[lane] += before[lane ^ distance];
    }
    sum += x[0];
  }
  return sum;
}
template <typename Part>
float highest_over(std::size_t group, const Part& part) {
  float highest = -INFINITY;
  for (std::size_t lane = 0; lane < group; ++lane) highest = std::max(highest, part(lane));
  return highest;
}
template <typename Work>
void for_lanes(std::size_t group, const Work& work) {
  for (std::size_t lane = 0; lane < group; ++lane) work(lane);
}

// Empty sequences, single behaviours, a warp's width and its neighbours, the longest there are.
struct Ragged {
  explicit Ragged(const std::vector<std::size_t>& lengths) {
    std::vector<std::uint32_t> offsets = {0};
    for (const std::size_t length : lengths) {
      offsets.push_back(offsets.back() + static_cast<std::uint32_t>(length));
    }
    const auto list = lists.add_sequences(offsets);
    lists.place(kContext);
    sequences = lists.at(list);
  }
  Ragged(const Ragged&) = delete;
  IndexLists lists;
  ops::Sequences sequences;
};

struct AttentionShape {
  std::vector<std::size_t> lengths;
  std::size_t heads, width;
};
const std::vector<AttentionShape> kAttentionShapes = {
    {{}, 2, 32},      {{0, 0}, 2, 32},        {{1}, 1, 32}, {{0, 3, 1, 0, 31, 32, 33, 0}, 2, 24},
    {{65, 2}, 3, 96}, {{511, 512, 1}, 1, 64},
};

// What a warp does with a row of attention.
void attend(const lanes::AttentionRow& row, std::size_t heads, std::size_t width, const float* qkv,
            const float* bias, float* probabilities, float* out) {
  constexpr std::size_t kLanes = lanes::kWarp;
  const std::size_t head_width = width / heads;
  const float scale = 1 / std::sqrt(static_cast<float>(head_width));
  float* cells = probabilities + row.cells;
  const float highest = highest_over(kLanes, [&](std::size_t lane) {
    return lanes::attention_logits(row, head_width, width, qkv, bias, scale, cells, lane, kLanes);
  });
  const float sum = sum_over(kLanes, [&](std::size_t lane) {
    return lanes::exponentials(row.seen, highest, cells, lane, kLanes);
  });
  for_lanes(kLanes,
            [&](std::size_t lane) { lanes::attention_normalise(row, sum, cells, lane, kLanes); });
  for_lanes(kLanes, [&](std::size_t lane) {
    lanes::attention_output(row, head_width, width, qkv, cells, out, lane, kLanes);
  });
}

TEST(OpsLanes, AttentionAgrees) {
  for (const auto& [lengths, heads, width] : kAttentionShapes) {
    const Ragged ragged(lengths);
    const ops::Sequences& sequences = ragged.sequences;
    const auto qkv = draw(sequences.tokens * 3 * width, 1);
    auto out = poisoned(sequences.tokens * width);
    auto plain_out = out;
    ops::plain::attention(kContext, sequences, heads, width, qkv.data(), plain_out.data());
    auto probabilities = poisoned(heads * sequences.pairs);
    for (std::size_t w = 0; w < sequences.tokens * heads; ++w) {
      attend(lanes::whole_attention_row(sequences, heads, w), heads, width, qkv.data(), nullptr,
             probabilities.data(), out.data());
    }
    expect_close(out, plain_out, 2e-5F);
  }
}

TEST(OpsLanes, CausalAttentionAgreesForwardAndBackward) {
  for (const auto& [lengths, heads, width] : kAttentionShapes) {
    const Ragged ragged(lengths);
    const ops::Sequences& sequences = ragged.sequences;
    const std::size_t head_width = width / heads;
    const float scale = 1 / std::sqrt(static_cast<float>(head_width));
    const std::size_t work = sequences.tokens * heads;
    const auto qkv = draw(sequences.tokens * 3 * width, 1);
    const auto bias = draw(heads * sequences.pairs, 2);
    const auto dout = draw(sequences.tokens * width, 3);
    auto out = poisoned(sequences.tokens * width);
    auto probabilities = poisoned(heads * sequences.pairs);
    auto dqkv = poisoned(sequences.tokens * 3 * width);
    auto dlogits = poisoned(heads * sequences.pairs);
    auto plain_out = out;
    auto plain_probabilities = probabilities;
    auto plain_dqkv = dqkv;
    auto plain_dlogits = dlogits;
    ops::plain::causal_attention(kContext, sequences, heads, width, qkv.data(), bias.data(),
                                 plain_out.data(), plain_probabilities.data(), 0);
    ops::plain::causal_attention_backward(kContext, sequences, heads, width, qkv.data(),
                                          plain_probabilities.data(), dout.data(),
                                          plain_dqkv.data(), plain_dlogits.data());

    constexpr std::size_t kLanes = lanes::kWarp;
    for (std::size_t w = 0; w < work; ++w) {
      attend(lanes::attention_row(sequences, heads, w), heads, width, qkv.data(), bias.data(),
             probabilities.data(), out.data());
    }
    expect_close(out, plain_out, 2e-5F);
    expect_close(probabilities, plain_probabilities, 2e-5F);

    for (std::size_t w = 0; w < work; ++w) {
      const lanes::AttentionRow row = lanes::attention_row(sequences, heads, w);
      const float* cells = probabilities.data() + row.cells;
      float* dcells = dlogits.data() + row.cells;
      const float mean = sum_over(kLanes, [&](std::size_t lane) {
        return lanes::attention_dprobabilities(row, head_width, width, qkv.data(), cells,
                                               dout.data(), dcells, lane, kLanes);
      });
      for_lanes(kLanes, [&](std::size_t lane) {
        lanes::attention_dlogits(row, mean, cells, dcells, lane, kLanes);
      });
      for_lanes(kLanes, [&](std::size_t lane) {
        lanes::attention_dquery(row, head_width, width, qkv.data(), dcells, scale, dqkv.data(),
                                lane, kLanes);
      });
    }
    for (std::size_t w = 0; w < work; ++w) {
      for_lanes(kLanes, [&](std::size_t lane) {
        lanes::attention_dkey_dvalue(lanes::attention_row(sequences, heads, w), head_width, width,
                                     qkv.data(), probabilities.data(), dlogits.data(), dout.data(),
                                     scale, dqkv.data(), lane, kLanes);
      });
    }
    expect_close(dqkv, plain_dqkv, 1e-4F);
    expect_close(dlogits, plain_dlogits, 2e-5F);  // also what lies above the diagonals: untouched
  }
}

TEST(OpsLanes, RelativeBiasSumsAgree) {
  const Ragged ragged({0, 3, 1, 33, 50, 2});
  const ops::Sequences& sequences = ragged.sequences;
  const std::size_t heads = 3;
  const std::size_t ages = 50;
  const std::size_t gaps = 40;
  std::vector<std::int64_t> times(sequences.tokens);
  for (std::size_t t = 0; t < times.size(); ++t) {
    times[t] = static_cast<std::int64_t>(t * t * t * 1000);
  }
  std::vector<std::uint8_t> buckets(sequences.pairs);
  ops::plain::pair_gaps(kContext, sequences, times.data(), buckets.data());
  const auto dout = draw(heads * sequences.pairs, 1);
  auto plain = draw(heads * (ages + gaps), 2);
  auto ours = plain;
  ops::plain::relative_bias_backward(kContext, sequences, heads, ages, plain.data(), gaps,
                                     plain.data() + heads * ages, buckets.data(), dout.data());
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t age = 0; age < ages; ++age) {
      ours[h * ages + age] += sum_over(256, [&](std::size_t lane) {
        return lanes::age_sum(sequences, heads, h, age, dout.data(), lane, 256);
      });
    }
    for (std::size_t gap = 0; gap < gaps; ++gap) {
      ours[heads * ages + h * gaps + gap] += sum_over(256, [&](std::size_t lane) {
        return lanes::gap_sum(sequences, heads, h, gap, buckets.data(), dout.data(), lane, 256);
      });
    }
  }
  expect_close(ours, plain, 1e-5F);
}

TEST(OpsLanes, LayerNormAgreesForwardAndBackward) {
  for (const std::size_t width : {1, 31, 32, 33, 384}) {
    const std::size_t rows = 7;
    const auto x = draw(rows * width, 1, 3);
    const auto gain = draw(width, 2);
    const auto bias = draw(width, 3);
    const auto dy = draw(rows * width, 4);
    auto y = poisoned(rows * width);
    auto plain_y = y;
    std::vector<float> mean(rows), rstd(rows);
    auto dx = draw(rows * width, 5);
    auto plain_dx = dx;
    std::vector<float> unused(2 * width);
    ops::plain::layer_norm(kContext, rows, width, 1e-5F, x.data(), gain.data(), bias.data(),
                           plain_y.data(), mean.data(), rstd.data());
    ops::plain::layer_norm_backward(kContext, rows, width, x.data(), gain.data(), mean.data(),
                                    rstd.data(), dy.data(), plain_dx.data(), unused.data(),
                                    unused.data() + width);
    constexpr std::size_t kLanes = lanes::kWarp;
    const auto n = static_cast<float>(width);
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = x.data() + r * width;
      const float average =
          sum_over(kLanes, [&](std::size_t l) { return lanes::lane_sum(width, row, l, kLanes); }) /
          n;
      const float variance = sum_over(kLanes,
                                      [&](std::size_t l) {
                                        return lanes::lane_squares(width, row, average, l, kLanes);
                                      }) /
                             n;
      const float inverse = 1 / std::sqrt(variance + 1e-5F);
      EXPECT_NEAR(inverse, rstd[r], 1e-3F * rstd[r]);
      lanes::NormSums sums{};
      sums.dn = sum_over(kLanes, [&](std::size_t l) {
        return lanes::norm_sums(width, row, gain.data(), mean[r], rstd[r], dy.data() + r * width, l,
                                kLanes)
            .dn;
      });
      sums.dnn = sum_over(kLanes, [&](std::size_t l) {
        return lanes::norm_sums(width, row, gain.data(), mean[r], rstd[r], dy.data() + r * width, l,
                                kLanes)
            .dnn;
      });
      for_lanes(kLanes, [&](std::size_t l) {
        lanes::normalise(width, row, average, inverse, gain.data(), bias.data(),
                         y.data() + r * width, l, kLanes);
        lanes::normalise_backward(width, row, gain.data(), mean[r], rstd[r], sums,
                                  dy.data() + r * width, dx.data() + r * width, l, kLanes);
      });
    }
    expect_close(y, plain_y, 1e-4F);
    expect_close(dx, plain_dx, 1e-4F);
  }
}

TEST(OpsLanes, CrossEntropyAndSampledLogitsAgree) {
  const std::size_t block = 256;
  for (const std::size_t classes : {1, 255, 256, 257, 2000}) {
    const std::uint32_t target = static_cast<std::uint32_t>(classes / 2);
    auto ours = draw(classes, 1, 10);
    auto plain = ours;
    double loss = 0;
    ops::plain::softmax_cross_entropy(kContext, 1, classes, plain.data(), &target, 0.5F, &loss);
    const float at_target = ours[target];
    const float highest = highest_over(block, [&](std::size_t lane) {
      return lanes::lane_highest(classes, ours.data(), lane, block);
    });
    const float sum = sum_over(block, [&](std::size_t lane) {
      return lanes::exponentials(classes, highest, ours.data(), lane, block);
    });
    for_lanes(block, [&](std::size_t lane) {
      lanes::cross_entropy_gradient(classes, target, 0.5F, sum, ours.data(), lane, block);
    });
    EXPECT_NEAR(std::log(static_cast<double>(sum)) - (at_target - highest), loss, 1e-4);
    expect_close(ours, plain, 1e-5F);
  }
  const std::vector<std::uint32_t> drawn = {4, 2, 4, 1};
  std::vector<float> row = {9, 1, 2, 3, 4};
  for_lanes(block, [&](std::size_t lane) {
    lanes::correct_drawn(drawn.size(), drawn.data(), 4, 0.5F, row.data(), lane, block);
  });
  EXPECT_EQ(row, (std::vector<float>{9, -INFINITY, 2.5F, -INFINITY, 4.5F}));
}

TEST(OpsLanes, CountingTheBetterAgrees) {
  const auto scores = draw(1000, 1);
  const std::uint32_t target = 17;
  const std::vector<std::uint32_t> offsets = {0, 300};
  std::vector<std::uint32_t> excluded(300);
  std::iota(excluded.begin(), excluded.end(), 400U);
  std::uint32_t plain = 0;
  ops::plain::count_better(kContext, 1, scores.size(), scores.data(), &target, offsets.data(),
                           excluded.data(), &plain);
  std::uint32_t ours = 0;
  for_lanes(256, [&](std::size_t lane) {  // unsigned, as the kernel: a lane's part may wrap
    ours += lanes::better(scores.size(), scores.data(), scores[target], lane, 256) -
            lanes::better_excluded(excluded.size(), excluded.data(), scores.data(), scores[target],
                                   lane, 256);
  });
  EXPECT_EQ(ours, plain);
}

TEST(OpsLanes, SumsOverRowsTakeEveryRowOnce) {
  for (const std::size_t rows : {0, 1, 7, 8, 63, 64, 65, 511, 512, 2000}) {
    std::vector<int> taken(rows);
    for (std::size_t chunk = 0; chunk < lanes::groups(rows, lanes::kChunkRows); ++chunk) {
      for_lanes(lanes::kRowLanes, [&](std::size_t lane) {
        lanes::row_lane_sum(lanes::chunk_rows(chunk, rows), lane, [&](std::size_t row) {
          ++taken[row];
          return 0.0F;
        });
      });
    }
    EXPECT_EQ(taken, std::vector<int>(rows, 1));
  }
}

TEST(OpsLanes, SegmentSumsAgree) {
  const std::size_t width = 33;
  const std::size_t n = 500;
  Random random(1);
  std::vector<std::uint32_t> numbers(n);
  for (auto& number : numbers) number = static_cast<std::uint32_t>(random.below(20));
  IndexLists lists;
  const auto list = lists.add_segments(numbers);
  lists.place(kContext);
  const ops::Segments segments = lists.at(list);
  const auto from = draw(n * width, 2);
  const auto factors = draw(n, 3);
  auto plain = draw(20 * width, 4);
  auto ours = plain;
  ops::plain::add_segments(kContext, segments, width, 1.5F, factors.data(), from.data(),
                           plain.data());
  for (std::size_t k = 0; k < segments.count; ++k) {
    for (std::size_t c = 0; c < width; ++c) {
      float sum = 0;
      for_lanes(lanes::kRowLanes, [&](std::size_t lane) {
        sum += lanes::segment_lane_sum(segments, k, width, c, factors.data(), from.data(), lane);
      });
      ours[segments.ids[k] * width + c] += 1.5F * sum;
    }
  }
  expect_close(ours, plain, 1e-4F);
}

TEST(OpsLanes, DropoutDropsWhatTheCpuDrops) {
  for (const float p : {0.1F, 0.5F, 0.9F}) {
    std::vector<float> plain(5000, 2.0F);
    ops::plain::dropout(kContext, plain.size(), p, 42, plain.data());
    const auto mask = lanes::DropoutMask::of(p, 42);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      ASSERT_NEAR(mask.dropped(i) ? 0 : 2.0F * mask.scale, plain[i], 1e-5F) << i;
      ASSERT_EQ(mask.dropped(i), plain[i] == 0) << i;
    }
  }
}

TEST(OpsLanes, AdamAgrees) {
  const std::size_t n = 100;
  auto weight = draw(n, 1);
  auto plain_weight = weight;
  std::vector<float> first(n), second(n), plain_first(n), plain_second(n);
  for (std::size_t step = 1; step <= 5; ++step) {
    const auto gradient = draw(n, 10 + step);
    const ops::AdamOptions options{.weight_decay = 0.01F};
    const auto move = lanes::AdamStep::of(options, step);
    for (std::size_t i = 0; i < n; ++i) move.move(gradient[i], weight[i], first[i], second[i]);
    ops::plain::adam(kContext, n, options, step, gradient.data(), plain_weight.data(),
                     plain_first.data(), plain_second.data());
  }
  expect_close(weight, plain_weight, 1e-5F);
}

// A product as cuBLAS defines it: columns one after another.
void column_major_gemm(const lanes::ColumnMajor& p, float alpha, const float* first,
                       const float* second, float beta, float* c, std::size_t ldc) {
  for (std::size_t i = 0; i < p.m; ++i) {
    for (std::size_t j = 0; j < p.n; ++j) {
      double sum = 0;
      for (std::size_t l = 0; l < p.k; ++l) {
        const std::size_t a = p.first_transposed ? l + i * p.first_ld : i + l * p.first_ld;
        const std::size_t b = p.second_transposed ? j + l * p.second_ld : l + j * p.second_ld;
        sum += static_cast<double>(first[a]) * second[b];
      }
      float& cell = c[i + j * ldc];
      cell = alpha * static_cast<float>(sum) + (beta == 0 ? 0 : beta * cell);
    }
  }
}

TEST(OpsLanes, ProductsByColumnsAreThoseByRows) {
  const std::size_t m = 5;
  const std::size_t n = 7;
  const std::size_t k = 3;
  for (const bool a_flip : {false, true}) {
    for (const bool b_flip : {false, true}) {
      const std::size_t lda = (a_flip ? m : k) + 2;
      const std::size_t ldb = (b_flip ? k : n) + 1;
      const std::size_t ldc = n + 3;
      const auto a = draw((a_flip ? k : m) * lda, 1);
      const auto b = draw((b_flip ? n : k) * ldb, 2);
      auto plain = draw(m * ldc, 3);
      auto ours = plain;
      ops::plain::gemm(kContext, Transpose{a_flip}, Transpose{b_flip}, m, n, k, 1.5F, a.data(), lda,
                       b.data(), ldb, 0.5F, plain.data(), ldc);
      column_major_gemm(
          lanes::column_major(Transpose{a_flip}, Transpose{b_flip}, m, n, k, lda, ldb), 1.5F,
          b.data(), a.data(), 0.5F, ours.data(), ldc);
      expect_close(ours, plain, 1e-5F);
    }
  }
  EXPECT_EQ(lanes::packed_ld(1), 8);
  EXPECT_EQ(lanes::packed_ld(64), 64);
  EXPECT_EQ(lanes::packed_ld(65), 72);
}

}  // namespace
}  // namespace fovea::ranking
