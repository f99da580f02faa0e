// Makes one list of a query's neighbours in main and its fresh ones, on the device. Private to
// index/. All of it but the kernel's launch is plain functions of a thread's number, which tests on
// the host call for one thread after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#ifdef __CUDACC__
#define FOVEA_HOST_DEVICE __host__ __device__
#else
#define FOVEA_HOST_DEVICE
#endif

struct CUstream_st;

namespace fovea::index {

/// Threads of one query's block.
inline constexpr std::size_t kMergeThreads = 256;
/// Neighbours that either side may bring.
inline constexpr std::size_t kMergeMax = 2048;

/// Device pointers of a whole batch. Lists are best first.
struct Merge {
  const std::int64_t* ids = nullptr;         ///< [batch, fetched]: numbers of main's vectors, or -1
  const float* scores = nullptr;             ///< [batch, fetched]
  std::size_t fetched = 0;                   ///< At most kMergeMax.
  const std::uint32_t* main_rows = nullptr;  ///< By number of vector.
  const std::uint32_t* removed = nullptr;    ///< Rows of main that must not return, ascending.
  std::size_t removed_count = 0;
  const std::int64_t* fresh_ids = nullptr;  ///< [batch, fresh_fetched], none of them -1
  const float* fresh_scores = nullptr;      ///< [batch, fresh_fetched]
  std::size_t fresh_fetched = 0;            ///< At most kMergeMax.
  const std::uint32_t* fresh_rows = nullptr;
  std::size_t k = 0;
  std::uint32_t no_row = 0;           ///< Stands after a list's end.
  std::uint32_t* rows_out = nullptr;  ///< [batch, k]
  float* scores_out = nullptr;        ///< [batch, k]
  /// [batch]: how many of main are left, at most k. Where more of main could be, fresh items stand
  /// in the places of those that were not asked for.
  std::uint32_t* found_out = nullptr;
};

/// What a block's threads share.
struct MergeShared {
  std::uint32_t kept_rows[kMergeMax];
  float kept_scores[kMergeMax];
  std::uint32_t sums[2][kMergeThreads];
};

/// Whether ascending `rows` hold `row`.
FOVEA_HOST_DEVICE inline bool holds(const std::uint32_t* rows, std::size_t count,
                                    std::uint32_t row) {
  std::size_t begin = 0;
  std::size_t end = count;
  while (begin < end) {
    const std::size_t middle = begin + (end - begin) / 2;
    if (rows[middle] < row) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin < count && rows[begin] == row;
}

/// How many of descending `scores` come before `score`: the greater ones, and with `equal` those of
/// the same value.
FOVEA_HOST_DEVICE inline std::size_t before(const float* scores, std::size_t count, float score,
                                            bool equal) {
  std::size_t begin = 0;
  std::size_t end = count;
  while (begin < end) {
    const std::size_t middle = begin + (end - begin) / 2;
    if (scores[middle] > score || (equal && scores[middle] == score)) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

/// Where the share of `thread` begins among `count` neighbours.
FOVEA_HOST_DEVICE inline std::size_t share(std::size_t count, std::size_t thread) {
  return count * thread / kMergeThreads;
}

FOVEA_HOST_DEVICE inline bool stays(const Merge& merge, std::int64_t id) {
  return id >= 0 && !holds(merge.removed, merge.removed_count, merge.main_rows[id]);
}

// The phases, in this order, with all threads of the block waiting for each other in between.

FOVEA_HOST_DEVICE inline void merge_count(const Merge& merge, MergeShared& shared,
                                          std::size_t query, std::size_t thread) {
  const std::int64_t* ids = merge.ids + query * merge.fetched;
  std::uint32_t count = 0;
  for (std::size_t i = share(merge.fetched, thread); i < share(merge.fetched, thread + 1); ++i) {
    count += stays(merge, ids[i]) ? 1 : 0;
  }
  shared.sums[0][thread] = count;
}

/// Step s of log2(kMergeThreads): sums over 2^s threads become sums over 2^(s+1).
FOVEA_HOST_DEVICE inline void merge_sum(MergeShared& shared, std::size_t step, std::size_t thread) {
  const std::uint32_t* from = shared.sums[step % 2];
  const std::size_t reach = std::size_t{1} << step;
  shared.sums[1 - step % 2][thread] = from[thread] + (thread >= reach ? from[thread - reach] : 0);
}
inline constexpr std::size_t kMergeSteps = 8;
static_assert(std::size_t{1} << kMergeSteps == kMergeThreads);

FOVEA_HOST_DEVICE inline void merge_keep(const Merge& merge, MergeShared& shared, std::size_t query,
                                         std::size_t thread) {
  const std::int64_t* ids = merge.ids + query * merge.fetched;
  const float* scores = merge.scores + query * merge.fetched;
  std::size_t place = thread == 0 ? 0 : shared.sums[kMergeSteps % 2][thread - 1];
  for (std::size_t i = share(merge.fetched, thread); i < share(merge.fetched, thread + 1); ++i) {
    if (!stays(merge, ids[i])) continue;
    shared.kept_rows[place] = merge.main_rows[ids[i]];
    shared.kept_scores[place] = scores[i];
    ++place;
  }
}

/// A neighbour's place is its place in its own list plus how many of the other list come before it.
/// Of equal scores main's come first.
FOVEA_HOST_DEVICE inline void merge_write(const Merge& merge, const MergeShared& shared,
                                          std::size_t query, std::size_t thread) {
  const std::size_t kept = shared.sums[kMergeSteps % 2][kMergeThreads - 1];
  const float* fresh_scores = merge.fresh_scores + query * merge.fresh_fetched;
  const std::int64_t* fresh_ids = merge.fresh_ids + query * merge.fresh_fetched;
  std::uint32_t* rows = merge.rows_out + query * merge.k;
  float* scores = merge.scores_out + query * merge.k;
  for (std::size_t i = thread; i < kept; i += kMergeThreads) {
    const float score = shared.kept_scores[i];
    const std::size_t place = i + before(fresh_scores, merge.fresh_fetched, score, false);
    if (place >= merge.k) continue;
    rows[place] = shared.kept_rows[i];
    scores[place] = score;
  }
  for (std::size_t i = thread; i < merge.fresh_fetched; i += kMergeThreads) {
    const std::size_t place = i + before(shared.kept_scores, kept, fresh_scores[i], true);
    if (place >= merge.k) continue;
    rows[place] = merge.fresh_rows[fresh_ids[i]];
    scores[place] = fresh_scores[i];
  }
  const std::size_t all = kept + merge.fresh_fetched;
  for (std::size_t i = all + thread; i < merge.k; i += kMergeThreads) {
    rows[i] = merge.no_row;
    scores[i] = -std::numeric_limits<float>::infinity();
  }
  if (thread == 0) {
    merge.found_out[query] = static_cast<std::uint32_t>(kept < merge.k ? kept : merge.k);
  }
}

/// Queues all of it for `batch` queries, at least one. Returns a cudaError_t.
int launch_merge(const Merge& merge, std::size_t batch, CUstream_st* stream);

}  // namespace fovea::index
