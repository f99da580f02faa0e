// See encoder_loss.h.
#include "ranking/encoder_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ranking/ops.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

constexpr std::size_t kTileFloats = std::size_t{1} << 21;
constexpr std::size_t kTileRowsMax = 512;

// Tokens that have a target, and their states one after another.
struct Questions {
  std::vector<std::uint32_t> tokens;  // [n]
  std::vector<std::uint32_t> wanted;  // [n]
  std::vector<float> states;          // [n, D]
};

Questions find_questions(std::span<const std::uint32_t> targets, const Tensor& states) {
  const std::size_t d = states.columns();
  Questions questions;
  for (std::uint32_t t = 0; t < targets.size(); ++t) {
    if (targets[t] == kNoTarget) continue;
    questions.tokens.push_back(t);
    questions.wanted.push_back(targets[t]);
    questions.states.insert(questions.states.end(), states.row(t), states.row(t) + d);
  }
  return questions;
}

// Gradients of the questions' states [n, D] as those of all tokens' [T, D].
std::vector<float> spread(const Questions& questions, std::span<const float> from,
                          std::size_t tokens, std::size_t d) {
  std::vector<float> to(tokens * d);
  for (std::size_t i = 0; i < questions.tokens.size(); ++i) {
    std::copy_n(from.data() + i * d, d, to.data() + questions.tokens[i] * d);
  }
  return to;
}

}  // namespace

std::size_t logit_rows(std::size_t items) {
  return std::clamp<std::size_t>(kTileFloats / std::max<std::size_t>(items, 1), 16, kTileRowsMax);
}

double encoder_loss(const Context& context, const EncoderWeights& weights,
                    std::span<const float> mask, std::span<const float> whitened,
                    const EncoderBatch& batch, std::span<const std::uint32_t> targets,
                    float dropout, std::uint64_t seed, EncoderTape& tape,
                    EncoderWeights& gradient) {
  const std::size_t d = weights.shape.width;
  const std::size_t items = weights.shape.items;
  std::vector<std::uint32_t> rows(items);
  std::iota(rows.begin(), rows.end(), 0U);
  std::vector<float> vectors(items * d);
  item_tower(context, weights, rows, mask.data(), whitened.data(), vectors.data());
  encode(context, weights, vectors.data(), batch, dropout, seed, tape);
  const Questions questions = find_questions(targets, tape.states);
  const std::size_t count = questions.wanted.size();
  if (count == 0) return 0;

  std::vector<float> dstates(count * d);
  std::vector<float> dvectors(vectors.size());
  const std::size_t tile = logit_rows(items);
  std::vector<float> logits(std::min(tile, count) * items);
  const float scale = 1 / static_cast<float>(count);
  double loss = 0;
  for (std::size_t begin = 0; begin < count; begin += tile) {
    const std::size_t n = std::min(tile, count - begin);
    const float* h = questions.states.data() + begin * d;
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, items, d, 1, h, d, vectors.data(), d, 0,
              logits.data(), items);
    loss += ops::softmax_cross_entropy(context, n, items, logits.data(),
                                       questions.wanted.data() + begin, scale);
    ops::gemm(context, Transpose::kNo, Transpose::kNo, n, d, items, 1, logits.data(), items,
              vectors.data(), d, 0, dstates.data() + begin * d, d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, items, d, n, 1, logits.data(), items, h, d,
              1, dvectors.data(), d);
  }
  encode_backward(context, weights, batch, tape,
                  spread(questions, dstates, batch.tokens(), d).data(), gradient, dvectors.data());
  item_tower_backward(context, weights, rows, mask.data(), whitened.data(), dvectors.data(),
                      gradient);
  return loss * scale;
}

