// Every op of ops.h computes on a GPU what it computes on the CPU, at odd shapes, and the same bits
// each time.
#include <algorithm>
#include <numeric>

#include "on_device.h"
#include "ranking/index_lists.h"
#include "ranking/ops_bodies.h"
#include "ranking/ops_plain.h"
#include "sanitized.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

constexpr std::size_t kManyTokens = unless_sanitized<std::size_t>(2000, 700);

class OpsCuda : public OnDevice {
 protected:
  static constexpr std::size_t kTokens[] = {0, 1, 511, 512, kManyTokens};
  static constexpr std::size_t kWidths[] = {32, 33, 64, 128, 384};

  // Calls test(tokens, width) at each of the shapes.
  template <typename Test>
  void at_shapes(const Test& test) {
    for (const std::size_t tokens : kTokens) {
      for (const std::size_t width : kWidths) {
        SCOPED_TRACE("T " + std::to_string(tokens) + ", D " + std::to_string(width));
        test(tokens, width);
      }
    }
  }
};

// Indices of a list on either side.
struct BothLists {
  template <typename Add>
  BothLists(const Context& cpu, const Context& gpu, const Add& add) {
    for (const auto& [lists, context] : {std::pair{&host, &cpu}, std::pair{&device, &gpu}}) {
      add(*lists);
      lists->place(*context);
    }
  }
  const IndexLists& at(const Context& context) const {
    return context.device == nullptr ? host : device;
  }
  IndexLists host, device;
};

TEST_F(OpsCuda, GemmAgreesInEveryOrientation) {
  const std::size_t sizes[][3] = {{1, 1, 1},       {3, 5, 7},     {511, 33, 64},
                                  {64, 2000, 128}, {2000, 64, 1}, {7, 9, 2000},
                                  {4, 6, 0},       {0, 3, 2},     {512, 384, 96}};
  for (const auto& [m, n, k] : sizes) {
    for (const bool a_flip : {false, true}) {
      for (const bool b_flip : {false, true}) {
        for (const float beta : {0.0F, 0.5F}) {
          const std::size_t lda = (a_flip ? m : k) + 3;
          const std::size_t ldb = (b_flip ? k : n) + 1;
          const std::size_t ldc = n + 2;
          const auto a_values = draw((a_flip ? k : m) * lda);
          const auto b_values = draw((b_flip ? n : k) * ldb);
          const Both<float> a(gpu(), a_values);
          const Both<float> b(gpu(), b_values);
          const auto before = beta == 0 ? poisoned<float>(m * ldc) : draw(m * ldc);
          auto expected = before;
          ops::gemm(cpu_, Transpose{a_flip}, Transpose{b_flip}, m, n, k, 1.5F, a_values.data(), lda,
                    b_values.data(), ldb, beta, expected.data(), ldc);
          // Each cell's error is bounded by the sum of its terms' sizes.
          const auto size_of = [](std::vector<float> values) {
            for (float& x : values) x = std::abs(x);
            return values;
          };
          auto sizes_of = size_of(before);
          ops::plain::gemm(cpu_, Transpose{a_flip}, Transpose{b_flip}, m, n, k, 1.5F,
                           size_of(a_values).data(), lda, size_of(b_values).data(), ldb, beta,
                           sizes_of.data(), ldc);
          for (const auto& [products, epsilon] :
               {std::pair{Products::kFloat32, 2e-5}, std::pair{Products::kBfloat16, 0.008}}) {
            std::vector<float> actual[2];
            for (auto& result : actual) {
              Array<float> c(gpu(), std::span<const float>(before));
              ops::gemm(gpu(products), Transpose{a_flip}, Transpose{b_flip}, m, n, k, 1.5F,
                        a.at(gpu()), lda, b.at(gpu()), ldb, beta, c.data(), ldc);
              result = c.read();
            }
            EXPECT_EQ(actual[0], actual[1]) << "two runs differ";
            for (std::size_t i = 0; i < before.size(); ++i) {
              if (i % ldc >= n) {
                ASSERT_EQ(actual[0][i], before[i]) << "beside the matrix, at " << i;
              } else {
                ASSERT_NEAR(actual[0][i], expected[i], epsilon * sizes_of[i] + 1e-6) << "at " << i;
              }
            }
          }
        }
      }
    }
  }
}

