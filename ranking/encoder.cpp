// See encoder.h. Forward and backward stand side by side, step for step.
#include "ranking/encoder.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "ranking/ops.h"
#include "ranking/random.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

// y [T, O] = x [T, I] w [O, I]^T
void linear(const Context& context, std::size_t tokens, const Tensor& w, const float* x, float* y) {
  const std::size_t in = w.columns();
  ops::gemm(context, Transpose::kNo, Transpose::kYes, tokens, w.rows(), in, 1, x, in, w.data(), in,
            0, y, w.rows());
}

// dw += dy^T x; dx [T, I] = dy w, or += where `beta` is 1.
void linear_backward(const Context& context, std::size_t tokens, const Tensor& w, const float* x,
                     const float* dy, Tensor& dw, float* dx, float beta) {
  const std::size_t in = w.columns();
  const std::size_t out = w.rows();
  ops::gemm(context, Transpose::kYes, Transpose::kNo, out, in, tokens, 1, dy, out, x, in, 1,
            dw.data(), in);
  ops::gemm(context, Transpose::kNo, Transpose::kNo, tokens, in, out, 1, dy, out, w.data(), in,
            beta, dx, in);
}

// Where in a pass a dropout stands, so that each draws differently and the way back draws the same.
enum Site : std::uint64_t { kInput = 0, kAttention = 1, kHidden = 2, kFeedForward = 3, kSites = 4 };
std::uint64_t site_seed(const EncoderTape& tape, std::size_t block, Site site) {
  return tape.seed * 64 + block * kSites + site;
}

// Makes room without touching what is large enough already: a tape is reused from batch to batch.
void shape_as(Tensor& tensor, std::size_t rows, std::size_t columns) {
  if (tensor.shape().size() != 2 || tensor.shape()[0] != rows || tensor.shape()[1] != columns) {
    tensor = Tensor({rows, columns});
  }
}

// Calls visit(at, pair, head, newer, age) for each pair of behaviours that attention sees: `at` in
// the layout of ops::causal_attention's probabilities, `pair` in EncoderTape::pair_gaps, `newer`
// the token that attends, `age` how many behaviours before it the other one stands.
template <typename Visit>
void for_each_pair(const EncoderBatch& batch, std::size_t heads, const Visit& visit) {
  std::size_t pairs = 0;  // of the sequences before
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t n = batch.offsets[s + 1] - batch.offsets[s];
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
          visit(heads * pairs + (h * n + i) * n + j, pairs + i * n + j, h, batch.offsets[s] + i,
                i - j);
        }
      }
    }
    pairs += n * n;
  }
}

}  // namespace

std::uint8_t gap_bucket(std::int64_t earlier_ms, std::int64_t later_ms) {
  const auto seconds =
      static_cast<std::uint64_t>(std::max<std::int64_t>(later_ms - earlier_ms, 0)) / 1000;
  const int bucket = std::bit_width(seconds + 1) - 1;
  return static_cast<std::uint8_t>(
      std::min<std::size_t>(static_cast<std::size_t>(bucket), EncoderWeights::kGapBuckets - 1));
}

void EncoderBatch::add(std::span<const Behaviour> behaviours, std::span<const std::uint32_t> rows) {
  for (std::size_t i = 0; i < behaviours.size(); ++i) {
    items.push_back(rows[i]);
    actions.push_back(behaviours[i].action);
    times_ms.push_back(behaviours[i].time_ms);
    gaps.push_back(i == 0 ? 0 : gap_bucket(behaviours[i - 1].time_ms, behaviours[i].time_ms));
  }
  offsets.push_back(static_cast<std::uint32_t>(items.size()));
}

