// What the scorer's kernels are called with, and the calls; private to scorer_*.cu. The functions
// queue work and return; errors surface at the next wait.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "ranking/scorer_formula.h"
#include "ranking/scorer_pack.h"
#include "ranking/scorer_pairs.h"
#include "ranking/scorer_tile.h"

namespace fovea::ranking::scorer {

/// What lies between the kernels of a call.
struct Scratch {
  std::uint32_t* bits;  // cleared first
  PairValues* pairs;    // written where a bit is
  long long* earlier;   // [candidates], cleared first; to_fixed()
  float* scores;        // [candidates]
  ScorerBest* best;     // [B, n], best first; rows of kNoRow after the last
};

struct PairArguments {
  const std::byte* block;
  std::uint32_t items;
  PairsView transitions, since, ease;
  Scratch scratch;
};

template <typename Number>
struct TileArguments {
  const std::byte* block;
  std::uint32_t items;
  const Number* bank;           // [items + 1, shape.row()], the last of zeros
  const float* lengths;         // [items + 1]
  const float* log_popularity;  // [items + 1]
  BankShape shape;
  SharedPlan plan;
  Mlp<Number> mlp;
  RankerConstants constants;
  Scratch scratch;
};

/// Where something was retrieved; before everything else.
void gather_retrieved(cudaStream_t stream, unsigned blocks, std::byte* block);
void find_pairs(cudaStream_t stream, unsigned blocks, const PairArguments& arguments);
/// Allows the kernel its shared memory; once before it is first queued or captured.
cudaError_t prepare_tiles(const TileArguments<float>& arguments);
cudaError_t prepare_tiles(const TileArguments<__nv_bfloat16>& arguments);
void score_tiles(cudaStream_t stream, unsigned blocks, const TileArguments<float>& arguments);
void score_tiles(cudaStream_t stream, unsigned blocks,
                 const TileArguments<__nv_bfloat16>& arguments);
void take_best(cudaStream_t stream, unsigned blocks, const std::byte* block,
               const Scratch& scratch);

}  // namespace fovea::ranking::scorer
