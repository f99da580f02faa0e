// Ranking quality of the current version on what its training held out, through the code that
// serves.
#pragma once

#include <cstddef>
#include <functional>

#include "engine/engine.h"
#include "ranking/metrics.h"

namespace fovea::engine {

struct Evaluation {
  std::size_t users = 0;
  ranking::Metrics popular;    ///< Most behaviours in training first.
  ranking::Metrics retrieval;  ///< Exact inner product over all items.
  ranking::Metrics ranked;     ///< Through index and ranker, as served.
  double candidates_recall =
      0;  ///< Share of users whose test item was among the ranked stage's candidates.
  double candidates_mean = 0;  ///< How many candidates that stage had, mean over users.
  struct {
    std::size_t users = 0;
    ranking::Metrics popular, retrieval, ranked;
  } cold;  ///< The same over test items that no training behaviour touches.
};

struct EvaluateOptions {
  bool include_seen = false;  ///< False: items of the user's history are masked.
  int threads = 2;
};

/// Users whose test item stands in their history are measured only with include_seen: masked, it
/// could not be found. `progress` is called from one thread at a time. Throws InvalidRequest when
/// there is no version, when it was trained with Split::kNone, or when the store has changed since
/// so that the split would be another.
Evaluation evaluate(Engine& engine, const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress);

}  // namespace fovea::engine
