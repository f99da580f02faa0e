// See ranker_features.h.
#include "ranking/ranker_features.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "ranking/clones.h"
#include "ranking/encoder.h"
#include "ranking/ops.h"

namespace fovea::ranking {
namespace {

using ops::Transpose;

constexpr float kGapUnit = 1.0F / 16;  // keeps the gap term near 1: 16 buckets are 18 hours

// The candidates by row: a hash table with linear probing, at most a quarter full, so that most of
// a source's entries, which are no candidates, are known for that at once.
class CandidatesByRow {
 public:
  explicit CandidatesByRow(std::span<const std::uint32_t> rows)
      : shift_(64 -
               static_cast<unsigned>(std::bit_width(4 * std::max(rows.size(), std::size_t{1})))),
        slots_(std::size_t{1} << (64 - shift_)) {
    for (std::size_t c = 0; c < rows.size(); ++c) {
      std::size_t slot = slot_of(rows[c]);
      while (slots_[slot].candidate != kNone) slot = next(slot);
      slots_[slot] = {rows[c], static_cast<std::uint32_t>(c)};
    }
  }

  /// Calls meet(candidate, weight) for each entry of `source` that is a candidate; a row that is
  /// two candidates meets twice.
  template <typename Meet>
  void for_each(std::span<const ItemPairs::Entry> source, const Meet& meet) const {
    for (const ItemPairs::Entry& entry : source) {
      for (std::size_t slot = slot_of(entry.row); slots_[slot].candidate != kNone;
           slot = next(slot)) {
        if (slots_[slot].row == entry.row) meet(slots_[slot].candidate, entry.weight);
      }
    }
  }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Slot {
    std::uint32_t row = 0;
    std::uint32_t candidate = kNone;
  };
  // Multiplicative hashing (Knuth).
  std::size_t slot_of(std::uint32_t row) const {
    return static_cast<std::size_t>(row * std::uint64_t{0x9E3779B97F4A7C15} >> shift_);
  }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (slots_.size() - 1); }