TEST_F(OpsCuda, LayerNormAgrees) {
  at_shapes([&](std::size_t t, std::size_t d) {
    const Both<float> x(gpu(), draw(t * d, 3));
    const Both<float> gain(gpu(), draw(d));
    const Both<float> bias(gpu(), draw(d));
    const Both<float> dy(gpu(), draw(t * d));
    expect_agreement<float>(
        cpu_, gpu(), {poisoned<float>(t * d), poisoned<float>(t), poisoned<float>(t)}, 2e-5,
        [&](const Context& c, const std::vector<float*>& out) {
          ops::layer_norm(c, t, d, 1e-5F, x.at(c), gain.at(c), bias.at(c), out[0], out[1], out[2]);
        });
    std::vector<float> mean_values(t), rstd_values(t), unused(t * d);
    ops::layer_norm(cpu_, t, d, 1e-5F, x.at(cpu_), gain.at(cpu_), bias.at(cpu_), unused.data(),
                    mean_values.data(), rstd_values.data());
    const Both<float> mean(gpu(), mean_values);
    const Both<float> rstd(gpu(), rstd_values);
    expect_agreement<float>(cpu_, gpu(), {draw(t * d), draw(d), draw(d)}, 1e-3,
                            [&](const Context& c, const std::vector<float*>& out) {
                              ops::layer_norm_backward(c, t, d, x.at(c), gain.at(c), mean.at(c),
                                                       rstd.at(c), dy.at(c), out[0], out[1],
                                                       out[2]);
                            });
  });
}

TEST_F(OpsCuda, AttentionAndItsBiasAgree) {
  struct Shape {
    std::size_t tokens, longest, heads, width;
  };
  for (const auto& [tokens, longest, heads, width] :
       {Shape{0, 1, 2, 32}, Shape{1, 1, 1, 32}, Shape{511, 50, 2, 64}, Shape{512, 1, 4, 64},
        Shape{kManyTokens, 511, 3, 96}, Shape{kManyTokens, 512, 2, 128}, Shape{600, 512, 1, 384}}) {
    SCOPED_TRACE("T " + std::to_string(tokens) + ", L " + std::to_string(longest) + ", D " +
                 std::to_string(width));
    IndexLists::SequenceLists list{};
    const auto offsets = draw_offsets(tokens, longest);
    const BothLists lists(cpu_, gpu(), [&](IndexLists& to) { list = to.add_sequences(offsets); });
    const std::size_t pairs = heads * list.pairs;
    const Both<float> qkv(gpu(), draw(tokens * 3 * width));
    const Both<float> bias(gpu(), draw(pairs));
    const Both<float> dout(gpu(), draw(tokens * width));
    std::vector<float> cells(pairs), unused(tokens * width);
    ops::causal_attention(cpu_, lists.host.at(list), heads, width, qkv.at(cpu_), bias.at(cpu_),
                          unused.data(), cells.data(), 0);
    const Both<float> probabilities(gpu(), cells);
    expect_agreement<float>(cpu_, gpu(), {poisoned<float>(tokens * width)}, 5e-5,
                            [&](const Context& c, const std::vector<float*>& out) {
                              ops::attention(c, lists.at(c).at(list), heads, width, qkv.at(c),
                                             out[0]);
                            });
    for (const bool biased : {false, true}) {
      expect_agreement<float>(
          cpu_, gpu(), {poisoned<float>(tokens * width), poisoned<float>(pairs)}, 5e-5,
          [&](const Context& c, const std::vector<float*>& out) {
            ops::causal_attention(c, lists.at(c).at(list), heads, width, qkv.at(c),
                                  biased ? bias.at(c) : nullptr, out[0], out[1], 0);
          });
      expect_agreement<float>(
          cpu_, gpu(), {poisoned<float>(tokens * 3 * width), poisoned<float>(pairs)}, 2e-4,
          [&](const Context& c, const std::vector<float*>& out) {
            ops::causal_attention_backward(c, lists.at(c).at(list), heads, width, qkv.at(c),
                                           probabilities.at(c), dout.at(c), out[0],
                                           biased ? out[1] : nullptr);
          });
    }

    const std::size_t gaps = 40;
    std::vector<std::int64_t> time_values(tokens);
    for (auto& time : time_values) {
      time = static_cast<std::int64_t>(random_.next() >> (24 + random_.below(40)));
    }
    const Both<std::int64_t> times(gpu(), time_values);
    expect_agreement<std::uint8_t>(cpu_, gpu(), {poisoned<std::uint8_t>(list.pairs)}, 0,
                                   [&](const Context& c, const std::vector<std::uint8_t*>& out) {
                                     ops::pair_gaps(c, lists.at(c).at(list), times.at(c), out[0]);
                                   });
    std::vector<std::uint8_t> bucket_values(list.pairs);
    ops::pair_gaps(cpu_, lists.host.at(list), times.at(cpu_), bucket_values.data());
    const Both<std::uint8_t> buckets(gpu(), bucket_values);
    const Both<float> age_bias(gpu(), draw(heads * longest));
    const Both<float> gap_bias(gpu(), draw(heads * gaps));
    auto positive = draw(pairs);  // half a million terms: without cancelling, the error is small
    for (float& x : positive) x = std::abs(x);
    const Both<float> dbias(gpu(), positive);
    expect_agreement<float>(cpu_, gpu(), {poisoned<float>(pairs)}, 1e-6,
                            [&](const Context& c, const std::vector<float*>& out) {
                              ops::relative_bias(c, lists.at(c).at(list), heads, longest,
                                                 age_bias.at(c), gaps, gap_bias.at(c),
                                                 buckets.at(c), out[0]);
                            });
    expect_agreement<float>(cpu_, gpu(), {draw(heads * longest), draw(heads * gaps)}, 5e-3,
                            [&](const Context& c, const std::vector<float*>& out) {
                              ops::relative_bias_backward(c, lists.at(c).at(list), heads, longest,
                                                          out[0], gaps, out[1], buckets.at(c),
                                                          dbias.at(c));
                            });
  }
}

