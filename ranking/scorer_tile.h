// What one lane computes of a tile: 32 candidates and some behaviours a warp, four candidates and
// two behaviours in eight a lane. Products in float are here too; those of the matrix unit are in
// scorer_tile.cuh. The same functions on the host and on the device: a host emulation walks lanes
// one after another. Legend: H heads, L behaviours, N candidates.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

#include <cstddef>
#include <cstdint>

#include "ranking/scorer_formula.h"
#include "ranking/scorer_layout.h"
#include "ranking/scorer_pack.h"

namespace fovea::ranking::scorer {

/// Products of a lane's candidates and behaviours in one pass, as fragments: heads' query and key,
/// cosine of learned vectors, cosine of texts.
template <unsigned H>
struct Products {
  static constexpr unsigned kBlocks = column_blocks(H);
  float at[H + 2][2][kBlocks][4];

  FOVEA_BOTH void clear() {
    FOVEA_UNROLL
    for (unsigned g = 0; g < H + 2; ++g) {
      FOVEA_UNROLL
      for (unsigned m = 0; m < 2; ++m) {
        FOVEA_UNROLL
        for (unsigned n = 0; n < kBlocks; ++n) {
          FOVEA_UNROLL
          for (unsigned i = 0; i < 4; ++i) at[g][m][n][i] = 0;
        }
      }
    }
  }
  /// Of the lane's row r < kLaneRows and column c < 2 * kBlocks.
  FOVEA_BOTH float& of(unsigned g, unsigned r, unsigned c) {
    return at[g][r / 2][c / 2][2 * (r % 2) + c % 2];
  }
};

/// Column c < 2 * kBlocks of a lane among those of its warp's pass.
FOVEA_BOTH constexpr unsigned pass_column(unsigned lane, unsigned c) {
  return 8 * (c / 2) + lane_column(lane, c % 2);
}

/// First behaviour of a warp in a pass that begins at `first`: half of the warps take the second
/// half.
FOVEA_BOTH constexpr unsigned warp_column(unsigned heads, unsigned warp) {
  return warp / 4 * 8 * column_blocks(heads);
}
/// First candidate of a warp in the tile.
FOVEA_BOTH constexpr unsigned warp_candidate(unsigned warp) { return warp % 4 * kWarpCandidates; }

/// The row of the bank behind candidate i of a tile of `count`; the row of zeros for none.
FOVEA_BOTH inline std::uint32_t bank_row(const std::uint32_t* rows, std::uint32_t i,
                                         std::uint32_t count, std::uint32_t items) {
  return i < count && rows[i] < items ? rows[i] : items;
}

/// All products of a pass in float. `a` points to the lane's candidates (unit vector, text), `b` to
/// its columns' whole rows.
template <unsigned H>
FOVEA_BOTH void multiply(const BankShape& shape, const float* const (&a)[kLaneRows],
                         const float* const (&b)[2 * column_blocks(H)], Products<H>& products) {
  products.clear();
  for (unsigned d = 0; d < shape.width; ++d) {
    FOVEA_UNROLL
    for (unsigned c = 0; c < 2 * column_blocks(H); ++c) {
      FOVEA_UNROLL
      for (unsigned g = 0; g <= H; ++g) {
        const float of_behaviour = b[c][g * shape.width + d];
        FOVEA_UNROLL
        for (unsigned r = 0; r < kLaneRows; ++r) products.of(g, r, c) += a[r][d] * of_behaviour;
      }
    }
  }
  for (unsigned k = 0; k < shape.text_width; ++k) {
    FOVEA_UNROLL
    for (unsigned c = 0; c < 2 * column_blocks(H); ++c) {
      const float of_behaviour = b[c][shape.candidate() + shape.width + k];
      FOVEA_UNROLL
      for (unsigned r = 0; r < kLaneRows; ++r) {
        products.of(H + 1, r, c) += a[r][shape.width + k] * of_behaviour;
      }
    }
  }
}

#ifdef __CUDACC__
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
#endif
FOVEA_BOTH inline float to_float(float value) { return value; }

/// Of a candidate's unit vector and the user's state. Neighbouring lanes begin at different parts
/// of their rows: those stand in the same banks of shared memory.
template <typename Number>
FOVEA_BOTH float inner_product(const Number* unit, const float* state, unsigned width,
                               unsigned lane) {
  constexpr unsigned kPart = 16 / sizeof(Number);
  const unsigned parts = width / kPart;
  float sum = 0;
  for (unsigned p = 0; p < parts; ++p) {
    const unsigned first = (p + lane) % parts * kPart;
    FOVEA_UNROLL
    for (unsigned i = 0; i < kPart; ++i) sum += to_float(unit[first + i]) * state[first + i];
  }
  return sum;
}

/// Reads what scorer_pairs.h wrote of one user.
struct PairReader {
  const std::uint32_t* bits;  // [N, words]
  const PairValues* pairs;    // [N, L]
  std::uint32_t words, behaviours;

