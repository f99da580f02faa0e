// Random rankers, catalogues and batches for the tests and benchmarks of the fused scorer, and what
// the CPU says of them. Everything follows from a seed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "ranking/item_pairs.h"
#include "ranking/random.h"
#include "ranking/ranker.h"
#include "ranking/scorer.h"
#include "ranking/transitions.h"

namespace fovea::ranking {

struct ScorerCase {
  RankerWeights weights;
  std::size_t items = 0;  // V
  std::vector<float> vectors, texts, log_popularity;
  Transitions transitions, since;
  ItemPairs ease;

  struct Request {
    std::vector<Behaviour> behaviours, earlier;
    std::vector<float> state;
    float centre = 0;
    std::vector<std::uint32_t> candidates;
    std::vector<float> bias;
  };
  std::vector<Request> requests;

  ScorerItems catalogue() const { return {vectors, texts, log_popularity}; }
  ItemRelations relations() const { return {transitions, ease, &since}; }
  std::vector<ScorerRequest> batch() const {
    std::vector<ScorerRequest> batch;
    for (const Request& r : requests) {
      batch.push_back({r.behaviours, r.earlier, r.state, r.centre, r.candidates, r.bias});
    }
    return batch;
  }
  std::size_t candidates() const {
    std::size_t n = 0;
    for (const Request& r : requests) n += r.candidates.size();
    return n;
  }
};

inline std::vector<float> random_values(Random& random, std::size_t n, float deviation) {
  std::vector<float> values(n);
  for (float& x : values) x = deviation * random.normal();
  return values;
}

/// `entries` for each of `items` sources, of random targets.
inline ItemPairs random_pairs(Random& random, std::size_t items, std::size_t entries,
                              bool positive) {
  ItemPairs pairs;
  for (std::size_t source = 0; source < items; ++source) {
    std::vector<ItemPairs::Entry> row;
    for (std::size_t i = 0; i < entries; ++i) {
      const float weight = 0.2F * random.normal();
      row.push_back(
          {static_cast<std::uint32_t>(random.below(items)), positive ? std::fabs(weight) : weight});
    }
    std::ranges::sort(row, {}, &ItemPairs::Entry::row);
    row.erase(std::ranges::unique(row, {}, &ItemPairs::Entry::row).begin(), row.end());
    pairs.add_source(std::move(row), entries);
  }
  return pairs;
}

/// A ranker with nothing at zero, over `items` items of which every seventh is fresh and every
/// eleventh without a vector; requests are for add_request().
inline ScorerCase scorer_case(const RankerShape& shape, std::size_t items, std::size_t entries,
                              std::uint64_t seed) {
  Random random(seed);
  ScorerCase made;
  made.weights = RankerWeights::initial(shape, seed);
  for (auto& [name, tensor] : made.weights.tensors()) {
    for (float& x : tensor->values()) x += 0.05F * random.normal();
  }
  made.weights.value_scale = 0.7F;
  for (float& x : made.weights.feature_mean.values()) x = 0.1F * random.normal();
  for (float& x : made.weights.feature_scale.values()) x = 0.5F + 0.1F * random.normal();
  for (std::size_t a = 0; a < shape.actions; ++a) {
    made.weights.action_weights[a] = a % 3 == 2 ? -1.0F : 1.0F;
  }
  made.items = items;
  made.vectors = random_values(random, items * shape.width, 0.3F);
  made.texts =
      random_values(random, items * shape.text_width,
                    1 / std::sqrt(static_cast<float>(std::max(shape.text_width, std::size_t{1}))));
  made.log_popularity.resize(items);
  for (std::size_t i = 0; i < items; ++i) {
    made.log_popularity[i] =
        i % 7 == 0 ? 0 : std::log1p(static_cast<float>(1 + random.below(1000)));
    if (i % 11 == 5) {
      std::fill_n(made.vectors.begin() + static_cast<std::ptrdiff_t>(i * shape.width), shape.width,
                  0.0F);
    }
  }
  made.transitions = Transitions(random_pairs(random, items, entries, true));
  made.since = Transitions(random_pairs(random, items, entries / 4, true));
  made.ease = random_pairs(random, items, entries, false);
  return made;
}

/// Another MLP, of two layers of different widths; the ranker's own has one width.
inline void widen(ScorerCase& made, std::size_t hidden1, std::size_t hidden2) {
  Random random(17);
  RankerWeights& weights = made.weights;
  const std::size_t features = weights.features();
  weights.hidden1 = Tensor({hidden1, features}, random_values(random, hidden1 * features, 0.3F));
  weights.bias1 = Tensor({hidden1}, random_values(random, hidden1, 0.1F));
  weights.hidden2 = Tensor({hidden2, hidden1}, random_values(random, hidden2 * hidden1, 0.1F));
  weights.bias2 = Tensor({hidden2}, random_values(random, hidden2, 0.1F));
  weights.out = Tensor({hidden2}, random_values(random, hidden2, 0.1F));
}

/// One more user: `l` behaviours, `earlier` before them, `n` candidates, some of them twice; with
/// an odd seed as if they had searched.
inline void add_request(ScorerCase& made, std::size_t l, std::size_t earlier, std::size_t n,
                        std::uint64_t seed) {
  Random random(seed);
  ScorerCase::Request& request = made.requests.emplace_back();
  const auto behave = [&](std::size_t count) {
    std::vector<Behaviour> behaviours(count);
    for (std::size_t i = 0; i < count; ++i) {
      behaviours[i] = {static_cast<std::uint32_t>(random.below(made.items)),
                       static_cast<std::uint16_t>(random.below(made.weights.shape.actions)),
                       static_cast<float>(random.below(5)),
                       static_cast<std::int64_t>(i) * 3'600'000};
    }
    return behaviours;
  };
  request.behaviours = behave(l);
  request.earlier = behave(earlier);
  request.state = random_values(random, made.weights.shape.width, 0.3F);
  request.centre = 0.1F * random.normal();
  for (std::size_t i = 0; i < n; ++i) {
    request.candidates.push_back(i % 50 == 49
                                     ? request.candidates[i - 7]
                                     : static_cast<std::uint32_t>(random.below(made.items)));
  }
  if (seed % 2 == 1) request.bias = random_values(random, l, 1);
}

/// What a search would have left, in the host's memory, and the batch that goes with it.
struct RetrievedLists {
  std::size_t count = 0, centre_k = 0;
  std::vector<std::uint32_t> rows;                // [B, count]
  std::vector<float> similarities, states;        // [B, count], [B, D]
  std::vector<std::vector<std::uint32_t>> given;  // by request

