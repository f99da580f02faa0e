// A tuning of search for people and for programs. Owns the layout; engine/search_tuning measures.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "engine/search_tuning.h"

namespace fovea::api {

/// {"queries": n, "unjudged": n, "measured": "ranked" or "fused", "folds": 5, "now":
/// {"words_weight":
/// .., "vectors_weight": .., "query_attention": .., "ndcg@10": ..}, "held_out": {"ndcg@10": ..,
/// "gain": .., "standard_error": ..}, "best": {as now}, "recommended": true}.
boost::json::object to_json(const engine::SearchTuning& tuning);
/// What was measured, then what to do: the settings for `serve`, as flags and as TOML, or that
/// there is nothing to change.
std::string report(const engine::SearchTuning& tuning);

}  // namespace fovea::api