void encode(const Context& context, const EncoderWeights& weights, const float* item_vectors,
            const EncoderBatch& batch, float dropout, std::uint64_t seed, EncoderTape& tape) {
  const std::size_t t = batch.tokens();
  const std::size_t d = weights.shape.width;
  tape.dropout = dropout;
  tape.seed = seed;
  shape_as(tape.embedded, t, d);
  const float item_scale = std::sqrt(static_cast<float>(d));
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    for (std::size_t i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i) {
      const float* item = item_vectors + static_cast<std::size_t>(batch.items[i]) * d;
      const float* position = weights.positions.row(i - batch.offsets[s]);
      const float* action = weights.actions.row(batch.actions[i]);
      const float* gap = weights.gaps.row(batch.gaps[i]);
      float* out = tape.embedded.row(i);
      for (std::size_t c = 0; c < d; ++c) {
        out[c] = item_scale * item[c] + position[c] + action[c] + gap[c];
      }
    }
  }
  shape_as(tape.mean_in, t, 1);
  shape_as(tape.rstd_in, t, 1);
  shape_as(tape.blocks[0].input, t, d);
  ops::layer_norm(context, t, d, tape.embedded.data(), weights.norm_in_gain.data(),
                  weights.norm_in_bias.data(), tape.blocks[0].input.data(), tape.mean_in.data(),
                  tape.rstd_in.data());
  ops::dropout(context, t * d, dropout, site_seed(tape, 0, kInput), tape.blocks[0].input.data());

  std::size_t pairs = 0;  // behaviour pairs over all sequences
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    const std::size_t n = batch.offsets[s + 1] - batch.offsets[s];
    pairs += n * n;
  }
  if (weights.shape.relative_bias) {
    tape.pair_gaps.assign(pairs, 0);
    for_each_pair(
        batch, 1,
        [&](std::size_t, std::size_t pair, std::size_t, std::size_t newer, std::size_t age) {
          tape.pair_gaps[pair] = gap_bucket(batch.times_ms[newer - age], batch.times_ms[newer]);
        });
  }
  Tensor bias;
  Tensor branch({t, d});
  // y = x + branch, or x + gate * branch.
  const auto add_branch = [&](const Tensor& x, const Tensor& w, const Tensor& w_bias, Tensor& gate,
                              Tensor& kept, Tensor& y) {
    if (!weights.shape.gates) {
      for (std::size_t i = 0; i < t * d; ++i) y[i] = x[i] + branch[i];
      return;
    }
    shape_as(gate, t, d);
    linear(context, t, w, x.data(), gate.data());
    ops::add_bias(context, t, d, w_bias.data(), gate.data());
    ops::gated_residual(context, t * d, x.data(), branch.data(), gate.data(), y.data());
    kept = branch;
  };
  for (std::size_t k = 0; k < EncoderWeights::kBlocks; ++k) {
    const EncoderWeights::Block& w = weights.blocks[k];
    EncoderTape::Block& b = tape.blocks[k];
    for (Tensor* x : {&b.normal1, &b.attended, &b.middle, &b.normal2}) shape_as(*x, t, d);
    for (Tensor* x : {&b.mean1, &b.rstd1, &b.mean2, &b.rstd2}) shape_as(*x, t, 1);
    shape_as(b.qkv, t, 3 * d);
    shape_as(b.expanded, t, 4 * d);
    shape_as(b.probabilities, weights.shape.heads, pairs);

    ops::layer_norm(context, t, d, b.input.data(), w.norm1_gain.data(), w.norm1_bias.data(),
                    b.normal1.data(), b.mean1.data(), b.rstd1.data());
    linear(context, t, w.qkv, b.normal1.data(), b.qkv.data());
    ops::add_bias(context, t, 3 * d, w.qkv_bias.data(), b.qkv.data());
    if (weights.shape.relative_bias) {
      shape_as(bias, weights.shape.heads, pairs);
      for_each_pair(
          batch, weights.shape.heads,
          [&](std::size_t at, std::size_t pair, std::size_t head, std::size_t, std::size_t age) {
            bias[at] = w.age_bias.row(head)[age] + w.gap_bias.row(head)[tape.pair_gaps[pair]];
          });
    }
    ops::causal_attention(context, batch.sequences(), batch.offsets.data(), weights.shape.heads, d,
                          b.qkv.data(), weights.shape.relative_bias ? bias.data() : nullptr,
                          b.attended.data(), b.probabilities.data());
    linear(context, t, w.out, b.attended.data(), branch.data());
    ops::add_bias(context, t, d, w.out_bias.data(), branch.data());
    ops::dropout(context, t * d, dropout, site_seed(tape, k, kAttention), branch.data());
    add_branch(b.input, w.gate1, w.gate1_bias, b.gate1, b.branch1, b.middle);

    ops::layer_norm(context, t, d, b.middle.data(), w.norm2_gain.data(), w.norm2_bias.data(),
                    b.normal2.data(), b.mean2.data(), b.rstd2.data());
    linear(context, t, w.expand, b.normal2.data(), b.expanded.data());
    ops::bias_relu(context, t, 4 * d, w.expand_bias.data(), b.expanded.data());
    ops::dropout(context, t * 4 * d, dropout, site_seed(tape, k, kHidden), b.expanded.data());
    linear(context, t, w.contract, b.expanded.data(), branch.data());
    ops::add_bias(context, t, d, w.contract_bias.data(), branch.data());
    ops::dropout(context, t * d, dropout, site_seed(tape, k, kFeedForward), branch.data());
    Tensor& out = k + 1 < EncoderWeights::kBlocks ? tape.blocks[k + 1].input : tape.last;
    shape_as(out, t, d);
    add_branch(b.middle, w.gate2, w.gate2_bias, b.gate2, b.branch2, out);
  }
  shape_as(tape.mean_out, t, 1);
  shape_as(tape.rstd_out, t, 1);
  shape_as(tape.states, t, d);
  ops::layer_norm(context, t, d, tape.last.data(), weights.norm_out_gain.data(),
                  weights.norm_out_bias.data(), tape.states.data(), tape.mean_out.data(),
                  tape.rstd_out.data());
}

