// See encoder.h. Forward and backward stand side by side, step for step.
#include "ranking/encoder.h"

#include <algorithm>
#include <cmath>

#include "ranking/ops.h"
#include "ranking/random.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

constexpr float kNormEpsilon = 1e-5F;

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

// Which rows of the tables each behaviour reads, of a batch of `sequences`.
struct Lookups {
  std::vector<std::uint32_t> positions, actions, gaps;  // [T]

  explicit Lookups(const EncoderBatch& batch)
      : actions(batch.actions.begin(), batch.actions.end()),
        gaps(batch.gaps.begin(), batch.gaps.end()) {
    positions.reserve(batch.tokens());
    for (std::size_t s = 0; s < batch.sequences(); ++s) {
      for (std::uint32_t i = batch.offsets[s]; i < batch.offsets[s + 1]; ++i) {
        positions.push_back(i - batch.offsets[s]);
      }
    }
  }
};

}  // namespace

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
            const EncoderBatch& batch, float dropout, std::uint64_t seed, EncoderTape& tape,
            std::size_t from) {
  const std::size_t t = batch.tokens();
  const std::size_t d = weights.shape.width;
  tape.dropout = dropout;
  tape.seed = seed;
  const Lookups lookups(batch);
  tape.lists = {};
  tape.sequences = tape.lists.add_sequences(batch.offsets);
  const auto item = tape.lists.add(batch.items);
  const auto position = tape.lists.add(lookups.positions);
  const auto action = tape.lists.add(lookups.actions);
  const auto gap = tape.lists.add(lookups.gaps);
  tape.lists.place(context);
  const ops::Sequences sequences = tape.lists.at(tape.sequences);
  tape.embedded.reshape(context, {t, d});
  ops::embed(
      context, t, d, std::sqrt(static_cast<float>(d)),
      {item_vectors, weights.positions.data(), weights.actions.data(), weights.gaps.data(),
       tape.lists.at(item), tape.lists.at(position), tape.lists.at(action), tape.lists.at(gap)},
      tape.embedded.data());
  tape.mean_in.reshape(context, {t, 1});
  tape.rstd_in.reshape(context, {t, 1});
  tape.blocks[0].input.reshape(context, {t, d});
  ops::layer_norm(context, t, d, kNormEpsilon, tape.embedded.data(), weights.norm_in_gain.data(),
                  weights.norm_in_bias.data(), tape.blocks[0].input.data(), tape.mean_in.data(),
                  tape.rstd_in.data());
  ops::dropout(context, t * d, dropout, site_seed(tape, 0, kInput), tape.blocks[0].input.data());

  if (weights.shape.relative_bias) {
    const Placed<std::int64_t> times(context, batch.times_ms);
    tape.pair_gaps = Array<std::uint8_t>(context, sequences.pairs);
    ops::pair_gaps(context, sequences, times.data(), tape.pair_gaps.data());
  }
  Tensor bias;
  Tensor branch(context, {t, d});
  // What comes after the attention of a block is done for the tokens from r on: n.
  std::size_t r = 0;
  std::size_t n = t;
  const auto rest = [&r](auto& x) { return r == 0 ? x.data() : x.row(r); };  // none may have no row
  // y = x + branch, or x + gate * branch.
  const auto add_branch = [&](const Tensor& x, const Tensor& w, const Tensor& w_bias, Tensor& gate,
                              Tensor& kept, Tensor& y) {
    if (!weights.shape.gates) {
      ops::add(context, n * d, rest(x), rest(branch), rest(y));
      return;
    }
    gate.reshape(context, {t, d});
    linear(context, n, w, rest(x), rest(gate));
    ops::add_bias(context, n, d, w_bias.data(), rest(gate));
    ops::gated_residual(context, n * d, rest(x), rest(branch), rest(gate), rest(y));
    kept = branch;
  };
  for (std::size_t k = 0; k < EncoderWeights::kBlocks; ++k) {
    const EncoderWeights::Block& w = weights.blocks[k];
    EncoderTape::Block& b = tape.blocks[k];
    if (k + 1 == EncoderWeights::kBlocks) {
      r = from;
      n = t - from;
    }
    for (Tensor* x : {&b.normal1, &b.attended, &b.middle, &b.normal2}) x->reshape(context, {t, d});
    for (Tensor* x : {&b.mean1, &b.rstd1, &b.mean2, &b.rstd2}) x->reshape(context, {t, 1});
    b.qkv.reshape(context, {t, 3 * d});
    b.expanded.reshape(context, {t, 4 * d});
    b.probabilities.reshape(context, {weights.shape.heads, sequences.pairs});

    ops::layer_norm(context, t, d, kNormEpsilon, b.input.data(), w.norm1_gain.data(),
                    w.norm1_bias.data(), b.normal1.data(), b.mean1.data(), b.rstd1.data());
    linear(context, t, w.qkv, b.normal1.data(), b.qkv.data());
    ops::add_bias(context, t, 3 * d, w.qkv_bias.data(), b.qkv.data());
    if (weights.shape.relative_bias) {
      bias.reshape(context, {weights.shape.heads, sequences.pairs});
      ops::relative_bias(context, sequences, weights.shape.heads, weights.shape.behaviours_max,
                         w.age_bias.data(), kGapBuckets, w.gap_bias.data(), tape.pair_gaps.data(),
                         bias.data());
    }
    ops::causal_attention(context, sequences, weights.shape.heads, d, b.qkv.data(),
                          weights.shape.relative_bias ? bias.data() : nullptr, b.attended.data(),
                          b.probabilities.data(), r);
    linear(context, n, w.out, rest(b.attended), rest(branch));
    ops::add_bias(context, n, d, w.out_bias.data(), rest(branch));
    ops::dropout(context, n * d, dropout, site_seed(tape, k, kAttention), rest(branch));
    add_branch(b.input, w.gate1, w.gate1_bias, b.gate1, b.branch1, b.middle);

    ops::layer_norm(context, n, d, kNormEpsilon, rest(b.middle), w.norm2_gain.data(),
                    w.norm2_bias.data(), rest(b.normal2), rest(b.mean2), rest(b.rstd2));
    linear(context, n, w.expand, rest(b.normal2), rest(b.expanded));
    ops::bias_relu(context, n, 4 * d, w.expand_bias.data(), rest(b.expanded));
    ops::dropout(context, n * 4 * d, dropout, site_seed(tape, k, kHidden), rest(b.expanded));
    linear(context, n, w.contract, rest(b.expanded), rest(branch));
    ops::add_bias(context, n, d, w.contract_bias.data(), rest(branch));
    ops::dropout(context, n * d, dropout, site_seed(tape, k, kFeedForward), rest(branch));
    Tensor& out = k + 1 < EncoderWeights::kBlocks ? tape.blocks[k + 1].input : tape.last;
    out.reshape(context, {t, d});
    add_branch(b.middle, w.gate2, w.gate2_bias, b.gate2, b.branch2, out);
  }
  tape.mean_out.reshape(context, {t, 1});
  tape.rstd_out.reshape(context, {t, 1});
  tape.states.reshape(context, {t, d});
  ops::layer_norm(context, n, d, kNormEpsilon, rest(tape.last), weights.norm_out_gain.data(),
                  weights.norm_out_bias.data(), rest(tape.states), rest(tape.mean_out),
                  rest(tape.rstd_out));
}

