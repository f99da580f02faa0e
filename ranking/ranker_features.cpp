// See ranker_features.h.
#include "ranking/ranker_features.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "ranking/clones.h"
#include "ranking/encoder.h"
#include "ranking/ops.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

constexpr std::size_t kBehavioursPerCheck = 16;  // of whether to stop
constexpr float kGapUnit = 1.0F / 16;  // keeps the gap term near 1: 16 buckets are 18 hours

// The candidates by row, in a table over all rows that lies ready between calls.
class CandidatesByRow {
 public:
  CandidatesByRow(std::span<const std::uint32_t> rows, std::vector<std::uint32_t>& table)
      : rows_(rows), table_(table), none_(static_cast<std::uint32_t>(rows.size())) {
    if (rows.empty()) return;
    const std::size_t end = std::ranges::max(rows) + std::size_t{1};
    if (table_.size() < end) table_.resize(end);
    for (std::uint32_t c = 0; c < none_; ++c) {
      if (table_[rows[c]] == 0) {
        table_[rows[c]] = none_ - c;
      } else {
        twins_.emplace_back(none_ - table_[rows[c]], c);
      }
    }
  }
  ~CandidatesByRow() {
    for (const std::uint32_t row : rows_) table_[row] = 0;
  }
  CandidatesByRow(const CandidatesByRow&) = delete;
  CandidatesByRow& operator=(const CandidatesByRow&) = delete;

  /// Those of `entries` that are candidates, in their order, with the candidate in the row's place;
  /// of a row that is two, the first. In `met`, which keeps its room. Whether an entry is a
  /// candidate cannot be foretold: a branch would often be taken wrong, and sums with a place for
  /// what is none would wait for that place, entry after entry.
  std::span<const ItemPairs::Entry> meet(std::span<const ItemPairs::Entry> entries,
                                         std::vector<ItemPairs::Entry>& met) const {
    if (met.size() < entries.size()) met.resize(entries.size());
    const std::uint32_t* table = table_.data();
    const std::size_t end = table_.size();
    const std::uint32_t none = none_;
    std::size_t count = 0;
    for (const ItemPairs::Entry& entry : entries) {
      const std::uint32_t from_end = entry.row < end ? table[entry.row] : 0;
      met[count] = {none - from_end, entry.weight};
      count += from_end != 0 ? 1 : 0;
    }
    return std::span(met).first(count);
  }
  /// Gives candidates of one row the same value. [N]
  void copy_to_twins(float* values) const {
    for (const auto& [first, twin] : twins_) values[twin] = values[first];
  }

 private:
  std::span<const std::uint32_t> rows_;
  std::vector<std::uint32_t>& table_;  // N - candidate; 0: none, and everywhere between calls
  std::uint32_t none_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> twins_;
};

// Asks for what behaviour j speaks for, to come from memory while others are read: the lists of a
// catalogue are more than a processor's own caches hold.
void ask_for(const ItemPairs& pairs, std::span<const Behaviour> behaviours, std::size_t j) {
  if (j >= behaviours.size()) return;
  constexpr std::size_t kEntriesPerLine = 64 / sizeof(ItemPairs::Entry);
  const auto entries = pairs.from(behaviours[j].row);
  for (std::size_t i = 0; i < entries.size(); i += kEntriesPerLine) {
    __builtin_prefetch(&entries[i]);
  }
}

FOVEA_CLONES void add_scaled(std::size_t n, float factor, const float* values, float* sums) {
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) sums[c] += factor * values[c];
}

