#include "engine/search_evaluation.h"

#include <algorithm>

#include "engine/query_search.h"
#include "ranking/metrics.h"

namespace fovea::engine {
namespace {

constexpr std::size_t kNdcgPlaces = 10;
constexpr std::size_t kRecallPlaces = 100;

std::vector<std::string> names_of(const Snapshot& snapshot, std::span<const std::uint32_t> rows) {
  std::vector<std::string> names;
  names.reserve(rows.size());
  for (const std::uint32_t row : rows) names.push_back(snapshot.db->catalog().item_id(row));
  return names;
}

/// By words, by vectors and fused as `snapshot` has it, from one search of both.
SearchStages measure_search(const Snapshot& snapshot, const JudgedQuery& query) {
  const std::size_t places = std::max(snapshot.retrieve, kRecallPlaces);
  const auto lists = [&](const FusionWeights& weights, bool& corrected) {
    Snapshot weighed = snapshot;
    weighed.fusion = weights;
    QuerySearch search(weighed, query.text);
    Found found = search.lists(places, nullptr);
    corrected = search.corrected().has_value();
    return found;
  };
  bool corrected = false;
  const Found both = lists({.words = 1, .vectors = 1}, corrected);
  // Beside words, vectors are not searched where something in quotes was found, and for what a
  // misspelt query was taken to mean. Alone they are searched for what was typed.
  const bool as_alone = !both.words.phrases && !corrected;
  const Found alone =
      as_alone ? Found{{}, both.vectors} : lists({.words = 0, .vectors = 1}, corrected);
  const auto measure = [&](const Found& found, const FusionWeights& weights) {
    std::vector<std::uint32_t> rows;
    for (const Relevant& one :
         fuse(found.words.rows, found.vectors, found.words.exact, weights, places)) {
      rows.push_back(one.row);
    }
    return search_metrics(names_of(snapshot, rows), query.grades);
  };
  return {.words = measure(both, {.words = 1, .vectors = 0}),
          .vectors = measure(alone, {.words = 0, .vectors = 1}),
          .fused = measure(snapshot.fusion.words > 0 ? both : alone, snapshot.fusion),
          .ranked = {}};
}

SearchMetrics measure_ranking(const Snapshot& snapshot, const Question& question,
                              const JudgedQuery& query) {
  const Candidates found = candidates(snapshot, question);
  const Scored scored = rerank(snapshot, question, found);
  std::vector<std::uint32_t> rows;
  for (const std::size_t i : best(found, scored.scores, found.items.size())) {
    rows.push_back(found.items[i].row);
  }
  return search_metrics(names_of(snapshot, rows), query.grades);
}

void add(SearchMetrics& sum, const SearchMetrics& one, double weight) {
  sum.ndcg_10 += weight * one.ndcg_10;
  sum.recall_100 += weight * one.recall_100;
  sum.mrr += weight * one.mrr;
}

}  // namespace

bool judged(const JudgedQuery& query) {
  return std::ranges::any_of(query.grades, [](const auto& one) { return one.second > 0; });
}

Question question_of(const Snapshot& snapshot, const JudgedQuery& query) {
  RankRequest request;
  request.user_id = query.user_id;
  request.query = query.text;
  request.limit = static_cast<std::int32_t>(kRecallPlaces);
  request.include_seen = true;  // what was judged may have been bought before
  return history(snapshot, request, query.time_ms.value_or(0), query.time_ms);
}

SearchMetrics search_metrics(std::span<const std::string> found,
                             const std::map<std::string, double>& grades) {
  std::vector<double> ideal;
  for (const auto& [item_id, grade] : grades) {
    if (grade > 0) ideal.push_back(grade);
  }
  std::ranges::sort(ideal, std::ranges::greater{});
  double best = 0;
  for (std::size_t i = 0; i < std::min(ideal.size(), kNdcgPlaces); ++i) {
    best += ideal[i] * ranking::discount(i);
  }
  SearchMetrics metrics;
  std::size_t recalled = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto grade = grades.find(found[i]);
    if (grade == grades.end() || grade->second <= 0) continue;
    if (metrics.mrr == 0) metrics.mrr = 1 / static_cast<double>(i + 1);
    if (i < kNdcgPlaces) metrics.ndcg_10 += grade->second * ranking::discount(i) / best;
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
    if (!judged(query)) {
      ++evaluation.unjudged;
      continue;
    }
    const Question question = question_of(snapshot, query);
    evaluation.with_history += question.behaviours.empty() ? 0 : 1;
    evaluation.queries.push_back({query.query_id, measure_search(snapshot, query)});
    evaluation.queries.back().stages.ranked = measure_ranking(snapshot, question, query);
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
    add(evaluation.mean.ranked, query.stages.ranked, weight);
  }
  return evaluation;
}

}  // namespace fovea::engine
