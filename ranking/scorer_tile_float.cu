// The fused kernel in float: see scorer_tile.cuh.
#include "ranking/scorer_tile.cuh"

namespace fovea::ranking::scorer {

cudaError_t prepare_tiles(const TileArguments<float>& arguments) { return prepare(arguments); }

void score_tiles(cudaStream_t stream, unsigned blocks, const TileArguments<float>& arguments) {
  launch(stream, blocks, arguments);
}

}  // namespace fovea::ranking::scorer
