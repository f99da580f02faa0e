// What the fused scorer is given, as the bytes that go to a device: items into a bank, weights into
// padded arrays, a batch of requests into one block that is uploaded whole. Host code; a host
// emulation reads the same bytes as the kernels. Legend: B users, L behaviours, N candidates, D
// channels, H heads, K text channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ranking/item_pairs.h"
#include "ranking/ranker.h"
#include "ranking/scorer.h"
#include "ranking/scorer_formula.h"
#include "ranking/scorer_pairs.h"

namespace fovea::ranking::scorer {

/// The nearest bfloat16, ties to even.
std::uint16_t to_bfloat16(float value);
float from_bfloat16(std::uint16_t value);

/// Items as rows of the bank (BankShape) and their lengths. The product of query and key is folded:
/// a row's keys are what each head's keys look like from the candidates' space, by
/// query_h^T key_h / sqrt(D/H). Shared read-only by threads.
class BankPacker {
 public:
  explicit BankPacker(const RankerWeights& weights);
  const BankShape& shape() const { return shape_; }
  /// `vectors` [n, D], `texts` [n, K] -> `rows` [n, shape().row()], `lengths` [n].
  void pack(const Context& context, std::span<const float> vectors, std::span<const float> texts,
            std::span<float> rows, std::span<float> lengths) const;

 private:
  BankShape shape_;
  std::size_t width_, text_width_;
  std::vector<Tensor> folded_;  // per head [D, D]
};

RankerConstants constants_of(const RankerWeights& weights);

/// The MLP, padded; weights as float.
struct PackedMlp {
  unsigned hidden1 = 0, hidden2 = 0;
  std::vector<float> weights1, bias1, weights2, bias2, out;
  Mlp<float> view() const;
};
/// The two layers may be of different widths: the second has as many units as `out` has entries.
PackedMlp pack_mlp(const RankerWeights& weights);
/// `weights2` [hidden2, hidden1] with the columns in the order of hidden_unit().
std::vector<float> in_order_of_units(const PackedMlp& mlp);

/// ItemPairs of a whole matrix as arrays, sources [0, items).
struct PackedPairs {
  std::vector<std::uint32_t> offsets = {0}, rows;
  std::vector<float> weights;
  PairsView view() const;
};
PackedPairs pack_pairs(const ItemPairs& pairs, std::uint32_t items);

/// One user of a batch; indices into the block's arrays and the scratch arrays.
struct User {
  std::uint32_t first_behaviour = 0, behaviours = 0;  // L
  std::uint32_t first_candidate = 0, candidates = 0;  // N
  std::uint32_t first_source = 0, sources = 0;        // E earlier ones of EASE, then the L
  std::uint32_t first_word = 0;                       // of bits, [N, bit_words(L)]
  float centre = 0;
  std::uint64_t first_pair = 0;  // [N, L]
};

/// Sources [first, first + kPairGroup) of one user.
struct PairGroup {
  std::uint32_t user = 0;
  std::uint32_t first = 0;
};

/// A source of pairs: its row, and whether EASE counts it.
struct Source {
  std::uint32_t row = 0;
  std::uint32_t positive = 0;
};

/// The block begins with this; offsets are bytes from its beginning. What was retrieved is gathered
/// behind what is uploaded (scorer_gather.h).
struct BlockHeader {
  std::uint32_t users = 0, tiles = 0, groups = 0, candidates = 0;
  std::uint32_t top = 0;  // n best of each user; 0: none
  std::uint32_t words = 0;
  std::uint64_t pairs = 0;
  std::uint64_t user_at = 0, tile_at = 0, group_at = 0, behaviour_at = 0, source_at = 0;
  std::uint64_t state_at = 0;      // [B, D'] floats
  std::uint64_t candidate_at = 0;  // [candidates] rows
  std::uint64_t given_at = 0;      // those of them that come from the host
  std::uint64_t size = 0;          // of the whole block
  std::uint64_t width = 0;         // D
  ScorerRetrieved retrieved;       // pointers are null where nothing was
};

/// The arrays of a block, wherever it lies.
struct BlockView {
  const BlockHeader* header;
  FOVEA_BOTH explicit BlockView(const std::byte* block)
      : header(reinterpret_cast<const BlockHeader*>(block)) {}
  template <typename T>
  FOVEA_BOTH const T* at(std::uint64_t offset) const {
    return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(header) + offset);
  }
  FOVEA_BOTH const User* users() const { return at<User>(header->user_at); }
  FOVEA_BOTH const Tile* tiles() const { return at<Tile>(header->tile_at); }
  FOVEA_BOTH const PairGroup* groups() const { return at<PairGroup>(header->group_at); }
  FOVEA_BOTH const BehaviourTerms* behaviours() const {
    return at<BehaviourTerms>(header->behaviour_at);
  }
  FOVEA_BOTH const Source* sources() const { return at<Source>(header->source_at); }
  FOVEA_BOTH const float* states() const { return at<float>(header->state_at); }
  FOVEA_BOTH const std::uint32_t* candidates() const {
    return at<std::uint32_t>(header->candidate_at);
  }
};

/// A batch as one block, or what is uploaded of it where something was retrieved. `items` is the
/// number of rows in the bank: a row at or beyond it is none, and reads the bank's last row, of
/// zeros. Throws std::invalid_argument where a request does not fit the weights or is too large.
std::vector<std::byte> pack_requests(const RankerWeights& weights, std::uint32_t items,
                                     std::span<const ScorerRequest> requests, std::uint32_t top,
                                     const ScorerRetrieved* retrieved);

}  // namespace fovea::ranking::scorer
