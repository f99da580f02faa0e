// The fast body of every op agrees with the plain one, on odd shapes, with one thread and with two.
#include "ranking/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "ranking/index_lists.h"
#include "ranking/ops_plain.h"
#include "tests/ops_arrays.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

class Ops : public testing::TestWithParam<int> {
 protected:
  const Context context_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Threads, Ops, testing::Values(1, 2));

TEST_P(Ops, GemmAgreesInEveryOrientation) {
  const std::size_t sizes[][3] = {{1, 1, 1},    {3, 5, 7}, {64, 200, 33},
                                  {129, 65, 1}, {4, 6, 0}, {0, 3, 2}};
  for (const auto& [m, n, k] : sizes) {
    for (const bool a_flip : {false, true}) {
      for (const bool b_flip : {false, true}) {
        for (const float beta : {0.0F, 0.5F}) {
          const auto a = draw(m * k, 1);
          const auto b = draw(k * n, 2);
          auto fast = beta == 0 ? poisoned(m * n) : draw(m * n, 3);
          auto plain = fast;
          const auto run = [&](auto gemm, std::vector<float>& c) {
            gemm(context_, Transpose{a_flip}, Transpose{b_flip}, m, n, k, 1.5F, a.data(),
                 a_flip ? m : k, b.data(), b_flip ? k : n, beta, c.data(), n);
          };
          run(ops::gemm, fast);
          run(ops::plain::gemm, plain);
          expect_close(fast, plain, 1e-4F);
        }
      }
    }
  }
}

TEST_P(Ops, LayerNormAgreesForwardAndBackward) {
  struct Shape {
    std::size_t tokens, width;
    float epsilon;
  };
  for (const auto& [t, d, epsilon] :
       {Shape{1, 8, 1e-5F}, Shape{200, 64, 1e-12F}, Shape{67, 33, 0.5F}}) {
    const auto x = draw(t * d, 1, 3);
    const auto gain = draw(d, 2);
    const auto bias = draw(d, 3);
    const auto dy = draw(t * d, 4);
    std::vector<float> outputs[2], means[2], rstds[2], dx[2], dgain[2], dbias[2];
    for (const int i : {0, 1}) {
      outputs[i] = poisoned(t * d);
      means[i] = rstds[i] = poisoned(t);
      dx[i] = draw(t * d, 5);
      dgain[i] = dbias[i] = draw(d, 6);
      (i == 0 ? ops::layer_norm : ops::plain::layer_norm)(
          context_, t, d, epsilon, x.data(), gain.data(), bias.data(), outputs[i].data(),
          means[i].data(), rstds[i].data());
      (i == 0 ? ops::layer_norm_backward : ops::plain::layer_norm_backward)(
          context_, t, d, x.data(), gain.data(), means[i].data(), rstds[i].data(), dy.data(),
          dx[i].data(), dgain[i].data(), dbias[i].data());
    }
    expect_close(outputs[0], outputs[1], 1e-5F);
    expect_close(dx[0], dx[1], 1e-4F);
    expect_close(dgain[0], dgain[1], 1e-4F);
    expect_close(dbias[0], dbias[1], 1e-4F);
  }
}

