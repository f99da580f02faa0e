// See encoder_loss.h.
#include "ranking/encoder_loss.h"

#include <algorithm>
#include <cmath>

#include "ranking/ops.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

// Tokens that have a target, and what it is.
struct Questions {
  std::vector<std::uint32_t> tokens;  // [n]
  std::vector<std::uint32_t> wanted;  // [n]

  explicit Questions(std::span<const std::uint32_t> targets) {
    for (std::uint32_t t = 0; t < targets.size(); ++t) {
      if (targets[t] == kNoTarget) continue;
      tokens.push_back(t);
      wanted.push_back(targets[t]);
    }
  }
};

// Gradients of the questions' states [n, D] as those of all tokens' [T, D].
Tensor spread(const Context& context, std::size_t tokens, std::size_t questions,
              const std::uint32_t* token_of, const Tensor& from) {
  Tensor to(context, {tokens, from.columns()});
  ops::copy_rows(context, questions, from.columns(), nullptr, from.data(), token_of, to.data());
  return to;
}

}  // namespace

std::size_t logit_rows(const Context& context, std::size_t items) {
  const Context::Tile tile = context.tile();
  return std::clamp<std::size_t>(tile.floats / std::max<std::size_t>(items, 1), 16, tile.rows_max);
}

double encoder_loss(const Context& context, const EncoderWeights& weights, const float* mask,
                    const float* whitened, const EncoderBatch& batch,
                    std::span<const std::uint32_t> targets, float dropout, std::uint64_t seed,
                    EncoderTape& tape, EncoderWeights& gradient) {
  const std::size_t d = weights.shape.width;
  const std::size_t items = weights.shape.items;
  Tensor vectors(context, {items, d});
  item_tower(context, weights, items, nullptr, mask, whitened, vectors.data());
  encode(context, weights, vectors.data(), batch, dropout, seed, tape);
  const Questions questions(targets);
  const std::size_t count = questions.wanted.size();
  if (count == 0) return 0;
  IndexLists lists;
  const auto tokens = lists.add(questions.tokens);
  const auto wanted = lists.add(questions.wanted);
  lists.place(context);
  Tensor states(context, {count, d});
  ops::copy_rows(context, count, d, lists.at(tokens), tape.states.data(), nullptr, states.data());

  Tensor dstates(context, {count, d});
  Tensor dvectors(context, {items, d});
  const std::size_t tile = logit_rows(context, items);
  Tensor logits(context, {std::min(tile, count), items});
  Array<double> loss(context, 1);
  const float scale = 1 / static_cast<float>(count);
  for (std::size_t begin = 0; begin < count; begin += tile) {
    const std::size_t n = std::min(tile, count - begin);
    const float* h = states.row(begin);
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, items, d, 1, h, d, vectors.data(), d, 0,
              logits.data(), items);
    ops::softmax_cross_entropy(context, n, items, logits.data(), lists.at(wanted) + begin, scale,
                               loss.data());
    ops::gemm(context, Transpose::kNo, Transpose::kNo, n, d, items, 1, logits.data(), items,
              vectors.data(), d, 0, dstates.row(begin), d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, items, d, n, 1, logits.data(), items, h, d,
              1, dvectors.data(), d);
  }
  const Tensor dtokens = spread(context, batch.tokens(), count, lists.at(tokens), dstates);
  encode_backward(context, weights, batch, tape, dtokens.data(), gradient, dvectors.data());
  item_tower_backward(context, weights, items, nullptr, mask, whitened, dvectors.data(), gradient);
  return loss.read().front() * scale;
}

