// Ranking quality of the current version on what its training held out, through the code that
// serves.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/pipeline.h"
#include "engine/split.h"
#include "ranking/interactions.h"
#include "ranking/metrics.h"

namespace fovea::engine {

/// The ways of ranking that are compared.
struct Stages {
  std::size_t users = 0;
  ranking::Metrics popular;      ///< Most behaviours in training first.
  ranking::Metrics transitions;  ///< By transition score alone; items without one are not ranked.
  ranking::Metrics retrieval;    ///< Exact inner product over all items.
  ranking::Metrics ranked;       ///< Through index and ranker, as served.
};

struct Evaluation : Stages {
  double candidates_recall =
      0;  ///< Share of users whose test item was among the ranked stage's candidates.
  double candidates_mean = 0;  ///< How many candidates that stage had, mean over users.
  /// Test items that no training behaviour touches.
  Stages cold;
  /// Users whose test item's id sorts before that of the behaviour before it: where a log wrote
  /// equal times in the order of its ids, their test item owes nothing to that.
  Stages tie_free;
  struct Length {
    std::size_t least = 0, most = 0;  ///< Behaviours before the test item; most 0: no limit.
    Stages stages;
  };
  std::vector<Length> history_length;  ///< Those with users.
};

/// One user's question and what became of it.
struct EvaluatedUser {
  std::string user_id, item_id;  ///< Whose history, and the test item.
  /// From 1; absent: not ranked.
  std::optional<std::size_t> popular, transitions, retrieval, ranked;
  std::vector<std::pair<std::string, double>> top;  ///< The ranked stage's first ten and scores.
};

struct EvaluateOptions {
  bool include_seen = false;  ///< False: items of the user's history are masked.
  int threads = 2;
  /// Called for each user in the store's order, after all were measured; may be empty.
  std::function<void(const EvaluatedUser&)> user;
};

/// Users whose test item stands in their history are measured only with include_seen: masked, it
/// could not be found. `progress` is called from one thread at a time. Throws InvalidRequest when
/// there is no version, when it was trained with Split::kNone, or when the store has changed since
/// so that the split would be another.
Evaluation evaluate(const Snapshot& snapshot, const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress);
/// The same over questions of the caller's, whose answers the version has not learned.
Evaluation evaluate(const Snapshot& snapshot, std::vector<ranking::HeldOut> questions,
                    const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress);
/// What a split of the store as it is now holds out to be asked for.
std::vector<ranking::HeldOut> test_questions(storage::Db& db, Split split);
/// Of the engine's current version.
Evaluation evaluate(Engine& engine, const EvaluateOptions& options,
                    const std::function<void(std::size_t done, std::size_t of)>& progress);

}  // namespace fovea::engine
