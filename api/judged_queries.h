// Queries and what was judged relevant to them, from files, and what came out as JSON or a table.
// Owns the formats; engine/search_evaluation measures.
#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <istream>
#include <string>
#include <vector>

#include "engine/search_evaluation.h"

namespace fovea::api {

/// `queries` has a JSON object a line, {"query_id": "1", "text": "..."}, by option with "user_id",
/// who asked, and "time_ms", before which their behaviours are read; `qrels` is TREC's: query id, a
/// column that nobody reads, item id and grade, with blanks or tabs between. Judgements of queries
/// that are not among them are left out. Throws engine::InvalidRequest with name and line for what
/// is neither, a query or a judgement that comes twice.
std::vector<engine::JudgedQuery> read_judged_queries(std::istream& queries,
                                                     const std::string& queries_name,
                                                     std::istream& qrels,
                                                     const std::string& qrels_name);
/// The same of two files; throws std::runtime_error for one that cannot be opened.
std::vector<engine::JudgedQuery> read_judged_queries(const std::filesystem::path& queries,
                                                     const std::filesystem::path& qrels);

/// {"queries": n, "words": {"ndcg@10": .., "recall@100": .., "mrr": ..}, "vectors": .., "fused":
/// .., "ranked": .., "by_query": [{"query_id": .., "words": ..}]}, fractions.
boost::json::object to_json(const engine::SearchEvaluation& evaluation);
std::string table(const engine::SearchEvaluation& evaluation);

}  // namespace fovea::api
