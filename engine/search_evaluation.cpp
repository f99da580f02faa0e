#include "engine/search_evaluation.h"

#include <algorithm>
#include <cmath>

namespace fovea::engine {
namespace {

constexpr std::size_t kNdcgPlaces = 10;
constexpr std::size_t kRecallPlaces = 100;

double discount(std::size_t place_from_0) {
  return 1 / std::log2(static_cast<double>(place_from_0) + 2);
}

SearchMetrics measure(Snapshot snapshot, const FusionWeights& weights, const JudgedQuery& query) {
  snapshot.fusion = weights;
  const std::size_t n = std::max(snapshot.retrieve, kRecallPlaces);
  std::vector<std::string> found;
  for (const Relevant& one : search(snapshot, query.text, n)) {
    found.push_back(snapshot.db->catalog().item_id(one.row));
  }
  return search_metrics(found, query.grades);
}

void add(SearchMetrics& sum, const SearchMetrics& one, double weight) {
  sum.ndcg_10 += weight * one.ndcg_10;
  sum.recall_100 += weight * one.recall_100;
  sum.mrr += weight * one.mrr;
}

}  // namespace

SearchMetrics search_metrics(std::span<const std::string> found,
                             const std::map<std::string, double>& grades) {
  std::vector<double> ideal;
  for (const auto& [item_id, grade] : grades) {
    if (grade > 0) ideal.push_back(grade);
  }
  std::ranges::sort(ideal, std::ranges::greater{});
  double best = 0;
  for (std::size_t i = 0; i < std::min(ideal.size(), kNdcgPlaces); ++i) {
    best += ideal[i] * discount(i);
  }
  SearchMetrics metrics;
  std::size_t recalled = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto grade = grades.find(found[i]);
    if (grade == grades.end() || grade->second <= 0) continue;
    if (metrics.mrr == 0) metrics.mrr = 1 / static_cast<double>(i + 1);
    if (i < kNdcgPlaces) metrics.ndcg_10 += grade->second * discount(i) / best;
    if (i < kRecallPlaces) ++recalled;
  }
  metrics.recall_100 = static_cast<double>(recalled) / static_cast<double>(ideal.size());
  return metrics;
}

SearchEvaluation evaluate_search(
    const Snapshot& snapshot, std::span<const JudgedQuery> queries,
    const std::function<void(std::size_t done, std::size_t of)>& progress) {
  SearchEvaluation evaluation;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const JudgedQuery& query = queries[i];
    if (std::ranges::none_of(query.grades, [](const auto& one) { return one.second > 0; })) {
      ++evaluation.unjudged;
      continue;
    }
    evaluation.queries.push_back({query.query_id,
                                  {measure(snapshot, {.words = 1, .vectors = 0}, query),
                                   measure(snapshot, {.words = 0, .vectors = 1}, query),
                                   measure(snapshot, snapshot.fusion, query)}});
    if (progress) progress(i + 1, queries.size());
  }
  if (evaluation.queries.empty()) {
    throw InvalidRequest("qrels",
                         "no query has an item that was judged above 0; at least one is needed");
  }
  const double weight = 1 / static_cast<double>(evaluation.queries.size());
  for (const auto& query : evaluation.queries) {
    add(evaluation.mean.words, query.stages.words, weight);
    add(evaluation.mean.vectors, query.stages.vectors, weight);
    add(evaluation.mean.fused, query.stages.fused, weight);
  }
  return evaluation;
}

}  // namespace fovea::engine
