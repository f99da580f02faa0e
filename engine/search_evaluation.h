// How well searches find what was judged relevant: by words, by vectors, fused, and ranked for who
// asks, through the code that serves. Owns the metrics of judged lists; files are api's, and which
// settings would do better is search_tuning's to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/pipeline.h"

namespace fovea::engine {

struct JudgedQuery {
  std::string query_id;
  std::string text;
  std::map<std::string, double> grades;  ///< By item id; relevant above 0, the others count as 0.
  std::optional<std::string> user_id = {};   ///< Who asks; absent: somebody unknown.
  std::optional<std::int64_t> time_ms = {};  ///< When: of the user, what is before it is read;
                                             ///< absent: everything.
};

/// Over lists as long as what serves retrieves, at least 100.
struct SearchMetrics {
  /// Sum of grade / log2(place + 1) over the first ten, as a share of the best that the judged
  /// items could give (linear gains; Jarvelin and Kekalainen 2002).
  double ndcg_10 = 0;
  double recall_100 = 0;  ///< Share of the relevant items that stand among the first 100.
  double mrr = 0;         ///< 1 / place of the first relevant item; 0 where there is none.
};

struct SearchStages {
  SearchMetrics words, vectors, fused;
  SearchMetrics ranked;  ///< As `rank` serves it, items of the user's history included.
};

struct SearchEvaluation {
  struct Query {
    std::string query_id;
    SearchStages stages;
  };
  SearchStages mean;             ///< Over `queries`.
  std::vector<Query> queries;    ///< Those with a relevant item, in the order given.
  std::size_t unjudged = 0;      ///< Those without.
  std::size_t with_history = 0;  ///< Of `queries`, those whose user had done something by then.
};

/// Whether there is an item to be found: one that was judged above 0.
bool judged(const JudgedQuery& query);

/// The query as its user would have asked it, for a list that is measured whole.
Question question_of(const Snapshot& snapshot, const JudgedQuery& query);

/// Of one list of item ids, best first, each once; some grade must be above 0.
SearchMetrics search_metrics(std::span<const std::string> found,
                             const std::map<std::string, double>& grades);

/// `progress` may be empty. Throws InvalidRequest where no query has a relevant item.
SearchEvaluation evaluate_search(
    const Snapshot& snapshot, std::span<const JudgedQuery> queries,
    const std::function<void(std::size_t done, std::size_t of)>& progress);

}  // namespace fovea::engine