void encode_backward(const Context& context, const EncoderWeights& weights,
                     const EncoderBatch& batch, const EncoderTape& tape, const float* dstates,
                     EncoderWeights& gradient, float* ditem_vectors) {
  const std::size_t t = batch.tokens();
  const std::size_t d = weights.shape.width;
  Tensor dx({t, d});  // gradient of the residual stream, walked from the end to the start
  ops::layer_norm_backward(context, t, d, tape.last.data(), weights.norm_out_gain.data(),
                           tape.mean_out.data(), tape.rstd_out.data(), dstates, dx.data(),
                           gradient.norm_out_gain.data(), gradient.norm_out_bias.data());
  Tensor dbranch({t, d});
  Tensor dnormal({t, d});
  Tensor dexpanded({t, 4 * d});
  Tensor dqkv({t, 3 * d});
  Tensor dbias;
  if (weights.shape.relative_bias) dbias = Tensor(tape.blocks[0].probabilities.shape());
  Tensor dgate;
  if (weights.shape.gates) dgate = Tensor({t, d});
  // dbranch from dx; what a gate read is added to dx.
  const auto branch_backward = [&](const Tensor& x, const Tensor& w, const Tensor& gate,
                                   const Tensor& branch, Tensor& dw, Tensor& dw_bias) {
    if (!weights.shape.gates) {
      dbranch = dx;
      return;
    }
    ops::gated_residual_backward(context, t * d, branch.data(), gate.data(), dx.data(),
                                 dbranch.data(), dgate.data());
    ops::add_bias_backward(context, t, d, dgate.data(), dw_bias.data());
    linear_backward(context, t, w, x.data(), dgate.data(), dw, dx.data(), 1);
  };
  for (std::size_t k = EncoderWeights::kBlocks; k-- > 0;) {
    const EncoderWeights::Block& w = weights.blocks[k];
    const EncoderTape::Block& b = tape.blocks[k];
    EncoderWeights::Block& g = gradient.blocks[k];

    branch_backward(b.middle, w.gate2, b.gate2, b.branch2, g.gate2, g.gate2_bias);
    ops::dropout(context, t * d, tape.dropout, site_seed(tape, k, kFeedForward), dbranch.data());
    ops::add_bias_backward(context, t, d, dbranch.data(), g.contract_bias.data());
    linear_backward(context, t, w.contract, b.expanded.data(), dbranch.data(), g.contract,
                    dexpanded.data(), 0);
    ops::dropout(context, t * 4 * d, tape.dropout, site_seed(tape, k, kHidden), dexpanded.data());
    ops::relu_backward(context, t * 4 * d, b.expanded.data(), dexpanded.data());
    ops::add_bias_backward(context, t, 4 * d, dexpanded.data(), g.expand_bias.data());
    linear_backward(context, t, w.expand, b.normal2.data(), dexpanded.data(), g.expand,
                    dnormal.data(), 0);
    ops::layer_norm_backward(context, t, d, b.middle.data(), w.norm2_gain.data(), b.mean2.data(),
                             b.rstd2.data(), dnormal.data(), dx.data(), g.norm2_gain.data(),
                             g.norm2_bias.data());

    branch_backward(b.input, w.gate1, b.gate1, b.branch1, g.gate1, g.gate1_bias);
    ops::dropout(context, t * d, tape.dropout, site_seed(tape, k, kAttention), dbranch.data());
    ops::add_bias_backward(context, t, d, dbranch.data(), g.out_bias.data());
    linear_backward(context, t, w.out, b.attended.data(), dbranch.data(), g.out, dnormal.data(), 0);
    ops::causal_attention_backward(context, batch.sequences(), batch.offsets.data(),
                                   weights.shape.heads, d, b.qkv.data(), b.probabilities.data(),
                                   dnormal.data(), dqkv.data(),
                                   weights.shape.relative_bias ? dbias.data() : nullptr);
    if (weights.shape.relative_bias) {
      for_each_pair(
          batch, weights.shape.heads,
          [&](std::size_t at, std::size_t pair, std::size_t head, std::size_t, std::size_t age) {
            g.age_bias.row(head)[age] += dbias[at];
            g.gap_bias.row(head)[tape.pair_gaps[pair]] += dbias[at];
          });
    }
    ops::add_bias_backward(context, t, 3 * d, dqkv.data(), g.qkv_bias.data());
    linear_backward(context, t, w.qkv, b.normal1.data(), dqkv.data(), g.qkv, dnormal.data(), 0);
    ops::layer_norm_backward(context, t, d, b.input.data(), w.norm1_gain.data(), b.mean1.data(),
                             b.rstd1.data(), dnormal.data(), dx.data(), g.norm1_gain.data(),
                             g.norm1_bias.data());
  }
  ops::dropout(context, t * d, tape.dropout, site_seed(tape, 0, kInput), dx.data());
  Tensor dembedded({t, d});
  ops::layer_norm_backward(context, t, d, tape.embedded.data(), weights.norm_in_gain.data(),
                           tape.mean_in.data(), tape.rstd_in.data(), dx.data(), dembedded.data(),
                           gradient.norm_in_gain.data(), gradient.norm_in_bias.data());
  const float item_scale = std::sqrt(static_cast<float>(d));
  for (std::size_t s = 0; s < batch.sequences(); ++s) {
    for (std::size_t i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i) {
      const float* from = dembedded.row(i);
      float* item = ditem_vectors + static_cast<std::size_t>(batch.items[i]) * d;
      float* position = gradient.positions.row(i - batch.offsets[s]);
      float* action = gradient.actions.row(batch.actions[i]);
      float* gap = gradient.gaps.row(batch.gaps[i]);
      for (std::size_t c = 0; c < d; ++c) {
        item[c] += item_scale * from[c];
        position[c] += from[c];
        action[c] += from[c];
        gap[c] += from[c];
      }
    }
  }
}