TEST_P(Ops, CausalAttentionAgreesOnRaggedSequences) {
  const std::vector<std::uint32_t> offsets = {0, 1, 1, 8, 58, 60};  // one of them empty
  const std::size_t heads = 2;
  const std::size_t d = 24;
  const std::size_t t = offsets.back();
  IndexLists lists;
  const auto sequence_lists = lists.add_sequences(offsets);
  lists.place(context_);
  const ops::Sequences sequences = lists.at(sequence_lists);
  const std::size_t pairs = sequences.pairs;
  const auto qkv = draw(t * 3 * d, 1);
  const auto dout = draw(t * d, 2);
  const auto bias = draw(heads * pairs, 3);
  for (const bool biased : {false, true}) {
    std::vector<float> out[2], probabilities[2], dqkv[2], dbias[2];
    for (const int i : {0, 1}) {
      out[i] = poisoned(t * d);
      probabilities[i] = poisoned(heads * pairs);
      dqkv[i] = poisoned(t * 3 * d);
      dbias[i] = poisoned(heads * pairs);
      (i == 0 ? ops::causal_attention : ops::plain::causal_attention)(
          context_, sequences, heads, d, qkv.data(), biased ? bias.data() : nullptr, out[i].data(),
          probabilities[i].data(), 0);
      (i == 0 ? ops::causal_attention_backward : ops::plain::causal_attention_backward)(
          context_, sequences, heads, d, qkv.data(), probabilities[i].data(), dout.data(),
          dqkv[i].data(), biased ? dbias[i].data() : nullptr);
    }
    expect_close(out[0], out[1], 1e-5F);
    expect_close(probabilities[0], probabilities[1], 1e-5F);
    expect_close(dqkv[0], dqkv[1], 1e-4F);
    expect_close(dbias[0], dbias[1], 1e-5F);
  }
}

TEST_P(Ops, AttentionAgreesOnRaggedSequences) {
  const std::vector<std::uint32_t> offsets = {0, 1, 1, 8, 58, 60, 317};  // one of them empty
  const std::size_t t = offsets.back();
  IndexLists lists;
  const auto sequence_lists = lists.add_sequences(offsets);
  lists.place(context_);
  for (const auto& [heads, head_width] : {std::pair<std::size_t, std::size_t>{2, 7}, {3, 32}}) {
    const std::size_t d = heads * head_width;
    const auto qkv = draw(t * 3 * d, 1, 2);
    std::vector<float> out[2] = {poisoned(t * d), poisoned(t * d)};
    for (const int i : {0, 1}) {
      (i == 0 ? ops::attention : ops::plain::attention)(context_, lists.at(sequence_lists), heads,
                                                        d, qkv.data(), out[i].data());
    }
    expect_close(out[0], out[1], 2e-5F);
  }
}

TEST_P(Ops, SoftmaxCrossEntropyAgreesAlsoOnExtremeLogits) {
  for (const float deviation : {1.0F, 40.0F}) {
    const std::size_t rows = 5;
    const std::size_t classes = 1001;
    auto fast = draw(rows * classes, 1, deviation);
    auto plain = fast;
    const std::vector<std::uint32_t> targets = {0, 1000, 500, 500, 3};
    double loss = 7;  // is added to
    double proof = 0;
    ops::softmax_cross_entropy(context_, rows, classes, fast.data(), targets.data(), 0.5F, &loss);
    ops::plain::softmax_cross_entropy(context_, rows, classes, plain.data(), targets.data(), 0.5F,
                                      &proof);
    EXPECT_NEAR(loss - 7, proof, 1e-4 * proof);
    expect_close(fast, plain, 1e-5F);
  }
}

TEST_P(Ops, ElementwiseOpsAgree) {
  const std::size_t t = 300;
  const std::size_t d = 65;
  const auto bias = draw(d, 1);
  const auto x = draw(t * d, 2);
  std::vector<float> relu[2], gelu[2], relu_back[2], biased[2], dbias[2], dropped[2],
      exponentials[2];
  for (const int i : {0, 1}) {
    relu[i] = biased[i] = dropped[i] = x;
    exponentials[i] = draw(t * d, 3, 20);
    exponentials[i][0] = -200;
    dbias[i] = draw(d, 5);
    (i == 0 ? ops::bias_relu : ops::plain::bias_relu)(context_, t, d, bias.data(), relu[i].data());
    gelu[i] = draw(t * d, 6, 4);
    gelu[i][0] = -200;
    gelu[i][1] = 200;
    (i == 0 ? ops::bias_gelu : ops::plain::bias_gelu)(context_, t, d, bias.data(), gelu[i].data());
    relu_back[i] = draw(t * d, 4);
    (i == 0 ? ops::relu_backward : ops::plain::relu_backward)(context_, t * d, relu[i].data(),
                                                              relu_back[i].data());
    (i == 0 ? ops::add_bias : ops::plain::add_bias)(context_, t, d, bias.data(), biased[i].data());
    (i == 0 ? ops::add_bias_backward : ops::plain::add_bias_backward)(context_, t, d, x.data(),
                                                                      dbias[i].data());
    (i == 0 ? ops::dropout : ops::plain::dropout)(context_, t * d, 0.3F, 42, dropped[i].data());
    (i == 0 ? ops::exponential : ops::plain::exponential)(context_, t * d, exponentials[i].data());
  }
  expect_close(relu[0], relu[1], 1e-6F);
  expect_close(gelu[0], gelu[1], 1e-6F);
  expect_close(relu_back[0], relu_back[1], 0);
  expect_close(biased[0], biased[1], 1e-6F);
  expect_close(dbias[0], dbias[1], 1e-4F);
  expect_close(dropped[0], dropped[1], 1e-6F);
  expect_close(exponentials[0], exponentials[1], 3e-6F);
  EXPECT_EQ(exponentials[0][0], 0);
  EXPECT_NEAR(ops::dot(x.size(), x.data(), x.data()), ops::plain::dot(x.size(), x.data(), x.data()),
              1);
}