TEST_F(OpsCuda, CrossEntropyAgreesAlsoOnExtremeLogits) {
  for (const std::size_t rows : kTokens) {
    for (const std::size_t classes : {1, 33, 511, 2001}) {
      for (const float deviation : {1.0F, 40.0F}) {
        const Both<std::uint32_t> targets(gpu(), draw_rows(rows, classes));
        const auto logits = draw(rows * classes, deviation);
        expect_agreement<float>(cpu_, gpu(), {logits}, 2e-5,
                                [&](const Context& c, const std::vector<float*>& out) {
                                  Array<double> loss(c, 1);
                                  ops::softmax_cross_entropy(c, rows, classes, out[0],
                                                             targets.at(c), 0.5F, loss.data());
                                });
        Array<double> on_gpu(gpu(), std::vector<double>{5});  // is added to
        Array<float> gpu_logits(gpu(), std::span<const float>(logits));
        ops::softmax_cross_entropy(gpu(), rows, classes, gpu_logits.data(), targets.at(gpu()), 0.5F,
                                   on_gpu.data());
        double loss = 5;
        auto cpu_logits = logits;
        ops::softmax_cross_entropy(cpu_, rows, classes, cpu_logits.data(), targets.at(cpu_), 0.5F,
                                   &loss);
        EXPECT_NEAR(on_gpu.read()[0], loss, 1e-5 * loss);
      }
    }
  }
}

TEST_F(OpsCuda, SampledLogitsAgree) {
  for (const std::size_t drawn_count : {1, 255, 512}) {
    at_shapes([&](std::size_t rows, std::size_t width) {
      const Both<float> states(gpu(), draw(rows * width));
      const Both<float> vectors(gpu(), draw(100 * width));
      const Both<std::uint32_t> targets(gpu(), draw_rows(rows, 100));
      const Both<std::uint32_t> drawn(gpu(), draw_rows(drawn_count, 100));
      expect_agreement<float>(cpu_, gpu(), {draw(rows * (1 + drawn_count))}, 1e-4,
                              [&](const Context& c, const std::vector<float*>& out) {
                                ops::sampled_logits(c, rows, drawn_count, width, states.at(c),
                                                    vectors.at(c), targets.at(c), drawn.at(c), 2.5F,
                                                    out[0]);
                              });
    });
  }
}