void item_tower(const Context& context, const EncoderWeights& weights,
                std::span<const std::uint32_t> rows, const float* mask, const float* whitened,
                float* out) {
  const std::size_t d = weights.shape.width;
  const std::size_t z = weights.shape.whitened_width;
  ops::gemm(context, Transpose::kNo, Transpose::kYes, rows.size(), d, z, 1, whitened, z,
            weights.text.data(), z, 0, out, d);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (mask[i] == 0) continue;
    const float* learned = weights.items.row(rows[i]);
    for (std::size_t c = 0; c < d; ++c) out[i * d + c] += mask[i] * learned[c];
  }
}

void item_tower_backward(const Context& context, const EncoderWeights& weights,
                         std::span<const std::uint32_t> rows, const float* mask,
                         const float* whitened, const float* dvectors, EncoderWeights& gradient) {
  const std::size_t d = weights.shape.width;
  const std::size_t z = weights.shape.whitened_width;
  ops::gemm(context, Transpose::kYes, Transpose::kNo, d, z, rows.size(), 1, dvectors, d, whitened,
            z, 1, gradient.text.data(), z);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (mask[i] == 0) continue;
    float* learned = gradient.items.row(rows[i]);
    for (std::size_t c = 0; c < d; ++c) learned[c] += mask[i] * dvectors[i * d + c];
  }
}

}  // namespace fovea::ranking