// log_transition [L, N], and the fixed transition score.
void transition_features(const Context& context, const RankerWeights& weights,
                         const ItemRelations& relations, std::span<const Behaviour> behaviours,
                         const CandidatesByRow& by_row, RankerTape& tape) {
  const std::size_t l = behaviours.size();
  const std::size_t n = tape.candidates;
  const float log_floor = std::log(kTransitionFloor);
  std::vector<float> fixed(n);
  std::vector<float> of_pair(n);
  std::vector<ItemPairs::Entry> room, room_since;
  for (std::size_t j = 0; j < l; ++j) {
    if (j % kBehavioursPerCheck == 0) context.check_stop();
    ask_for(relations.transitions, behaviours, j + 1);
    const auto met = by_row.meet(relations.transitions.from(behaviours[j].row), room);
    std::span<const ItemPairs::Entry> met_since;
    if (relations.since != nullptr) {
      met_since = by_row.meet(relations.since->from(behaviours[j].row), room_since);
    }
    for (const auto entries : {met, met_since}) {
      for (const ItemPairs::Entry& entry : entries) of_pair[entry.row] += entry.weight;
    }
    float* row = tape.log_transition.row(j);
    std::fill_n(row, n, log_floor);
    const std::size_t age = l - 1 - j;
    if (age < kRecent && positive(weights, behaviours[j])) {
      add_scaled(n, std::pow(Transitions::kAgeDecay, static_cast<float>(age)), of_pair.data(),
                 fixed.data());
    }
    for (const auto entries : {met, met_since}) {
      for (const ItemPairs::Entry& entry : entries) {
        float& weight = of_pair[entry.row];
        if (weight == 0) continue;  // met twice
        row[entry.row] = std::log(weight + kTransitionFloor);
        weight = 0;
      }
    }
    by_row.copy_to_twins(row);
  }
  by_row.copy_to_twins(fixed.data());
  for (std::size_t c = 0; c < n; ++c) {
    tape.features.row(c)[kTransition] = std::log1p(fixed[c] / kTransitionUnit);
  }
}

// ease [L, N], and the score over the whole history.
void ease_features(const Context& context, const RankerWeights& weights, const ItemPairs& ease,
                   const BehaviourInput& behaviours, const CandidatesByRow& by_row,
                   RankerTape& tape) {
  const std::size_t n = tape.candidates;
  std::vector<float> score(n);
  std::vector<ItemPairs::Entry> room;
  for (std::size_t i = 0; i < behaviours.earlier.size(); ++i) {
    if (i % kBehavioursPerCheck == 0) context.check_stop();
    ask_for(ease, behaviours.earlier, i + 1);
    if (!positive(weights, behaviours.earlier[i])) continue;
    for (const ItemPairs::Entry& entry : by_row.meet(ease.from(behaviours.earlier[i].row), room)) {
      score[entry.row] += entry.weight;
    }
  }
  for (std::size_t j = 0; j < tape.behaviours; ++j) {
    if (j % kBehavioursPerCheck == 0) context.check_stop();
    ask_for(ease, behaviours.behaviours, j + 1);
    float* row = tape.ease.row(j);
    std::fill_n(row, n, 0.0F);
    if (!positive(weights, behaviours.behaviours[j])) continue;
    for (const ItemPairs::Entry& entry :
         by_row.meet(ease.from(behaviours.behaviours[j].row), room)) {
      row[entry.row] = kEaseUnit * entry.weight;
      score[entry.row] += entry.weight;
    }
    by_row.copy_to_twins(row);
  }
  by_row.copy_to_twins(score.data());
  for (std::size_t c = 0; c < n; ++c) tape.features.row(c)[kEase] = score[c];
}

FOVEA_CLONES void sum_and_highest(std::size_t n, const float* values, float* sum, float* highest) {
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) {
    sum[c] += values[c];
    highest[c] = std::max(highest[c], values[c]);
  }
}

void text_features(RankerTape& tape) {
  const std::size_t n = tape.candidates;
  const std::size_t l = tape.behaviours;
  const std::size_t recent = std::min(l, kRecent);
  const float* last = tape.cosine.row(l - 1);
  std::vector<float> highest(last, last + n);
  std::vector<float> sum(n);
  for (std::size_t j = l - recent; j < l; ++j) {
    sum_and_highest(n, tape.cosine.row(j), sum.data(), highest.data());
  }
  for (std::size_t c = 0; c < n; ++c) {
    float* features = tape.features.row(c);
    features[kTextLast] = last[c];
    features[kTextHighest] = highest[c];
    features[kTextMean] = sum[c] / static_cast<float>(recent);
  }
}

// 1 / length of each of n vectors; 0 for zeros.
std::vector<float> inverse_lengths(std::size_t n, std::size_t d, const float* vectors) {
  std::vector<float> result(n);
  for (std::size_t i = 0; i < n; ++i) {
    const float square = ops::dot(d, vectors + i * d, vectors + i * d);
    result[i] = square > 0 ? 1 / std::sqrt(square) : 0;
  }
  return result;
}

