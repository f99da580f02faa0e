// The item tower and the user encoder, forward and backward, written once over ops.
//   item      e_i = m_i E_i + W z_i
//   behaviour x_t = LayerNorm(sqrt(D) e_item + position + action + gap)
//   user      two causal pre-norm blocks of self-attention and feed-forward (SASRec: arXiv
//   1808.09781), LayerNorm
//   by option x + sigmoid(G x + g) * branch(x) in place of x + branch(x), and a learned bias per
//   head for how many behaviours and how much time lie between two of them
// Legend: T behaviours of all sequences one after another, S sequences, L longest, D channels, H
// heads, V items, Z whitened text channels. Ragged: no padding is stored or computed. Item vectors
// come in as an array, so that training (all of them, from this batch's weights) and serving (the
// few that matter) share the code. Weights, tapes and arrays lie in the memory of the context that
// they are used with; batches are the host's.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ranking/array.h"
#include "ranking/context.h"
#include "ranking/gap_bucket.h"
#include "ranking/index_lists.h"
#include "ranking/interactions.h"
#include "ranking/tensor.h"
#include "ranking/weights.h"

namespace fovea::ranking {

struct EncoderShape {
  std::size_t width = 64;           // D
  std::size_t heads = 2;            // H
  std::size_t behaviours_max = 50;  // L
  std::size_t items = 0;            // V
  std::size_t whitened_width = 0;   // Z
  std::size_t actions = 1;          // with 0, "none"
  /// A sigmoid gate per channel on what each branch adds, read from the residual stream: the output
  /// gate of GTrXL (arXiv 1910.06764), which LiGR (arXiv 2502.03417) ranks with.
  bool gates = false;
  /// A bias on the logits of attention for the distance of two behaviours in the sequence and in
  /// time (HSTU, arXiv 2402.17152; there shared by the heads).
  bool relative_bias = false;
};

/// Everything that is learned of the encoder; also the shape of its gradient and of Adam's moments.
struct EncoderWeights {
  static constexpr std::size_t kBlocks = 2;

  struct Block {
    Tensor norm1_gain, norm1_bias;   // [D]
    Tensor qkv, qkv_bias;            // [3D, D], [3D]
    Tensor out, out_bias;            // [D, D], [D]
    Tensor norm2_gain, norm2_bias;   // [D]
    Tensor expand, expand_bias;      // [4D, D], [4D]
    Tensor contract, contract_bias;  // [D, 4D], [D]
    Tensor gate1, gate1_bias;        // [D, D], [D], of attention; empty without gates
    Tensor gate2, gate2_bias;        // the same of feed-forward
    Tensor age_bias;                 // [H, L], by behaviours between; empty without relative_bias
    Tensor gap_bias;                 // [H, kGapBuckets], by time between; the same
  };

  EncoderWeights() = default;
  /// All zero.
  explicit EncoderWeights(const EncoderShape& shape);
  /// Normal with deviation .02, gains 1, biases 0.
  static EncoderWeights random(const EncoderShape& shape, std::uint64_t seed);

  EncoderShape shape;
  Tensor items;                       // [V, D]
  Tensor text;                        // W [D, Z]
  Tensor positions;                   // [L, D], from the first behaviour of the sequence
  Tensor actions;                     // [A, D]
  Tensor gaps;                        // [kGapBuckets, D], time since the behaviour before
  Tensor norm_in_gain, norm_in_bias;  // [D]
  std::array<Block, kBlocks> blocks;
  Tensor norm_out_gain, norm_out_bias;  // [D]

  /// Each array with its name, in a fixed order; arrays of options that are off are not among them.
  std::vector<std::pair<std::string, Tensor*>> tensors();
  std::vector<std::pair<std::string, const Tensor*>> tensors() const;

  /// Not learned: m_i in serving, 1 for an item that some training behaviour touches. [V], the
  /// host's.
  std::vector<float> learned;

  /// The same in the context's memory.
  EncoderWeights to(const Context& context) const;
  /// What encode() reads: without the item tower, whose size is the catalogue's.
  EncoderWeights for_states() const;

  void save(Weights& weights) const;  ///< Arrays "encoder.*".
  static EncoderWeights load(const Weights& weights);
};

/// A ragged batch of sequences as the encoder reads them. Sequences longer than L are the caller's
/// to cut.
struct EncoderBatch {
  std::vector<std::uint32_t> offsets = {0};  // [S + 1]
  std::vector<std::uint32_t> items;          // [T], row in the array of item vectors
  std::vector<std::uint16_t> actions;        // [T]
  std::vector<std::uint8_t> gaps;            // [T], gap_bucket()
  std::vector<std::int64_t> times_ms;        // [T]; read with relative_bias only

  std::size_t tokens() const { return items.size(); }
  std::size_t sequences() const { return offsets.size() - 1; }
  /// Adds one sequence, oldest first; `rows` says where each behaviour's item stands in the item
  /// vectors.
  void add(std::span<const Behaviour> behaviours, std::span<const std::uint32_t> rows);
};

/// What forward leaves behind for backward.
struct EncoderTape {
  struct Block {
    Tensor input, normal1, mean1, rstd1, qkv, attended, probabilities;
    Tensor middle, normal2, mean2, rstd2, expanded, dropped;
    Tensor gate1, branch1, gate2, branch2;  // [T, D], with gates
  };
  Tensor embedded, mean_in, rstd_in;
  std::array<Block, EncoderWeights::kBlocks> blocks;
  IndexLists lists;  // what the batch looks up: `sequences` and
  IndexLists::SequenceLists sequences = {};
  Array<std::uint8_t> pair_gaps;  // with relative_bias: a block [n, n] for each sequence
  Tensor last, mean_out, rstd_out;
  Tensor states;  // [T, D], the result: a user state after every behaviour
  float dropout = 0;
  std::uint64_t seed = 0;
};

/// Fills `tape`; tape.states is the result. `item_vectors` [*, D]. dropout 0 for inference. States
/// before token `from` are not asked for, and the last block leaves out what only they need; for
/// encode_backward, 0.
void encode(const Context& context, const EncoderWeights& weights, const float* item_vectors,
            const EncoderBatch& batch, float dropout, std::uint64_t seed, EncoderTape& tape,
            std::size_t from = 0);

/// Adds to the gradients of the weights (not of items and text: those follow from `ditem_vectors`
/// [*, D], which is added to) what `dstates` [T, D] implies.
void encode_backward(const Context& context, const EncoderWeights& weights,
                     const EncoderBatch& batch, const EncoderTape& tape, const float* dstates,
                     EncoderWeights& gradient, float* ditem_vectors);

/// e [n, D] = mask_i E_row(i) + W z_i for `rows` [n], null: 0 .. n - 1; mask [n], whitened [n, Z].
void item_tower(const Context& context, const EncoderWeights& weights, std::size_t n,
                const std::uint32_t* rows, const float* mask, const float* whitened, float* out);
/// Adds to gradient.items and gradient.text; no row comes twice.
void item_tower_backward(const Context& context, const EncoderWeights& weights, std::size_t n,
                         const std::uint32_t* rows, const float* mask, const float* whitened,
                         const float* dvectors, EncoderWeights& gradient);

}  // namespace fovea::ranking