// As where weights overflow; whoever compares scores has to see it.
TEST_P(Ops, TheExponentialOfWhatIsNoNumberIsNone) {
  std::vector<float> x = {NAN, 1, -INFINITY};
  ops::exponential(context_, x.size(), x.data());
  EXPECT_TRUE(std::isnan(x[0]));
  EXPECT_NEAR(x[1], std::exp(1.0F), 1e-5);
  EXPECT_EQ(x[2], 0);
}

TEST_P(Ops, GatedResidualAgreesForwardAndBackward) {
  const std::size_t n = 40'001;
  const auto x = draw(n, 1);
  const auto branch = draw(n, 2);
  const auto dy = draw(n, 3);
  std::vector<float> gate[2], y[2], dbranch[2], dgate[2];
  for (const int i : {0, 1}) {
    gate[i] = draw(n, 4, 10);
    y[i] = dbranch[i] = dgate[i] = poisoned(n);
    (i == 0 ? ops::gated_residual : ops::plain::gated_residual)(
        context_, n, x.data(), branch.data(), gate[i].data(), y[i].data());
    (i == 0 ? ops::gated_residual_backward : ops::plain::gated_residual_backward)(
        context_, n, branch.data(), gate[i].data(), dy.data(), dbranch[i].data(), dgate[i].data());
  }
  expect_close(gate[0], gate[1], 1e-5F);
  expect_close(y[0], y[1], 1e-5F);
  expect_close(dbranch[0], dbranch[1], 1e-5F);
  expect_close(dgate[0], dgate[1], 1e-5F);
}

TEST_P(Ops, DropoutDropsItsShareAndKeepsTheMean) {
  std::vector<float> x(100'000, 1.0F);
  ops::dropout(context_, x.size(), 0.3F, 5, x.data());
  const auto dropped = std::count(x.begin(), x.end(), 0.0F);
  EXPECT_NEAR(static_cast<double>(dropped) / 100'000, 0.3, 0.01);
  EXPECT_NEAR(std::accumulate(x.begin(), x.end(), 0.0) / 100'000, 1.0, 0.01);
}

TEST_P(Ops, AdamAgreesOverManySteps) {
  const std::size_t n = 40'000;
  std::vector<float> weight[2], first[2], second[2];
  for (const int i : {0, 1}) {
    weight[i] = draw(n, 1);
    first[i] = second[i] = std::vector<float>(n);
    for (std::size_t step = 1; step <= 5; ++step) {
      const auto gradient = draw(n, 10 + step);
      (i == 0 ? ops::adam : ops::plain::adam)(context_, n, {.weight_decay = 0.01F}, step,
                                              gradient.data(), weight[i].data(), first[i].data(),
                                              second[i].data());
    }
  }
  expect_close(weight[0], weight[1], 1e-5F);
}

}  // namespace
}  // namespace fovea::ranking