double sampled_encoder_loss(const Context& context, const EncoderWeights& weights,
                            std::span<const float> mask, std::span<const float> whitened,
                            const EncoderBatch& batch, std::span<const std::uint32_t> targets,
                            std::span<const std::uint32_t> negatives, float dropout,
                            std::uint64_t seed, EncoderTape& tape, EncoderWeights& gradient,
                            std::vector<std::uint32_t>& rows) {
  const std::size_t d = weights.shape.width;
  const std::size_t z = weights.shape.whitened_width;
  rows.assign(batch.items.begin(), batch.items.end());
  std::ranges::copy_if(targets, std::back_inserter(rows),
                       [](std::uint32_t row) { return row != kNoTarget; });
  rows.insert(rows.end(), negatives.begin(), negatives.end());
  std::ranges::sort(rows);
  rows.erase(std::ranges::unique(rows).begin(), rows.end());
  // From here on an item is where it stands in `rows`.
  const auto position = [&](std::uint32_t row) {
    return static_cast<std::uint32_t>(std::ranges::lower_bound(rows, row) - rows.begin());
  };
  EncoderBatch near = batch;
  std::ranges::transform(batch.items, near.items.begin(), position);
  std::vector<float> near_mask(rows.size());
  std::vector<float> near_whitened(rows.size() * z);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    near_mask[i] = mask[rows[i]];
    std::copy_n(whitened.data() + rows[i] * z, z, near_whitened.data() + i * z);
  }
  std::vector<float> vectors(rows.size() * d);
  item_tower(context, weights, rows, near_mask.data(), near_whitened.data(), vectors.data());
  encode(context, weights, vectors.data(), near, dropout, seed, tape);
  const Questions questions = find_questions(targets, tape.states);
  const std::size_t count = questions.wanted.size();
  if (count == 0) return 0;

  const std::size_t k = negatives.size();
  std::vector<float> drawn(k * d);
  for (std::size_t j = 0; j < k; ++j) {
    std::copy_n(vectors.data() + position(negatives[j]) * d, d, drawn.data() + j * d);
  }
  std::vector<float> ddrawn(drawn.size());
  std::vector<float> dstates(count * d);
  std::vector<float> dvectors(vectors.size());
  const std::size_t tile = logit_rows(k + 1);
  std::vector<float> logits(std::min(tile, count) * (k + 1));  // the target first
  const std::vector<std::uint32_t> first(std::min(tile, count), 0);
  const float stands_for =
      std::log(static_cast<float>(weights.shape.items) / static_cast<float>(k));
  const float scale = 1 / static_cast<float>(count);
  double loss = 0;
  for (std::size_t begin = 0; begin < count; begin += tile) {
    const std::size_t n = std::min(tile, count - begin);
    const float* h = questions.states.data() + begin * d;
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, k, d, 1, h, d, drawn.data(), d, 0,
              logits.data() + 1, k + 1);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t wanted = questions.wanted[begin + i];
      float* row = logits.data() + i * (k + 1);
      row[0] = ops::dot(d, h + i * d, vectors.data() + position(wanted) * d);
      for (std::size_t j = 0; j < k; ++j) {
        row[1 + j] = negatives[j] == wanted ? -std::numeric_limits<float>::infinity()
                                            : row[1 + j] + stands_for;
      }
    }
    loss += ops::softmax_cross_entropy(context, n, k + 1, logits.data(), first.data(), scale);
    float* dh = dstates.data() + begin * d;
    ops::gemm(context, Transpose::kNo, Transpose::kNo, n, d, k, 1, logits.data() + 1, k + 1,
              drawn.data(), d, 0, dh, d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, k, d, n, 1, logits.data() + 1, k + 1, h, d,
              1, ddrawn.data(), d);
    for (std::size_t i = 0; i < n; ++i) {
      const float dlogit = logits[i * (k + 1)];
      const std::size_t target = position(questions.wanted[begin + i]) * d;
      for (std::size_t c = 0; c < d; ++c) {
        dh[i * d + c] += dlogit * vectors[target + c];
        dvectors[target + c] += dlogit * h[i * d + c];
      }
    }
  }
  for (std::size_t j = 0; j < k; ++j) {
    const std::size_t at = position(negatives[j]) * d;
    for (std::size_t c = 0; c < d; ++c) dvectors[at + c] += ddrawn[j * d + c];
  }
  encode_backward(context, weights, near, tape,
                  spread(questions, dstates, batch.tokens(), d).data(), gradient, dvectors.data());
  item_tower_backward(context, weights, rows, near_mask.data(), near_whitened.data(),
                      dvectors.data(), gradient);
  return loss * scale;
}

}  // namespace fovea::ranking
