#include "engine/search_tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/query_search.h"
#include "ranking/query_bias.h"

namespace fovea::engine {
namespace {

constexpr std::size_t kShares = 10;
constexpr std::array kTotals = {1.0, 0.25, 0.5, 2.0, 4.0};
constexpr std::array kQueryAttentions = {0.0, 1.0, 2.0, 4.0, 8.0};
constexpr std::size_t kMeasured = 10;  // places

/// Every pair of the two is tried. What serves now is the first of each.
struct TuningGrid {
  std::vector<FusionWeights> weights;
  std::vector<double> attentions;

  std::size_t size() const { return weights.size() * attentions.size(); }
  SearchSettings at(std::size_t i) const {
    return {weights[i / attentions.size()], attentions[i % attentions.size()]};
  }
};

TuningGrid grid_around(const SearchSettings& now, bool ranked) {
  TuningGrid grid{{now.weights}, {now.query_attention}};
  const double total = now.weights.words + now.weights.vectors;
  for (const double factor : kTotals) {
    if (factor != 1 && !ranked) continue;  // the fused order is the same
    for (std::size_t share = 1; share < kShares; ++share) {
      const double unit = factor * total / static_cast<double>(kShares);
      grid.weights.push_back({.words = unit * static_cast<double>(share),
                              .vectors = unit * static_cast<double>(kShares - share)});
    }
  }
  for (const double attention : kQueryAttentions) {
    if (ranked && attention != now.query_attention) grid.attentions.push_back(attention);
  }
  return grid;
}

double ndcg_of(const Snapshot& snapshot, const JudgedQuery& query,
               std::span<const std::uint32_t> rows) {
  std::vector<std::string> names;
  for (const std::uint32_t row : rows.first(std::min(rows.size(), kMeasured))) {
    names.push_back(snapshot.db->catalog().item_id(row));
  }
  return search_metrics(names, query.grades).ndcg_10;
}

/// One query under every setting, from one search and one score for each attention.
class TunedQuery {
 public:
  TunedQuery(const Snapshot& snapshot, const TuningGrid& grid, const JudgedQuery& query)
      : snapshot_(snapshot), grid_(grid), query_(query) {
    Snapshot both = snapshot;
    both.fusion = FusionWeights();
    places_ = std::max(snapshot.retrieve, question_.limit);
    QuerySearch search(both, query.text);
    found_ = search.lists(places_, nullptr);
    vector_.assign(search.vector().begin(), search.vector().end());
  }

  /// [grid.size()]
  std::vector<double> fused() const {
    std::vector<double> ndcg;
    for (const FusionWeights& weights : grid_.weights) {
      std::vector<std::uint32_t> rows;
      for (const Relevant& one : fuse(weights)) rows.push_back(one.row);
      ndcg.push_back(ndcg_of(snapshot_, query_, rows));
    }
    return ndcg;
  }

  std::vector<double> ranked() {
    score();
    std::vector<double> ndcg;
    for (const FusionWeights& weights : grid_.weights) {
      std::vector<double> relevance(all_.items.size(), -1);  // below 0: no candidate
      for (const Relevant& one : fuse(weights)) {
        const auto place = places_of_.find(one.row);
        if (place != places_of_.end()) relevance[place->second] = one.relevance.sum();
      }
      for (const std::size_t filler : fillers_) relevance[filler] = 0;
      for (const std::vector<double>& taste : tastes_) {
        ndcg.push_back(ndcg_of(snapshot_, query_, first_places(relevance, taste)));
      }
    }
    return ndcg;
  }

 private:
  std::vector<Relevant> fuse(const FusionWeights& weights) const {
    return engine::fuse(found_.words.rows, found_.vectors, found_.words.exact, weights, places_);
  }

  /// Everything that is a candidate under some weights, and what it scores without relevance.
  void score() {
    all_ = candidates(snapshot_, question_);
    for (std::size_t i = 0; i < all_.items.size(); ++i) {
      all_.items[i].relevance = {};
      places_of_.emplace(all_.items[i].row, i);
    }
    std::vector<bool> is_found(all_.items.size());
    for (const auto* list : {&found_.words.rows, &found_.vectors}) {
      for (const index::Neighbour& one : *list) {
        if (!snapshot_.db->catalog().present(one.row)) continue;
        const auto [place, added] = places_of_.emplace(one.row, all_.items.size());
        if (added) all_.items.push_back({.row = one.row, .source = "words", .score = {}});
        is_found.resize(all_.items.size());
        is_found[place->second] = true;
      }
    }
    for (std::size_t i = 0; i < is_found.size(); ++i) {
      if (!is_found[i]) fillers_.push_back(i);
    }
    for (const double attention : grid_.attentions) {
      all_.user.bias =
          ranking::query_bias(vector_, all_.user.vectors.texts, static_cast<float>(attention));
      tastes_.push_back(rerank(snapshot_, question_, all_).scores);
    }
  }

