// How an evaluation is shown: the JSON for programs, the table for people.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "engine/evaluate.h"

namespace fovea::api {

/// {"users": n, "popular": {"hr@5": .., "hr@10": .., "ndcg@5": .., "ndcg@10": .., "mrr": ..,
/// "coverage@10": ..}, "retrieval": {..}, "ranked": {.., "recall@K": .., "K": mean candidates},
/// "cold": {"users": n, "popular": {..}, ..}}. Fractions, not percent.
boost::json::object to_json(const engine::Evaluation& evaluation);

std::string table(const engine::Evaluation& evaluation);

}  // namespace fovea::api