double sampled_encoder_loss(const Context& context, const EncoderWeights& weights,
                            const float* mask, const float* whitened, const EncoderBatch& batch,
                            std::span<const std::uint32_t> targets,
                            std::span<const std::uint32_t> negatives, float dropout,
                            std::uint64_t seed, EncoderTape& tape, EncoderWeights& gradient,
                            std::vector<std::uint32_t>& rows) {
  const std::size_t d = weights.shape.width;
  const std::size_t z = weights.shape.whitened_width;
  Questions questions(targets);
  const std::size_t count = questions.wanted.size();
  rows.assign(batch.items.begin(), batch.items.end());
  rows.insert(rows.end(), questions.wanted.begin(), questions.wanted.end());
  rows.insert(rows.end(), negatives.begin(), negatives.end());
  std::ranges::sort(rows);
  rows.erase(std::ranges::unique(rows).begin(), rows.end());
  // From here on an item is where it stands in `rows`.
  const auto position = [&](std::uint32_t row) {
    return static_cast<std::uint32_t>(std::ranges::lower_bound(rows, row) - rows.begin());
  };
  EncoderBatch near = batch;
  std::ranges::transform(batch.items, near.items.begin(), position);
  std::ranges::transform(questions.wanted, questions.wanted.begin(), position);
  std::vector<std::uint32_t> drawn_rows(negatives.size());
  std::ranges::transform(negatives, drawn_rows.begin(), position);
  IndexLists lists;
  const auto near_rows = lists.add(rows);
  const auto tokens = lists.add(questions.tokens);
  const auto wanted = lists.add(questions.wanted);
  const auto drawn_at = lists.add(drawn_rows);
  const auto by_target = lists.add_segments(questions.wanted);
  const auto by_drawn = lists.add_segments(drawn_rows);
  // Of a tile's logits: the target's column, which is each row's first, and where those lie.
  const std::size_t k = negatives.size();
  const std::size_t tile = logit_rows(context, k + 1);
  std::vector<std::uint32_t> row_starts(std::min(tile, count));
  for (std::size_t i = 0; i < row_starts.size(); ++i) {
    row_starts[i] = static_cast<std::uint32_t>(i * (k + 1));
  }
  const auto target_cells = lists.add(row_starts);
  const auto first = lists.add(std::vector<std::uint32_t>(row_starts.size(), 0));
  lists.place(context);

  Tensor near_mask(context, {rows.size(), 1});
  Tensor near_whitened(context, {rows.size(), z});
  ops::copy_rows(context, rows.size(), 1, lists.at(near_rows), mask, nullptr, near_mask.data());
  ops::copy_rows(context, rows.size(), z, lists.at(near_rows), whitened, nullptr,
                 near_whitened.data());
  Tensor vectors(context, {rows.size(), d});
  item_tower(context, weights, rows.size(), lists.at(near_rows), near_mask.data(),
             near_whitened.data(), vectors.data());
  encode(context, weights, vectors.data(), near, dropout, seed, tape);
  if (count == 0) return 0;
  Tensor states(context, {count, d});
  ops::copy_rows(context, count, d, lists.at(tokens), tape.states.data(), nullptr, states.data());

  Tensor drawn(context, {k, d});
  ops::copy_rows(context, k, d, lists.at(drawn_at), vectors.data(), nullptr, drawn.data());
  Tensor ddrawn(context, {k, d});
  Tensor dstates(context, {count, d});
  Tensor dvectors(context, {rows.size(), d});
  Tensor dtargets(context, {count, 1});
  Tensor logits(context, {row_starts.size(), k + 1});  // the target first
  Array<double> loss(context, 1);
  const float stands_for =
      std::log(static_cast<float>(weights.shape.items) / static_cast<float>(k));
  const float scale = 1 / static_cast<float>(count);
  for (std::size_t begin = 0; begin < count; begin += tile) {
    const std::size_t n = std::min(tile, count - begin);
    const float* h = states.row(begin);
    const std::uint32_t* targets_at = lists.at(wanted) + begin;
    ops::gemm(context, Transpose::kNo, Transpose::kYes, n, k, d, 1, h, d, drawn.data(), d, 0,
              logits.data() + 1, k + 1);
    ops::sampled_logits(context, n, k, d, h, vectors.data(), targets_at, lists.at(drawn_at),
                        stands_for, logits.data());
    ops::softmax_cross_entropy(context, n, k + 1, logits.data(), lists.at(first), scale,
                               loss.data());
    ops::gemm(context, Transpose::kNo, Transpose::kNo, n, d, k, 1, logits.data() + 1, k + 1,
              drawn.data(), d, 0, dstates.row(begin), d);
    ops::gemm(context, Transpose::kYes, Transpose::kNo, k, d, n, 1, logits.data() + 1, k + 1, h, d,
              1, ddrawn.data(), d);
    ops::add_rows(context, n, d, logits.data(), k + 1, targets_at, vectors.data(),
                  dstates.row(begin));
    ops::copy_rows(context, n, 1, lists.at(target_cells), logits.data(), nullptr,
                   dtargets.row(begin));
  }
  ops::add_segments(context, lists.at(by_target), d, 1, dtargets.data(), states.data(),
                    dvectors.data());
  ops::add_segments(context, lists.at(by_drawn), d, 1, nullptr, ddrawn.data(), dvectors.data());
  const Tensor dtokens = spread(context, batch.tokens(), count, lists.at(tokens), dstates);
  encode_backward(context, weights, near, tape, dtokens.data(), gradient, dvectors.data());
  item_tower_backward(context, weights, rows.size(), lists.at(near_rows), near_mask.data(),
                      near_whitened.data(), dvectors.data(), gradient);
  return loss.read().front() * scale;
}

}  // namespace fovea::ranking