  unsigned shift_;
  std::vector<Slot> slots_;
};

// log_transition [N, L], and the fixed transition score.
void transition_features(const RankerWeights& weights, const ItemRelations& relations,
                         std::span<const Behaviour> behaviours, const CandidatesByRow& by_row,
                         RankerTape& tape) {
  const std::size_t l = behaviours.size();
  const auto log_transition = tape.log_transition.values();
  std::fill(log_transition.begin(), log_transition.end(), std::log(kTransitionFloor));
  std::vector<float> fixed(tape.candidates);
  std::vector<float> of_pair(tape.candidates);
  std::vector<std::size_t> met;
  for (std::size_t j = 0; j < l; ++j) {
    const std::size_t age = l - 1 - j;
    const float decay = age < kRecent && positive(weights, behaviours[j])
                            ? std::pow(Transitions::kAgeDecay, static_cast<float>(age))
                            : 0;
    const auto add = [&](std::size_t c, float weight) {
      if (of_pair[c] == 0) met.push_back(c);
      of_pair[c] += weight;
      fixed[c] += decay * weight;
    };
    by_row.for_each(relations.transitions.from(behaviours[j].row), add);
    if (relations.since != nullptr) by_row.for_each(relations.since->from(behaviours[j].row), add);
    for (const std::size_t c : met) {
      log_transition[c * l + j] = std::log(of_pair[c] + kTransitionFloor);
      of_pair[c] = 0;
    }
    met.clear();
  }
  for (std::size_t c = 0; c < tape.candidates; ++c) {
    tape.features.row(c)[kTransition] = std::log1p(fixed[c] / kTransitionUnit);
  }
}

// ease [N, L], and the score over the whole history.
void ease_features(const RankerWeights& weights, const ItemPairs& ease,
                   const BehaviourInput& behaviours, const CandidatesByRow& by_row,
                   RankerTape& tape) {
  tape.ease.zero();
  std::vector<float> score(tape.candidates);
  for (const Behaviour& behaviour : behaviours.earlier) {
    if (!positive(weights, behaviour)) continue;
    by_row.for_each(ease.from(behaviour.row),
                    [&](std::size_t c, float weight) { score[c] += weight; });
  }
  for (std::size_t j = 0; j < tape.behaviours; ++j) {
    if (!positive(weights, behaviours.behaviours[j])) continue;
    by_row.for_each(ease.from(behaviours.behaviours[j].row), [&](std::size_t c, float weight) {
      score[c] += weight;
      tape.ease.row(c)[j] = weight * kEaseUnit;
    });
  }
  for (std::size_t c = 0; c < tape.candidates; ++c) tape.features.row(c)[kEase] = score[c];
}

void text_features(RankerTape& tape) {
  const std::size_t recent = std::min(tape.behaviours, kRecent);
  for (std::size_t c = 0; c < tape.candidates; ++c) {
    const std::span<const float> cosines(tape.cosine.row(c) + (tape.behaviours - recent), recent);
    float sum = 0;
    for (const float cosine : cosines) sum += cosine;
    float* features = tape.features.row(c);
    features[kTextLast] = cosines.back();
    features[kTextHighest] = *std::ranges::max_element(cosines);
    features[kTextMean] = sum / static_cast<float>(recent);
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

// Makes products of vectors cosines; returns their sum.
FOVEA_CLONES float scale_to_cosines(std::size_t n, float of_candidate, const float* of_behaviour,
                                    float* products) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t j = 0; j < n; ++j) sum += products[j] *= of_candidate * of_behaviour[j];
  return sum;
}

// similarity [N, L], cosines of learned vectors; their mean over the newest behaviours, and weighed
// by how those were valued.
void vector_features(const Context& context, std::size_t d, const BehaviourInput& behaviours,
                     const CandidateInput& candidates, RankerTape& tape) {
  const std::size_t l = tape.behaviours;
  const std::size_t n = tape.candidates;
  ops::gemm(context, Transpose::kNo, Transpose::kYes, n, l, d, 1, candidates.vectors.data(), d,
            behaviours.vectors.data(), d, 0, tape.similarity.data(), l);
  const auto of_candidate = inverse_lengths(n, d, candidates.vectors.data());
  const auto of_behaviour = inverse_lengths(l, d, behaviours.vectors.data());
  // The rows in parts: before the newest 20, before the newest 5, those.
  const std::size_t newest5 = std::min(l, std::size_t{5});
  const std::size_t newest20 = std::min(l, std::size_t{20});
  for (std::size_t c = 0; c < n; ++c) {
    float* row = tape.similarity.row(c);
    const auto sum = [&](std::size_t begin, std::size_t end) {
      return scale_to_cosines(end - begin, of_candidate[c], of_behaviour.data() + begin,
                              row + begin);
    };
    const float sum5 = sum(l - newest5, l);
    const float sum20 = sum5 + sum(l - newest20, l - newest5);
    float* features = tape.features.row(c);
    features[kVectors5] = sum5 / static_cast<float>(newest5);
    features[kVectors20] = sum20 / static_cast<float>(newest20);
    features[kVectors] = (sum20 + sum(0, l - newest20)) / static_cast<float>(l);
    features[kVectorsLiked] = ops::dot(l, tape.rating.data(), row) / static_cast<float>(l);
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
  const CandidatesByRow by_row(candidates.rows);
  BehaviourDescription described = describe_behaviours(weights, behaviours.behaviours);
  tape.age = std::move(described.age);
  tape.gap = std::move(described.gap);
  tape.rating = std::move(described.rating);
  ops::gemm(context, Transpose::kNo, Transpose::kYes, tape.candidates, tape.behaviours, text_width,
            1, candidates.texts.data(), text_width, behaviours.texts.data(), text_width, 0,
            tape.cosine.data(), tape.behaviours);
  for (std::size_t c = 0; c < tape.candidates; ++c) {
    float* features = tape.features.row(c);
    features[kRetrieval] = retrieval[c];
    features[kPopularity] = candidates.log_popularity[c];
    features[kFresh] = candidates.log_popularity[c] > 0 ? 0 : 1;
  }
  transition_features(weights, relations, behaviours.behaviours, by_row, tape);
  ease_features(weights, relations.ease, behaviours, by_row, tape);
  text_features(tape);
  vector_features(context, weights.shape.width, behaviours, candidates, tape);
}

}  // namespace fovea::ranking