// Makes products of vectors cosines; adds them, and what they are times the behaviour's rating.
FOVEA_CLONES void add_cosines(std::size_t n, float of_behaviour, const float* of_candidate,
                              float rating, float* products, float* sum, float* liked) {
#pragma omp simd
  for (std::size_t c = 0; c < n; ++c) {
    products[c] *= of_behaviour * of_candidate[c];
    sum[c] += products[c];
    liked[c] += rating * products[c];
  }
}

// similarity [L, N], cosines of learned vectors; their mean over the newest behaviours, and weighed
// by how those were valued.
void vector_features(const Context& context, std::size_t d, const BehaviourInput& behaviours,
                     const CandidateInput& candidates, RankerTape& tape) {
  const std::size_t l = tape.behaviours;
  const std::size_t n = tape.candidates;
  ops::gemm(context, Transpose::kNo, Transpose::kYes, l, n, d, 1, behaviours.vectors.data(), d,
            candidates.vectors.data(), d, 0, tape.similarity.data(), n);
  const auto of_candidate = inverse_lengths(n, d, candidates.vectors.data());
  const auto of_behaviour = inverse_lengths(l, d, behaviours.vectors.data());
  std::vector<float> sum(n), liked(n);
  const auto write_mean = [&](Feature feature, std::size_t behaviours_summed) {
    for (std::size_t c = 0; c < n; ++c) {
      tape.features.row(c)[feature] = sum[c] / static_cast<float>(behaviours_summed);
    }
  };
  for (std::size_t summed = 1; summed <= l; ++summed) {  // newest first
    const std::size_t j = l - summed;
    add_cosines(n, of_behaviour[j], of_candidate.data(), tape.rating[j], tape.similarity.row(j),
                sum.data(), liked.data());
    if (summed == std::min(l, std::size_t{5})) write_mean(kVectors5, summed);
    if (summed == std::min(l, std::size_t{20})) write_mean(kVectors20, summed);
  }
  write_mean(kVectors, l);
  for (std::size_t c = 0; c < n; ++c) {
    tape.features.row(c)[kVectorsLiked] = liked[c] / static_cast<float>(l);
  }
}

}  // namespace

BehaviourDescription describe_behaviours(const RankerWeights& weights,
                                         std::span<const Behaviour> behaviours) {
  const std::size_t l = behaviours.size();
  BehaviourDescription described{std::vector<float>(l), std::vector<float>(l),
                                 std::vector<float>(l)};
  float mean = 0;
  for (const Behaviour& b : behaviours) mean += b.value / static_cast<float>(l);
  for (std::size_t j = 0; j < l; ++j) {
    described.age[j] = static_cast<float>(l - 1 - j);
    described.gap[j] = kGapUnit * gap_bucket(behaviours[j].time_ms, behaviours.back().time_ms);
    described.rating[j] =
        std::clamp((behaviours[j].value - mean) * weights.value_scale, -3.0F, 3.0F);
  }
  return described;
}

void describe(const Context& context, const RankerWeights& weights, const ItemRelations& relations,
              const BehaviourInput& behaviours, const CandidateInput& candidates,
              std::span<const float> retrieval, RankerTape& tape) {
  const std::size_t text_width = weights.shape.text_width;
  const CandidatesByRow by_row(candidates.rows, tape.candidate_of_row);
  BehaviourDescription described = describe_behaviours(weights, behaviours.behaviours);
  tape.age = std::move(described.age);
  tape.gap = std::move(described.gap);
  tape.rating = std::move(described.rating);
  ops::gemm(context, Transpose::kNo, Transpose::kYes, tape.behaviours, tape.candidates, text_width,
            1, behaviours.texts.data(), text_width, candidates.texts.data(), text_width, 0,
            tape.cosine.data(), tape.candidates);
  for (std::size_t c = 0; c < tape.candidates; ++c) {
    float* features = tape.features.row(c);
    features[kRetrieval] = retrieval[c];
    features[kPopularity] = candidates.log_popularity[c];
    features[kFresh] = candidates.log_popularity[c] > 0 ? 0 : 1;
  }
  transition_features(context, weights, relations, behaviours.behaviours, by_row, tape);
  ease_features(context, weights, relations.ease, behaviours, by_row, tape);
  context.check_stop();
  text_features(tape);
  vector_features(context, weights.shape.width, behaviours, candidates, tape);
}

}  // namespace fovea::ranking