TEST_F(OpsCuda, SingleValuesAgree) {
  at_shapes([&](std::size_t t, std::size_t d) {
    const std::size_t n = t * d;
    const Both<float> a(gpu(), draw(n));
    const Both<float> b(gpu(), draw(n));
    const Both<float> bias(gpu(), draw(d));
    const auto agree = [&](const Outputs<float>& before, double tolerance, const auto& run) {
      expect_agreement<float>(cpu_, gpu(), before, tolerance, run);
    };
    using Out = std::vector<float*>;
    agree({draw(n)}, 1e-6,
          [&](const Context& c, const Out& out) { ops::bias_relu(c, t, d, bias.at(c), out[0]); });
    agree({draw(n, 4)}, 2e-6,
          [&](const Context& c, const Out& out) { ops::bias_gelu(c, t, d, bias.at(c), out[0]); });
    agree({draw(n)}, 0,
          [&](const Context& c, const Out& out) { ops::relu_backward(c, n, a.at(c), out[0]); });
    agree({draw(n, 10), poisoned<float>(n)}, 1e-5, [&](const Context& c, const Out& out) {
      ops::gated_residual(c, n, a.at(c), b.at(c), out[0], out[1]);
    });
    agree({poisoned<float>(n), poisoned<float>(n)}, 1e-5, [&](const Context& c, const Out& out) {
      ops::gated_residual_backward(c, n, a.at(c), b.at(c), a.at(c), out[0], out[1]);
    });
    agree({poisoned<float>(n)}, 0,
          [&](const Context& c, const Out& out) { ops::add(c, n, a.at(c), b.at(c), out[0]); });
    agree({draw(n)}, 0,
          [&](const Context& c, const Out& out) { ops::add_bias(c, t, d, bias.at(c), out[0]); });
    agree({draw(d)}, 1e-3, [&](const Context& c, const Out& out) {
      ops::add_bias_backward(c, t, d, a.at(c), out[0]);
    });
    agree({draw(n)}, 1e-6, [&](const Context& c, const Out& out) {
      ops::dropout(c, n, 0.3F, 42, out[0]);
      ops::dropout(c, n, 0, 43, out[0]);
    });
    auto exponents = draw(n, 30);
    for (float& x : exponents) x = std::min(x, 88.0F);
    agree({exponents}, 1e-5,
          [&](const Context& c, const Out& out) { ops::exponential(c, n, out[0]); });
    std::vector<float> second(n);
    for (float& x : second) x = static_cast<float>(random_.uniform());
    agree({draw(n), draw(n), second}, 1e-5, [&](const Context& c, const Out& out) {
      ops::adam(c, n, {.weight_decay = 0.01F}, 3, a.at(c), out[0], out[1], out[2]);
    });
  });
}

