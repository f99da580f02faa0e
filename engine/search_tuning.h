// Which settings of search would have served judged queries better, judged on queries that did not
// choose them. Owns the grid and the cross-validation; how a list is measured is
// search_evaluation's.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "engine/search_evaluation.h"

namespace fovea::engine {

/// What can be set. Relevance is the sum of both weights' parts, so that their total says what it
/// counts for beside the user's taste, and their ratio how the two searches are fused.
struct SearchSettings {
  FusionWeights weights;
  double query_attention = 0;  ///< As SearchOptions'.
};

struct SearchTuning {
  std::size_t queries = 0;   ///< With a relevant item.
  std::size_t unjudged = 0;  ///< Those without.
  /// The lists that were measured: as served to the users whom the queries name; false: none names
  /// one, and they are the fused ones, whatever the weights' total.
  bool ranked = false;
  SearchSettings now, best;  ///< `best` by all queries.
  // Mean ndcg@10.
  double ndcg_now = 0;       ///< Of what serves now.
  double ndcg_held_out = 0;  ///< Of each fold under what was best in the other folds.
  double gain_error = 0;     ///< Standard error of the difference of the two, query by query.
  double ndcg_best = 0;      ///< Of `best`, by the queries that chose it: flattering.

  /// Better by more than two standard errors where it was not chosen.
  bool recommended() const { return ndcg_held_out - ndcg_now > 2 * gain_error; }
};

inline constexpr std::size_t kTuningFolds = 5;
inline constexpr std::size_t kTuningQueriesMin = 25;  ///< Five a fold.

/// `snapshot` has what serves now; the CPU ranks. The settings tried are, beside that, words' share
/// of the weights' total .1 to .9 in steps of .1 and, where users are named, a quarter to four
/// times the total, and 0, 1, 2, 4 and 8 for attention. Query i is in fold i mod kTuningFolds. Each
/// query is searched and scored once for all weights. `progress` may be empty. Throws
/// InvalidRequest where fewer than kTuningQueriesMin queries have a relevant item.
SearchTuning tune_search(Snapshot snapshot, std::span<const JudgedQuery> queries,
                         const std::function<void(std::size_t done, std::size_t of)>& progress);

}  // namespace fovea::engine
