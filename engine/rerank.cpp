// Step 3 of a ranking: one formula for every candidate, however it came into the list.
#include <algorithm>
#include <functional>
#include <span>

#include "engine/pipeline.h"

namespace fovea::engine {
namespace {

/// Of the cosine to the user's texts, where nothing was learned.
constexpr double kTextWeight = 10;
/// Of an item that looks like one whose action has weight -1; a third of the spread of the scores.
constexpr double kDislikeWeight = 2;
/// Of log popularity beside another signal; 1 where it is all that is known.
constexpr double kPopularityWeight = 0.1;

double cosine(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += static_cast<double>(a[k]) * b[k];
  return sum;
}

/// The learned model's scores of `rows`, which stand at `places` among the candidates, and with
/// them its explanation.
void score_learned(const Snapshot& snapshot, const Question& question, const UserState& user,
                   std::span<const std::uint32_t> rows, std::span<const std::size_t> places,
                   const GatheredVectors& vectors, Scored& scored) {
  const bool explain = question.explain;
  if (rows.empty()) return;
  std::vector<float> popularity;
  popularity.reserve(rows.size());
  for (const auto row : rows) popularity.push_back(snapshot.popularity->log_popularity(row));
  const std::function<bool()> late = [&] { return question.deadline.near(); };
  auto scores = snapshot.model->model()->score(
      ranking::Context{.stop = &late}, user.hidden,
      {user.behaviours, user.vectors.items, user.vectors.texts, user.earlier, user.bias},
      {rows, vectors.items, vectors.texts, popularity}, user.centre, explain,
      snapshot.fresh_transitions.get());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double& score = scored.scores[places[i]];
    score = scores.total[i];
    if (!explain) continue;
    auto& parts = scored.parts[places[i]];
    double sum = 0;
    for (std::size_t p = 0; p < ranking::kScoreParts.size(); ++p) {
      parts.emplace_back(ranking::kScoreParts[p], scores.parts[i][p]);
      sum += scores.parts[i][p];
    }
    // The total was added up in single precision; the last part takes the rounding, so that the
    // parts add up.
    parts.back().second += score - sum;
  }
  scored.attention = std::move(scores.attention);
}

/// Without behaviours or without a learned model: popularity, weakly where the request says more.
void score_popularity(const Snapshot& snapshot, std::span<const std::uint32_t> rows,
                      bool something_known, bool explain, Scored& scored) {
  const double weight = something_known ? kPopularityWeight : 1;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    scored.scores[i] = weight * snapshot.popularity->log_popularity(rows[i]);
    if (explain) scored.parts[i].emplace_back("popularity", scored.scores[i]);
  }
}

/// Adds weight * cosine(text of the item, direction) as one named part.
void add_cosine(std::string_view part, double weight, std::span<const float> direction,
                std::span<const float> texts, bool explain, Scored& scored) {
  if (direction.empty()) return;
  for (std::size_t i = 0; i < scored.scores.size(); ++i) {
    const double value =
        weight * cosine(direction, texts.subspan(i * direction.size(), direction.size()));
    scored.scores[i] += value;
    if (explain) scored.parts[i].emplace_back(part, value);
  }
}

/// Adds what each item is to the query as up to three named parts.
void add_relevance(std::span<const Candidate> items, bool explain, Scored& scored) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Relevance& relevance = items[i].relevance;
    for (const auto& [part, value] : {std::pair<std::string_view, double>("words", relevance.words),
                                      {"vectors", relevance.vectors},
                                      {"exact", relevance.exact}}) {
      scored.scores[i] += kRelevanceWeight * value;
      if (explain && value != 0) scored.parts[i].emplace_back(part, kRelevanceWeight * value);
    }
  }
}

