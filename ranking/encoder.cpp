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

}  // namespace

EncoderWeights::EncoderWeights(const EncoderShape& s) : shape(s) {
  const std::size_t d = s.width;
  items = Tensor({s.items, d});
  text = Tensor({d, s.whitened_width});
  positions = Tensor({s.behaviours_max, d});
  actions = Tensor({s.actions, d});
  gaps = Tensor({kGapBuckets, d});
  norm_in_gain = norm_in_bias = norm_out_gain = norm_out_bias = Tensor({d});
  for (Block& b : blocks) {
    b.norm1_gain = b.norm1_bias = b.norm2_gain = b.norm2_bias = Tensor({d});
    b.qkv = Tensor({3 * d, d});
    b.qkv_bias = Tensor({3 * d});
    b.out = Tensor({d, d});
    b.out_bias = Tensor({d});
    b.expand = Tensor({4 * d, d});
    b.expand_bias = Tensor({4 * d});
    b.contract = Tensor({d, 4 * d});
    b.contract_bias = Tensor({d});
  }
}

EncoderWeights EncoderWeights::random(const EncoderShape& shape, std::uint64_t seed) {
  EncoderWeights weights(shape);
  Random random(seed);
  for (auto& [name, tensor] : weights.tensors()) {
    if (name.ends_with("_gain")) {
      std::fill(tensor->values().begin(), tensor->values().end(), 1.0F);
    } else if (!name.ends_with("_bias")) {
      for (float& value : tensor->values()) value = 0.02F * random.normal();
    }
  }
  weights.learned.assign(shape.items, 1.0F);
  return weights;
}

std::vector<std::pair<std::string, Tensor*>> EncoderWeights::tensors() {
  std::vector<std::pair<std::string, Tensor*>> all = {{"items", &items},
                                                      {"text", &text},
                                                      {"positions", &positions},
                                                      {"actions", &actions},
                                                      {"gaps", &gaps},
                                                      {"norm_in_gain", &norm_in_gain},
                                                      {"norm_in_bias", &norm_in_bias}};
  for (std::size_t i = 0; i < kBlocks; ++i) {
    Block& b = blocks[i];
    const std::string prefix = "block" + std::to_string(i) + ".";
    const std::pair<const char*, Tensor*> parts[] = {{"norm1_gain", &b.norm1_gain},
                                                     {"norm1_bias", &b.norm1_bias},
                                                     {"qkv", &b.qkv},
                                                     {"qkv_bias", &b.qkv_bias},
                                                     {"out", &b.out},
                                                     {"out_bias", &b.out_bias},
                                                     {"norm2_gain", &b.norm2_gain},
                                                     {"norm2_bias", &b.norm2_bias},
                                                     {"expand", &b.expand},
                                                     {"expand_bias", &b.expand_bias},
                                                     {"contract", &b.contract},
                                                     {"contract_bias", &b.contract_bias}};
    for (const auto& [name, tensor] : parts) all.emplace_back(prefix + name, tensor);
  }
  all.emplace_back("norm_out_gain", &norm_out_gain);
  all.emplace_back("norm_out_bias", &norm_out_bias);
  return all;
}

std::vector<std::pair<std::string, const Tensor*>> EncoderWeights::tensors() const {
  std::vector<std::pair<std::string, const Tensor*>> all;
  for (auto& [name, tensor] : const_cast<EncoderWeights*>(this)->tensors()) {
    all.emplace_back(std::move(name), tensor);
  }
  return all;
}

void EncoderWeights::save(Weights& weights) const {
  for (const auto& [name, tensor] : tensors()) {
    weights.put("encoder." + name, tensor->shape(),
                {tensor->values().begin(), tensor->values().end()});
  }
  weights.put("encoder.learned", {learned.size()}, learned);
  weights.put_ids(
      "encoder.shape",
      {static_cast<std::uint32_t>(shape.width), static_cast<std::uint32_t>(shape.heads),
       static_cast<std::uint32_t>(shape.behaviours_max), static_cast<std::uint32_t>(shape.items),
       static_cast<std::uint32_t>(shape.whitened_width),
       static_cast<std::uint32_t>(shape.actions)});
}

EncoderWeights EncoderWeights::load(const Weights& weights) {
  const auto sizes = weights.ids("encoder.shape");
  if (sizes.size() != 6) throw WeightsError("encoder.shape has not 6 numbers");
  const EncoderShape shape{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
  if (shape.width == 0 || shape.heads == 0 || shape.width % shape.heads != 0 ||
      shape.behaviours_max == 0 || shape.actions == 0) {
    throw WeightsError("encoder.shape holds impossible sizes");
  }
  // Shapes are checked against the arrays in the file before anything of that size is made.
  if (weights.shape("encoder.items") != Weights::Shape{shape.items, shape.width} ||
      weights.shape("encoder.text") != Weights::Shape{shape.width, shape.whitened_width} ||
      weights.shape("encoder.positions") != Weights::Shape{shape.behaviours_max, shape.width} ||
      weights.shape("encoder.actions") != Weights::Shape{shape.actions, shape.width}) {
    throw WeightsError("encoder.shape does not agree with the arrays");
  }
  EncoderWeights result(shape);
  for (auto& [name, tensor] : result.tensors()) {
    const auto values = weights.floats("encoder." + name, tensor->shape());
    *tensor = Tensor(tensor->shape(), {values.begin(), values.end()});
  }
  const auto learned = weights.floats("encoder.learned", {shape.items});
  result.learned.assign(learned.begin(), learned.end());
  return result;
}

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
  Tensor branch({t, d});
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
    ops::causal_attention(context, batch.sequences(), batch.offsets.data(), weights.shape.heads, d,
                          b.qkv.data(), b.attended.data(), b.probabilities.data());
    linear(context, t, w.out, b.attended.data(), branch.data());
    ops::add_bias(context, t, d, w.out_bias.data(), branch.data());
    ops::dropout(context, t * d, dropout, site_seed(tape, k, kAttention), branch.data());
    for (std::size_t i = 0; i < t * d; ++i) b.middle[i] = b.input[i] + branch[i];

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
    for (std::size_t i = 0; i < t * d; ++i) out[i] = b.middle[i] + branch[i];
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
  for (std::size_t k = EncoderWeights::kBlocks; k-- > 0;) {
    const EncoderWeights::Block& w = weights.blocks[k];
    const EncoderTape::Block& b = tape.blocks[k];
    EncoderWeights::Block& g = gradient.blocks[k];

    dbranch = dx;
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

    dbranch = dx;
    ops::dropout(context, t * d, tape.dropout, site_seed(tape, k, kAttention), dbranch.data());
    ops::add_bias_backward(context, t, d, dbranch.data(), g.out_bias.data());
    linear_backward(context, t, w.out, b.attended.data(), dbranch.data(), g.out, dnormal.data(), 0);
    ops::causal_attention_backward(context, batch.sequences(), batch.offsets.data(),
                                   weights.shape.heads, d, b.qkv.data(), b.probabilities.data(),
                                   dnormal.data(), dqkv.data());
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