void encode_backward(const Context& context, const EncoderWeights& weights,
                     const EncoderBatch& batch, const EncoderTape& tape, const float* dstates,
                     EncoderWeights& gradient, float* ditem_vectors) {
  const std::size_t t = batch.tokens();
  const std::size_t d = weights.shape.width;
  const ops::Sequences sequences = tape.lists.at(tape.sequences);
  Tensor dx(context, {t, d});  // gradient of the residual stream, walked from the end to the start
  ops::layer_norm_backward(context, t, d, tape.last.data(), weights.norm_out_gain.data(),
                           tape.mean_out.data(), tape.rstd_out.data(), dstates, dx.data(),
                           gradient.norm_out_gain.data(), gradient.norm_out_bias.data());
  Tensor dbranch(context, {t, d});
  Tensor dnormal(context, {t, d});
  Tensor dexpanded(context, {t, 4 * d});
  Tensor dqkv(context, {t, 3 * d});
  Tensor dbias;
  if (weights.shape.relative_bias) {
    dbias = Tensor(context, tape.blocks[0].probabilities.shape());
  }
  Tensor dgate;
  if (weights.shape.gates) dgate = Tensor(context, {t, d});
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
    ops::causal_attention_backward(context, sequences, weights.shape.heads, d, b.qkv.data(),
                                   b.probabilities.data(), dnormal.data(), dqkv.data(),
                                   weights.shape.relative_bias ? dbias.data() : nullptr);
    if (weights.shape.relative_bias) {
      ops::relative_bias_backward(context, sequences, weights.shape.heads,
                                  weights.shape.behaviours_max, g.age_bias.data(), kGapBuckets,
                                  g.gap_bias.data(), tape.pair_gaps.data(), dbias.data());
    }
    ops::add_bias_backward(context, t, 3 * d, dqkv.data(), g.qkv_bias.data());
    linear_backward(context, t, w.qkv, b.normal1.data(), dqkv.data(), g.qkv, dnormal.data(), 0);
    ops::layer_norm_backward(context, t, d, b.input.data(), w.norm1_gain.data(), b.mean1.data(),
                             b.rstd1.data(), dnormal.data(), dx.data(), g.norm1_gain.data(),
                             g.norm1_bias.data());
  }
  ops::dropout(context, t * d, tape.dropout, site_seed(tape, 0, kInput), dx.data());
  Tensor dembedded(context, {t, d});
  ops::layer_norm_backward(context, t, d, tape.embedded.data(), weights.norm_in_gain.data(),
                           tape.mean_in.data(), tape.rstd_in.data(), dx.data(), dembedded.data(),
                           gradient.norm_in_gain.data(), gradient.norm_in_bias.data());
  const Lookups lookups(batch);
  IndexLists lists;
  const auto by_item = lists.add_segments(batch.items);
  const auto by_position = lists.add_segments(lookups.positions);
  const auto by_action = lists.add_segments(lookups.actions);
  const auto by_gap = lists.add_segments(lookups.gaps);
  lists.place(context);
  ops::add_segments(context, lists.at(by_item), d, std::sqrt(static_cast<float>(d)), nullptr,
                    dembedded.data(), ditem_vectors);
  ops::add_segments(context, lists.at(by_position), d, 1, nullptr, dembedded.data(),
                    gradient.positions.data());
  ops::add_segments(context, lists.at(by_action), d, 1, nullptr, dembedded.data(),
                    gradient.actions.data());
  ops::add_segments(context, lists.at(by_gap), d, 1, nullptr, dembedded.data(),
                    gradient.gaps.data());
}

void item_tower(const Context& context, const EncoderWeights& weights, std::size_t n,
                const std::uint32_t* rows, const float* mask, const float* whitened, float* out) {
  const std::size_t d = weights.shape.width;
  const std::size_t z = weights.shape.whitened_width;
  ops::gemm(context, Transpose::kNo, Transpose::kYes, n, d, z, 1, whitened, z, weights.text.data(),
            z, 0, out, d);
  ops::add_rows(context, n, d, mask, 1, rows, weights.items.data(), out);
}

void item_tower_backward(const Context& context, const EncoderWeights& weights, std::size_t n,
                         const std::uint32_t* rows, const float* mask, const float* whitened,
                         const float* dvectors, EncoderWeights& gradient) {
  const std::size_t d = weights.shape.width;
  const std::size_t z = weights.shape.whitened_width;
  ops::gemm(context, Transpose::kYes, Transpose::kNo, d, z, n, 1, dvectors, d, whitened, z, 1,
            gradient.text.data(), z);
  ops::add_to_rows(context, n, d, mask, rows, dvectors, gradient.items.data());
}

}  // namespace fovea::ranking
