// How the fused scorer cuts its work and lays out its memory: tiles, the bank of items, fragments
// of the matrix unit, shared memory, buckets of shapes. Index arithmetic only, the same functions
// on the host and on the device, so that host tests prove what a kernel will read and write.
// Legend: L behaviours, N candidates, D channels, H heads, K text channels, F features; X' is X
// padded.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define FOVEA_BOTH __host__ __device__
#else
#define FOVEA_BOTH
#endif
// Arrays that shall be registers are indexed by constants only.
#ifdef __CUDA_ARCH__
#define FOVEA_UNROLL _Pragma("unroll")
#else
#define FOVEA_UNROLL
#endif

namespace fovea::ranking::scorer {

inline constexpr unsigned kTile = 128;  // candidates of one user that a block scores together
inline constexpr unsigned kWarps = 8;   // of a block: 4 groups of candidates x 2 of behaviours
inline constexpr unsigned kThreads = 32 * kWarps;
inline constexpr unsigned kWarpCandidates = 32;
inline constexpr unsigned kLaneRows = 4;   // candidates that a lane holds sums of
inline constexpr unsigned kChannels = 32;  // a part of a bank row is a multiple of these
inline constexpr unsigned kHeadsMax = 8;
inline constexpr unsigned kFeaturesMax = 32;  // 12 scalar features, 8 heads, padded
inline constexpr unsigned kOutputs = 64;      // of the second layer that are computed together
inline constexpr unsigned kSlab = 256;        // hidden units whose weights are in shared memory

FOVEA_BOTH constexpr std::size_t round_up(std::size_t n, std::size_t step) {
  return (n + step - 1) / step * step;
}

/// The kernels are compiled for 2, 4 and 8 heads; what is missing has keys of zero. 0: too many.
FOVEA_BOTH constexpr unsigned padded_heads(std::size_t heads) {
  return heads <= 2 ? 2 : heads <= 4 ? 4 : heads <= kHeadsMax ? 8 : 0;
}

/// Columns of 8 behaviours that a warp computes together: what its registers hold.
FOVEA_BOTH constexpr unsigned column_blocks(unsigned heads) { return heads <= 2 ? 2 : 1; }

/// One item in the bank: [key as each head sees it, H' x D' | unit vector, D' | text, K']. As a
/// behaviour an item is read whole, as a candidate from `candidate()` on.
struct BankShape {
  unsigned heads = 0;       // H'
  unsigned width = 0;       // D'
  unsigned text_width = 0;  // K'