  ScorerRetrieved view() const {
    return {rows.data(), similarities.data(), states.data(), count, centre_k};
  }
  std::vector<ScorerRequest> batch(const ScorerCase& made) const {
    std::vector<ScorerRequest> batch;
    for (std::size_t u = 0; u < made.requests.size(); ++u) {
      const ScorerCase::Request& request = made.requests[u];
      batch.push_back({request.behaviours, request.earlier, {}, 1e6F, given[u], request.bias});
    }
    return batch;
  }
};

/// `count` rows for each request, of which every second list is full, every fourth empty; some are
/// among the candidates that the request has. In `made`, they come before those, with the centre
/// that follows: what is then expected of `made` is expected of the lists.
inline RetrievedLists retrieve(ScorerCase& made, std::size_t count, std::size_t centre_k,
                               std::uint64_t seed) {
  Random random(seed);
  const std::size_t width = made.weights.shape.width;
  RetrievedLists lists{.count = count, .centre_k = centre_k};
  for (std::size_t u = 0; u < made.requests.size(); ++u) {
    ScorerCase::Request& request = made.requests[u];
    const std::size_t found = u % 2 == 0 ? count : u % 4 == 3 ? 0 : random.below(count + 1);
    std::vector<std::pair<float, std::uint32_t>> best;
    for (std::size_t i = 0; i < found; ++i) {
      const std::uint32_t row = i % 4 == 1 && !request.candidates.empty()
                                    ? request.candidates[random.below(request.candidates.size())]
                                    : static_cast<std::uint32_t>(random.below(made.items));
      double product = 0;
      for (std::size_t d = 0; d < width; ++d) {
        product += static_cast<double>(request.state[d]) * made.vectors[row * width + d];
      }
      best.emplace_back(static_cast<float>(product), row);
    }
    std::ranges::sort(best, std::greater());
    double sum = 0;
    const std::size_t centred = std::min(found, centre_k);
    for (std::size_t i = 0; i < centred; ++i) sum += best[i].first;
    request.centre = centred == 0 ? 0 : static_cast<float>(sum / static_cast<double>(centred));
    best.resize(count, {-INFINITY, 0xFFFFFFFF});
    lists.states.insert(lists.states.end(), request.state.begin(), request.state.end());
    lists.given.push_back(request.candidates);
    std::vector<std::uint32_t> all;
    for (const auto& [similarity, row] : best) {
      lists.similarities.push_back(similarity);
      lists.rows.push_back(row);
      all.push_back(row);
    }
    all.insert(all.end(), request.candidates.begin(), request.candidates.end());
    request.candidates = std::move(all);
  }
  return lists;
}

/// Scores of a user without behaviours, whom rank_candidates() does not take: what behaviours would
/// say is 0.
inline std::vector<float> expected_without_behaviours(const ScorerCase& made,
                                                      const ScorerCase::Request& request) {
  const RankerWeights& w = made.weights;
  std::vector<float> scores;
  for (const std::uint32_t row : request.candidates) {
    if (row >= made.items) {
      scores.push_back(-INFINITY);
      continue;
    }
    double retrieval = -request.centre;
    for (std::size_t d = 0; d < w.shape.width; ++d) {
      retrieval += static_cast<double>(request.state[d]) * made.vectors[row * w.shape.width + d];
    }
    std::vector<double> features(w.features());
    features[kRetrieval] = retrieval;
    features[kPopularity] = made.log_popularity[row];
    features[kFresh] = made.log_popularity[row] > 0 ? 0 : 1;
    for (const Behaviour& b : request.earlier) {
      if (w.action_weights[b.action] > 0) features[kEase] += made.ease.weight(b.row, row);
    }
    double score = 0;
    for (std::size_t f = 0; f < features.size(); ++f) {
      features[f] = (features[f] - w.feature_mean[f]) * w.feature_scale[f];
      score += w.linear[f] * features[f];
    }
    std::vector<double> hidden(w.shape.hidden);
    for (std::size_t i = 0; i < hidden.size(); ++i) {
      hidden[i] = w.bias1[i];
      for (std::size_t f = 0; f < features.size(); ++f) {
        hidden[i] += w.hidden1.row(i)[f] * features[f];
      }
      hidden[i] = std::max(hidden[i], 0.0);
    }
    for (std::size_t o = 0; o < hidden.size(); ++o) {
      double unit = w.bias2[o];
      for (std::size_t i = 0; i < hidden.size(); ++i) unit += w.hidden2.row(o)[i] * hidden[i];
      score += w.out[o] * std::max(unit, 0.0);
    }
    scores.push_back(static_cast<float>(score));
  }
  return scores;
}

/// What rank_candidates() says of every candidate, request after request; -infinity for a row that
/// is none.
inline std::vector<float> expected_scores(const ScorerCase& made) {
  const std::size_t width = made.weights.shape.width;
  const std::size_t text_width = made.weights.shape.text_width;
  std::vector<float> scores;
  RankerTape tape;
  const auto gather = [](const std::vector<float>& from, std::size_t columns, std::uint32_t row,
                         std::vector<float>& to) {
    const auto begin = from.begin() + static_cast<std::ptrdiff_t>(row * columns);
    to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
  };
  for (const ScorerCase::Request& request : made.requests) {
    if (request.candidates.empty()) continue;
    if (request.behaviours.empty()) {
      const auto some = expected_without_behaviours(made, request);
      scores.insert(scores.end(), some.begin(), some.end());
      continue;
    }
    std::vector<float> seen, seen_texts, vectors, texts, popularity, retrieval;
    for (const Behaviour& b : request.behaviours) {
      gather(made.vectors, width, b.row, seen);
      gather(made.texts, text_width, b.row, seen_texts);
    }
    std::vector<std::uint32_t> known;
    for (const std::uint32_t row : request.candidates) {
      if (row < made.items) known.push_back(row);
    }
    for (const std::uint32_t row : known) {
      gather(made.vectors, width, row, vectors);
      gather(made.texts, text_width, row, texts);
      popularity.push_back(made.log_popularity[row]);
      double product = -request.centre;
      for (std::size_t d = 0; d < width; ++d) {
        product += static_cast<double>(request.state[d]) * made.vectors[row * width + d];
      }
      retrieval.push_back(static_cast<float>(product));
    }
    if (known.empty()) {
      scores.insert(scores.end(), request.candidates.size(), -INFINITY);
      continue;
    }
    rank_candidates(Context{}, made.weights, made.relations(),
                    {request.behaviours, seen, seen_texts, request.earlier, request.bias},
                    {known, vectors, texts, popularity}, retrieval, 0, 0, tape);
    std::size_t next = 0;
    for (const std::uint32_t row : request.candidates) {
      scores.push_back(row < made.items ? tape.scores[next++] : -INFINITY);
    }
  }
  return scores;
}

/// Whether float32 scores agree: within 1e-4, of numbers above one of themselves.
inline bool agree(float score, float expected) {
  return score == expected ||  // -infinity too
         std::fabs(score - expected) <= 1e-4F * std::max(1.0F, std::fabs(expected));
}

/// What bfloat16 may cost a score, as a share of the spread of its request's scores: a factor is
/// rounded by at most 2^-9 of itself, and in a sum most errors cancel. And how many of the first
/// ten of a list stay among them.
inline constexpr double kBfloat16Error = 0.05;
inline constexpr double kBfloat16Kept = 0.8;

struct Bfloat16Cost {
  double error = 0;  // the largest, as a share of the spread
  double kept = 1;   // of the first ten of lists of at least a hundred
};

/// `scores` against `expected`, both request after request.
inline Bfloat16Cost bfloat16_cost(const ScorerCase& made, std::span<const float> scores,
                                  std::span<const float> expected) {
  const auto top_of = [](std::span<const float> of) {
    std::vector<std::uint32_t> order(of.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, [&](auto a, auto b) { return of[a] > of[b]; });
    order.resize(10);
    return order;
  };
  Bfloat16Cost cost;
  double asked = 0;
  double same = 0;
  for (const ScorerCase::Request& request : made.requests) {
    const std::size_t n = request.candidates.size();
    const auto of_cpu = expected.first(n);
    const auto of_gpu = scores.first(n);
    expected = expected.subspan(n);
    scores = scores.subspan(n);
    double known = 0;
    double sum = 0;
    double squares = 0;
    for (const float x : of_cpu) {
      if (x == -INFINITY) continue;
      known += 1;
      sum += x;
      squares += double{x} * x;
    }
    const double mean = sum / std::max(known, 1.0);
    const double variance = squares / std::max(known, 1.0) - mean * mean;
    const double spread = std::max(std::sqrt(std::max(variance, 0.0)), 0.5);  // short lists: little
    for (std::size_t i = 0; i < n; ++i) {
      if (of_gpu[i] == of_cpu[i]) continue;  // -infinity too
      const double error = std::fabs(of_gpu[i] - of_cpu[i]) / spread;
      if (!(error <= cost.error)) cost.error = error;  // also what is no number
    }
    if (known < 100) continue;
    const auto top = top_of(of_cpu);
    for (const std::uint32_t c : top_of(of_gpu)) {
      same += static_cast<double>(std::ranges::count(top, c));
    }
    asked += 10;
  }
  if (asked > 0) cost.kept = same / asked;
  return cost;
}

}  // namespace fovea::ranking