TEST_F(OpsCuda, RowsAgree) {
  at_shapes([&](std::size_t t, std::size_t d) {
    const std::size_t table = 37;
    const auto row_values = draw_rows(t, table);
    auto shuffled_values = std::vector<std::uint32_t>(t);
    std::iota(shuffled_values.begin(), shuffled_values.end(), 0U);
    for (std::size_t i = t; i > 1; --i) {
      std::swap(shuffled_values[i - 1], shuffled_values[random_.below(i)]);
    }
    auto factor_values = draw(2 * t);
    if (t > 0) factor_values[0] = 0;
    const Both<std::uint32_t> rows(gpu(), row_values);
    const Both<std::uint32_t> others(gpu(), draw_rows(t, table));
    const Both<std::uint32_t> shuffled(gpu(), shuffled_values);
    const Both<float> factors(gpu(), factor_values);
    const Both<float> from(gpu(), draw((t + table + 2) * d));
    IndexLists::SegmentLists list{};
    const BothLists lists(cpu_, gpu(), [&](IndexLists& to) { list = to.add_segments(row_values); });
    const auto agree = [&](const Outputs<float>& before, double tolerance, const auto& run) {
      expect_agreement<float>(cpu_, gpu(), before, tolerance, run);
    };
    using Out = std::vector<float*>;
    agree({poisoned<float>(t * d)}, 1e-5, [&](const Context& c, const Out& out) {
      ops::embed(c, t, d, 8,
                 {from.at(c), from.at(c) + d, from.at(c), from.at(c) + 2 * d, rows.at(c),
                  others.at(c), others.at(c), rows.at(c)},
                 out[0]);
    });
    for (const bool with : {false, true}) {
      agree({draw(table * d)}, 2e-4, [&](const Context& c, const Out& out) {
        ops::add_segments(c, lists.at(c).at(list), d, 1.5F, with ? factors.at(c) : nullptr,
                          from.at(c), out[0]);
      });
      agree({poisoned<float>(t * d)}, 0, [&](const Context& c, const Out& out) {
        ops::copy_rows(c, t, d, with ? rows.at(c) : nullptr, from.at(c),
                       with ? shuffled.at(c) : nullptr, out[0]);
      });
      agree({draw(t * d)}, 1e-6, [&](const Context& c, const Out& out) {
        ops::add_rows(c, t, d, factors.at(c), 2, with ? rows.at(c) : nullptr, from.at(c), out[0]);
      });
      agree({draw(t * d)}, 1e-6, [&](const Context& c, const Out& out) {
        ops::add_to_rows(c, t, d, factors.at(c), with ? shuffled.at(c) : nullptr, from.at(c),
                         out[0]);
      });
    }
    agree({draw(t * d)}, 0, [&](const Context& c, const Out& out) {
      ops::zero_rows(c, t / 2, d, shuffled.at(c), out[0]);
    });
    std::vector<float> second(t * d);
    for (float& x : second) x = static_cast<float>(random_.uniform());
    agree({draw(t * d), draw(t * d), second}, 1e-5, [&](const Context& c, const Out& out) {
      ops::adam_rows(c, t / 2, shuffled.at(c), d, {}, 3, from.at(c), out[0], out[1], out[2]);
    });
  });
}

TEST_F(OpsCuda, CountingTheBetterAgrees) {
  for (const std::size_t n : kTokens) {
    const std::size_t items = 2001;
    const Both<float> scores(gpu(), draw(n * items));
    const Both<std::uint32_t> targets(gpu(), draw_rows(n, items));
    std::vector<std::uint32_t> offset_values = {0};
    std::vector<std::uint32_t> excluded_values;
    for (std::size_t i = 0; i < n; ++i) {
      std::uint32_t row = 0;
      for (std::size_t e = random_.below(50); e > 0; --e) {
        excluded_values.push_back(row += 1 + static_cast<std::uint32_t>(random_.below(20)));
      }
      offset_values.push_back(static_cast<std::uint32_t>(excluded_values.size()));
    }
    const Both<std::uint32_t> offsets(gpu(), offset_values);
    const Both<std::uint32_t> excluded(gpu(), excluded_values);
    expect_agreement<std::uint32_t>(cpu_, gpu(), {poisoned<std::uint32_t>(n)}, 0,
                                    [&](const Context& c, const std::vector<std::uint32_t*>& out) {
                                      ops::count_better(c, n, items, scores.at(c), targets.at(c),
                                                        offsets.at(c), excluded.at(c), out[0]);
                                    });
  }
}

TEST_F(OpsCuda, ArraysGoUpAndDownAndKeepTheirBits) {
  const auto values = draw(10'001);
  const Array<float> array(gpu(), std::span<const float>(values));
  EXPECT_EQ(array.read(), values);
  Array<float> copy = array;
  EXPECT_EQ(copy.read(), values);
  copy.zero();
  EXPECT_EQ(copy.read(), std::vector<float>(values.size()));
  copy = array;
  EXPECT_EQ(copy.read(), values);
  EXPECT_EQ(Array<float>(gpu(), 5).read(), std::vector<float>(5));
  EXPECT_EQ(Array<float>(gpu(), 0).read(), std::vector<float>());
}

TEST_F(OpsCuda, MemoryThatIsNotThereIsAnErrorThatCanBeGoneOnFrom) {
  try {
    device_->allocate(std::size_t{1} << 50);
    ADD_FAILURE() << "a petabyte was there";
  } catch (const DeviceError& error) {
    EXPECT_TRUE(error.out_of_memory()) << error.what();
  }
  EXPECT_LE(device_->memory().free, device_->memory().all);
  EXPECT_EQ(Array<float>(gpu(), 5).read(), std::vector<float>(5));
}

}  // namespace
}  // namespace fovea::ranking