/// What the user pushed away pushes away what is like it: by the greatest cosine to one of them
/// times how negative its action is, so that ten of a kind weigh no more than one.
void add_dislikes(const Snapshot& snapshot, const Question& question,
                  std::span<const Candidate> items, Scored& scored) {
  if (!snapshot.model || question.disliked.empty()) return;
  std::vector<std::uint32_t> rows;
  for (const auto& one : question.disliked) rows.push_back(one.behaviour.row);
  const std::size_t disliked = rows.size();
  for (const Candidate& item : items) rows.push_back(item.row);
  const std::vector<float> vectors = unit_vectors(*snapshot.model, rows);
  const std::size_t width = vectors.size() / rows.size();
  const auto vector = [&](std::size_t i) { return std::span(vectors).subspan(i * width, width); };
  for (std::size_t i = 0; i < items.size(); ++i) {
    double away = 0;
    for (std::size_t j = 0; j < disliked; ++j) {
      away = std::max(away, std::min(-question.disliked[j].weight, 1.0) *
                                cosine(vector(j), vector(disliked + i)));
    }
    const double value = -kDislikeWeight * away;
    scored.scores[i] += value;
    if (question.explain) scored.parts[i].emplace_back("disliked", value);
  }
}

void add_boosts(const Snapshot& snapshot, const Question& question,
                std::span<const Candidate> items, Scored& scored) {
  if (question.boosts.empty()) return;
  std::vector<std::uint32_t> rows;
  for (const Candidate& item : items) rows.push_back(item.row);
  std::vector<double> sums(items.size());
  for (const auto& boost : question.boosts) {
    const auto matches = snapshot.attributes->matches(boost.filter, rows);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += matches[i] != 0 ? boost.add : 0;
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    scored.scores[i] += sums[i];
    if (question.explain) scored.parts[i].emplace_back("boost", sums[i]);
  }
}

/// The candidates as they were found.
Scored in_retrieval_order(std::size_t candidates, bool explain) {
  Scored scored;
  for (std::size_t i = 0; i < candidates; ++i) {
    scored.scores.push_back(0.0 - static_cast<double>(i));  // no -0
    if (explain) scored.parts.push_back({{"retrieval", scored.scores.back()}});
  }
  return scored;
}

}  // namespace

Scored rerank(const Snapshot& snapshot, const Question& question, const Candidates& candidates) {
  const std::vector<Candidate>& items = candidates.items;
  Scored scored;
  scored.scores.resize(items.size());
  if (items.empty()) return scored;
  if (!question.ranker) {
    scored = in_retrieval_order(items.size(), question.explain);
    add_boosts(snapshot, question, items, scored);
    return scored;
  }
  const auto out_of_time = [&] {
    Scored unscored = in_retrieval_order(items.size(), question.explain);
    unscored.out_of_time = true;
    return unscored;
  };
  const UserState& user = candidates.user;
  // To gather a long list may take longer than what is left; without a state nothing is slow.
  if (!user.hidden.empty() && question.deadline.near()) return out_of_time();
  if (question.explain) scored.parts.resize(items.size());
  std::vector<std::uint32_t> rows;  // of those that have no score yet
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].score) {
      scored.scores[i] = *items[i].score;
    } else {
      rows.push_back(items[i].row);
      places.push_back(i);
    }
  }
  GatheredVectors vectors;
  if (snapshot.model) vectors = snapshot.model->vectors().gather(rows);
  if (!user.hidden.empty()) {
    try {
      score_learned(snapshot, question, user, rows, places, vectors, scored);
    } catch (const ranking::Stopped&) {
      return out_of_time();
    }
  } else {
    score_popularity(snapshot, rows, candidates.query_found || !user.mean_text.empty(),
                     question.explain, scored);
    add_cosine("text", kTextWeight, user.mean_text, vectors.texts, question.explain, scored);
  }
  if (candidates.query_found) add_relevance(items, question.explain, scored);
  add_dislikes(snapshot, question, items, scored);
  add_boosts(snapshot, question, items, scored);
  return scored;
}

}  // namespace fovea::engine
