// The fused kernel in bfloat16: see scorer_tile.cuh.
#include "ranking/scorer_tile.cuh"

namespace fovea::ranking::scorer {

cudaError_t prepare_tiles(const TileArguments<__nv_bfloat16>& arguments) {
  return prepare(arguments);
}

void score_tiles(cudaStream_t stream, unsigned blocks,
                 const TileArguments<__nv_bfloat16>& arguments) {
  launch(stream, blocks, arguments);
}

}  // namespace fovea::ranking::scorer