  FOVEA_BOTH constexpr unsigned candidate() const { return heads * width; }
  FOVEA_BOTH constexpr unsigned candidate_width() const { return width + text_width; }
  FOVEA_BOTH constexpr unsigned row() const { return candidate() + candidate_width(); }
};

FOVEA_BOTH constexpr BankShape bank_shape(std::size_t width, std::size_t heads,
                                          std::size_t text_width) {
  return {padded_heads(heads), static_cast<unsigned>(round_up(width, kChannels)),
          static_cast<unsigned>(round_up(text_width, kChannels))};
}

/// Candidates [first, first + kTile) of one user.
struct Tile {
  std::uint32_t user = 0;
  std::uint32_t first = 0;
};

FOVEA_BOTH constexpr std::uint32_t tiles_of(std::size_t candidates) {
  return static_cast<std::uint32_t>((candidates + kTile - 1) / kTile);
}

/// Which of `work` equal pieces block `block` of `blocks` does: one run, so that a user's tiles
/// meet in a block and its keys stay; no run is more than one longer than another.
struct TileRun {
  std::uint32_t begin, end;
};
FOVEA_BOTH constexpr TileRun run_of(std::uint32_t work, std::uint32_t block, std::uint32_t blocks) {
  const std::uint32_t each = work / blocks;
  const std::uint32_t longer = work % blocks;
  const std::uint32_t begin = block * each + (block < longer ? block : longer);
  return {begin, begin + each + (block < longer ? 1 : 0)};
}

// Where a lane's numbers stand in a warp's 32 candidates and its blocks of 8 behaviours. This is
// the fragment of a 16 x 8 result of mma.sync: two rows, two columns.

/// Row of a lane's sums number r < kLaneRows, among the warp's 32.
FOVEA_BOTH constexpr unsigned lane_row(unsigned lane, unsigned r) { return lane / 4 + 8 * r; }
/// Column of value i < 4 of a fragment, among 8; its row is lane_row(lane, 2 * half + i / 2).
FOVEA_BOTH constexpr unsigned lane_column(unsigned lane, unsigned i) {
  return 2 * (lane % 4) + i % 2;
}

/// Both factors of a product read their channels in one order of our choice, as sums do not mind:
/// of 32 channels, a lane takes 8 neighbours, 16 bytes. They are its factors of two steps of 16.
FOVEA_BOTH constexpr unsigned lane_channel(unsigned lane) { return 8 * (lane % 4); }
/// Channel of `lane` for step s < 2, register pair p < 2 (columns 2t and 2t + 8 of the
/// instruction), element e < 2.
FOVEA_BOTH constexpr unsigned step_channel(unsigned lane, unsigned s, unsigned p, unsigned e) {
  return lane_channel(lane) + 4 * s + 2 * p + e;
}

/// The first layer's results become factors of the second in the registers they are in. So the
/// second layer's weights stand in the order in which lanes hold hidden units: the unit at place
/// `place` of 32.
FOVEA_BOTH constexpr unsigned hidden_unit(unsigned place) {
  return place % 8 / 2 * 8 + 2 * (place / 8) + place % 2;
}

/// From row to row of what is staged. Two rows' 64 bytes are read at once by a quarter of a warp:
/// they fall on different banks where the stride is an odd multiple of 64.
FOVEA_BOTH constexpr std::size_t staged_stride(std::size_t bytes) {
  return bytes % 128 == 0 ? bytes + 64 : bytes;
}

/// Of a block's shared memory, in bytes. First candidates (and, when attention is done, sums on
/// their way and the MLP's weights), then behaviours, then features.
struct SharedPlan {
  bool staged = false;        // else factors are read where they lie
  std::uint32_t columns = 0;  // behaviours held at once, a multiple of those of a pass
  std::size_t candidate_stride = 0, behaviour_stride = 0, feature_stride = 0;
  std::size_t behaviours = 0;  // where they begin
  std::size_t features = 0;
  std::size_t linear = 0;  // [kTile] floats
  std::size_t state = 0;   // [D'] floats
  std::size_t bytes = 0;
};

/// Strides of the MLP's weights in shared memory, in numbers of 2 bytes.
inline constexpr std::size_t kHidden1Stride = staged_stride(2 * kFeaturesMax) / 2;
inline constexpr std::size_t kHidden2Stride = staged_stride(2 * kSlab) / 2;
inline constexpr std::size_t kMlpBytes =
    std::size_t{2} * (kSlab * kHidden1Stride + kOutputs * kHidden2Stride);
/// Floats of one candidate's sums on their way between warps.
FOVEA_BOTH constexpr unsigned sums_floats(unsigned heads) { return 2 * heads + 9; }

/// Behaviours that a block takes in one pass.
FOVEA_BOTH constexpr unsigned pass_columns(unsigned heads) { return 2 * 8 * column_blocks(heads); }

/// What fits into `limit` bytes, numbers of `size` bytes.
FOVEA_BOTH constexpr SharedPlan shared_plan(const BankShape& shape, std::size_t size,
                                            std::size_t limit) {
  SharedPlan plan;
  plan.candidate_stride = staged_stride(shape.candidate_width() * size);
  plan.behaviour_stride = staged_stride(shape.row() * size);
  plan.feature_stride = staged_stride(kFeaturesMax * size);
  const std::size_t tail =
      kTile * plan.feature_stride + kTile * sizeof(float) + shape.width * sizeof(float);
  const std::size_t sums = std::size_t{kTile} * sums_floats(shape.heads) * sizeof(float);
  std::size_t first = kMlpBytes > sums ? kMlpBytes : sums;
  const unsigned pass = pass_columns(shape.heads);
  const std::size_t candidates = kTile * plan.candidate_stride;
  const std::size_t with_candidates = candidates > first ? candidates : first;
  plan.staged = with_candidates + pass * plan.behaviour_stride + tail <= limit;
  if (plan.staged) {
    first = with_candidates;
    plan.columns =
        static_cast<std::uint32_t>((limit - first - tail) / plan.behaviour_stride / pass * pass);
  }
  plan.behaviours = first;
  plan.features = plan.behaviours + plan.columns * plan.behaviour_stride;
  plan.linear = plan.features + kTile * plan.feature_stride;
  plan.state = plan.linear + kTile * sizeof(float);
  plan.bytes = plan.state + shape.width * sizeof(float);
  return plan;
}

/// Sizes of one bucket share a captured graph: at least `bytes`, at most a quarter or 4 KB more,
/// and few different ones.
FOVEA_BOTH constexpr std::size_t bucket(std::size_t bytes) {
  std::size_t step = 4096;
  while (step * 8 <= bytes) step *= 2;
  return bytes == 0 ? 0 : round_up(bytes, step);
}

}  // namespace fovea::ranking::scorer