  std::vector<std::uint32_t> first_places(std::span<const double> relevance,
                                          std::span<const double> taste) const {
    std::vector<std::pair<double, std::uint32_t>> order;  // descending score, row
    for (std::size_t i = 0; i < relevance.size(); ++i) {
      if (relevance[i] < 0) continue;
      order.emplace_back(-(taste[i] + kRelevanceWeight * relevance[i]), all_.items[i].row);
    }
    const std::size_t n = std::min(order.size(), kMeasured);
    std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(n));
    std::vector<std::uint32_t> rows;
    for (std::size_t i = 0; i < n; ++i) rows.push_back(order[i].second);
    return rows;
  }

  const Snapshot& snapshot_;
  const TuningGrid& grid_;
  const JudgedQuery& query_;
  const Question question_ = question_of(snapshot_, query_);
  std::size_t places_ = 0;  // of each search, and of both fused
  Found found_;
  std::vector<float> vector_;  // of what was searched for [K]
  Candidates all_;
  std::unordered_map<std::uint32_t, std::size_t> places_of_;  // by row, in all_.items
  std::vector<std::size_t> fillers_;                          // popular items, not found
  std::vector<std::vector<double>> tastes_;                   // [attentions][all_.items]
};

/// The best of the settings by `sums`; what serves now where nothing is better.
std::size_t best_setting(std::span<const double> sums) {
  return static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin());
}

}  // namespace

SearchTuning tune_search(Snapshot snapshot, std::span<const JudgedQuery> queries,
                         const std::function<void(std::size_t done, std::size_t of)>& progress) {
  snapshot.gpu = nullptr;
  SearchTuning tuning;
  tuning.ranked = std::ranges::any_of(queries, [](const JudgedQuery& q) { return !!q.user_id; });
  tuning.now = {snapshot.fusion, snapshot.query_attention};
  tuning.queries = static_cast<std::size_t>(std::ranges::count_if(queries, judged));
  tuning.unjudged = queries.size() - tuning.queries;
  if (tuning.queries < kTuningQueriesMin) {
    throw InvalidRequest("queries",
                         fmt::format("{} queries have an item that was judged above 0; at least {} "
                                     "are needed to tell a better setting from chance",
                                     tuning.queries, kTuningQueriesMin));
  }
  const TuningGrid grid = grid_around(tuning.now, tuning.ranked);
  std::vector<std::vector<double>> ndcg;                      // [queries][settings]
  std::vector<double> sums(grid.size());                      // over queries
  std::array<std::vector<double>, kTuningFolds> sums_others;  // over those of the other folds
  sums_others.fill(sums);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (!judged(queries[i])) continue;
    TunedQuery query(snapshot, grid, queries[i]);
    ndcg.push_back(tuning.ranked ? query.ranked() : query.fused());
    for (std::size_t s = 0; s < grid.size(); ++s) {
      sums[s] += ndcg.back()[s];
      for (std::size_t fold = 0; fold < kTuningFolds; ++fold) {
        if (fold != (ndcg.size() - 1) % kTuningFolds) sums_others[fold][s] += ndcg.back()[s];
      }
    }
    if (progress) progress(i + 1, queries.size());
  }

  const auto n = static_cast<double>(tuning.queries);
  const std::size_t best = best_setting(sums);
  tuning.best = grid.at(best);
  tuning.ndcg_best = sums[best] / n;
  tuning.ndcg_now = sums[0] / n;
  double gain = 0;
  double squares = 0;
  for (std::size_t i = 0; i < ndcg.size(); ++i) {
    const double one = ndcg[i][best_setting(sums_others[i % kTuningFolds])] - ndcg[i][0];
    gain += one / n;
    squares += one * one;
  }
  tuning.ndcg_held_out = tuning.ndcg_now + gain;
  tuning.gain_error = std::sqrt(std::max(0.0, squares - n * gain * gain) / (n - 1) / n);
  return tuning;
}

}  // namespace fovea::engine