  FOVEA_BOTH bool read(std::uint32_t candidate, std::uint32_t j, PairValues& pair) const {
    if ((bits[std::size_t{candidate} * words + j / 32] >> (j % 32) & 1) == 0) return false;
    pair = pairs[std::size_t{candidate} * behaviours + j];
    return true;
  }
};

/// Adds a pass to the lane's sums. `first` is the warp's first behaviour; `lengths` and
/// `candidates` (of the user, each below N) are of the lane's rows.
template <unsigned H>
FOVEA_BOTH void add_pass(const RankerConstants& constants, const BehaviourTerms* behaviours,
                         std::uint32_t count, unsigned lane, unsigned first,
                         const float (&lengths)[kLaneRows],
                         const std::uint32_t (&candidates)[kLaneRows], const PairReader& reader,
                         Products<H>& products, Sums<H> (&sums)[kLaneRows]) {
  constexpr unsigned kColumns = 2 * column_blocks(H);
  FOVEA_UNROLL
  for (unsigned r = 0; r < kLaneRows; ++r) {
    FOVEA_UNROLL
    for (unsigned c = 0; c < kColumns; ++c) {
      const unsigned j = first + pass_column(lane, c);
      if (j < count) {
        PairValues pair;
        float log_transition = constants.log_floor;
        if (reader.read(candidates[r], j, pair)) {
          log_transition = logf(pair.transition + constants.floor);
        }
        const float vectors = products.of(H, r, c);
        const float text = products.of(H + 1, r, c);
        add_features(sums[r], constants, count - 1 - j, text, vectors, pair, behaviours[j]);
        FOVEA_UNROLL
        for (unsigned h = 0; h < H; ++h) {
          products.of(h, r, c) =
              products.of(h, r, c) * lengths[r] +
              pair_logit(constants, h, text, vectors, log_transition, pair, behaviours[j]);
        }
      } else {
        FOVEA_UNROLL
        for (unsigned h = 0; h < H; ++h) products.of(h, r, c) = kNothing;
      }
    }
    FOVEA_UNROLL
    for (unsigned h = 0; h < H; ++h) {
      float logits[kColumns];
      FOVEA_UNROLL
      for (unsigned c = 0; c < kColumns; ++c) logits[c] = products.of(h, r, c);
      add_logits(sums[r], h, logits);
    }
  }
}

/// Adds what one source says of one pair; `set_bit` sets a bit and says whether it was set before.
/// A behaviour's pairs are written by one warp, matrix after matrix.
template <typename SetBit>
FOVEA_BOTH void add_pair(PairValues* pairs, std::uint32_t words, std::uint32_t behaviours,
                         std::uint32_t candidate, std::uint32_t j, const PairValues& values,
                         const SetBit& set_bit) {
  PairValues& pair = pairs[std::size_t{candidate} * behaviours + j];
  if (set_bit(std::size_t{candidate} * words + j / 32, 1U << (j % 32))) {
    pair.transition += values.transition;
    pair.ease += values.ease;
  } else {
    pair = values;
  }
}

}  // namespace fovea::ranking::scorer
