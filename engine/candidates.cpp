// Step 2 of a ranking: which items are worth a score.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "engine/behaviours.h"
#include "engine/gpu.h"
#include "engine/pipeline.h"
#include "engine/places.h"
#include "engine/query_search.h"
#include "index/exact_scan.h"
#include "ranking/query_bias.h"

namespace fovea::engine {
namespace {

constexpr std::string_view kPin = "pin";
/// Behaviours that a text-only version averages.
constexpr std::size_t kMeanTextBehavioursMax = 50;

/// Of behaviours, neighbours or entries, in their order.
template <typename List>
std::vector<std::uint32_t> rows_of(const List& list) {
  std::vector<std::uint32_t> rows;
  rows.reserve(list.size());
  for (const auto& one : list) rows.push_back(one.row);
  return rows;
}

std::vector<index::Neighbour> nearest_to(const Snapshot& snapshot,
                                         const index::GenerationalIndex& index,
                                         std::span<const float> query, std::size_t k,
                                         const index::RowSet* allow = nullptr) {
  return snapshot.exact_search ? index.search_exact(query, k, allow)
                               : index.search(query, k, allow);
}

/// Without a learned model: the direction of the texts of what the user liked. Empty where there is
/// none.
std::vector<float> mean_text(const LiveModel& model, std::span<const storage::Action> actions,
                             std::span<const ranking::Behaviour> behaviours) {
  const std::size_t width = model.text_space().width();
  const auto newest = behaviours.last(std::min(behaviours.size(), kMeanTextBehavioursMax));
  const auto gathered = model.vectors().gather(rows_of(newest));
  std::vector<float> mean(width);
  for (std::size_t i = 0; i < newest.size(); ++i) {
    const double weight = action_weight(actions, newest[i].action);
    if (weight <= 0) continue;
    for (std::size_t k = 0; k < width; ++k) {
      mean[k] += static_cast<float>(weight) * gathered.texts[i * width + k];
    }
  }
  double square = 0;
  for (const float value : mean) square += static_cast<double>(value) * value;
  if (square == 0) return {};
  for (float& value : mean) value = static_cast<float>(value / std::sqrt(square));
  return mean;
}

/// Collects candidates that may be shown, each once.
class Collector {
 public:
  /// `allowed` (or null) is what the request's filter leaves.
  Collector(const storage::Catalog& catalog, const index::RowSet* allowed)
      : allowed_(allowed), present_(catalog.present()), taken_(present_.size(), false) {}

  void leave_out(std::span<const std::uint32_t> rows) {
    for (const auto row : rows) {
      if (row < taken_.size() && !taken_[row]) {
        taken_[row] = true;
        ++left_out_;
      }
    }
  }
  std::size_t left_out() const { return left_out_; }

  bool may_add(std::uint32_t row) const {
    return row < taken_.size() && !taken_[row] && present_[row] &&
           (allowed_ == nullptr || allowed_->contains(row));
  }
  /// False for a row that is left out, already there, not allowed, or of an item that is absent or
  /// newer than this request.
  bool add(std::uint32_t row, std::string_view source, std::optional<float> score = {}) {
    if (!may_add(row)) return false;
    taken_[row] = true;
    items_.push_back({row, source, score});
    return true;
  }
  /// Best first.
  struct Ranked {
    std::span<const std::uint32_t> rows;
    std::span<const float> scores = {};  ///< Empty, or one for each.
  };
  void add(const Ranked& list, std::string_view source) {
    for (std::size_t i = 0; i < list.rows.size(); ++i) add(list, i, source);
  }
  /// Of two lists in turn, until n were added or both have ended.
  void add_in_turn(const Ranked& first, const Ranked& second, std::size_t n,
                   std::string_view source) {
    const std::size_t longest = std::max(first.rows.size(), second.rows.size());
    for (std::size_t i = 0; i < longest; ++i) {
      for (const Ranked* list : {&first, &second}) {
        if (n == 0) return;
        if (i < list->rows.size() && add(*list, i, source)) --n;
      }
    }
  }
  /// Of what a query found, until n were added; `scores` is empty or has one for each.
  void add_relevant(std::span<const Relevant> relevant, std::span<const float> scores,
                    std::size_t n) {
    for (std::size_t i = 0; i < relevant.size() && n > 0; ++i) {
      const auto score = scores.empty() ? std::nullopt : std::optional(scores[i]);
      if (add(relevant[i].row, relevant[i].relevance.source(), score)) --n;
    }
  }
  std::span<const Candidate> items() const { return items_; }
  std::vector<Candidate> take() { return std::move(items_); }

 private:
  bool add(const Ranked& list, std::size_t i, std::string_view source) {
    return add(list.rows[i], source,
               list.scores.empty() ? std::nullopt : std::optional(list.scores[i]));
  }

  const index::RowSet* allowed_;
  std::vector<bool> present_;  // by row
  std::vector<bool> taken_;    // by row: left out or already a candidate
  std::size_t left_out_ = 0;
  std::vector<Candidate> items_;
};

/// The n items that most follow the user's newest behaviours, best first.
std::vector<std::uint32_t> following(const Snapshot& snapshot, const Question& question,
                                     std::size_t n) {
  const auto actions = snapshot.db->catalog().actions();
  std::vector<std::uint32_t> newest_first;
  for (auto b = question.behaviours.rbegin(); b != question.behaviours.rend(); ++b) {
    if (action_weight(actions, b->action) > 0) newest_first.push_back(b->row);
  }
  index::Nearest best(n);
  for (const auto& entry : snapshot.model->model()->transitions().following(
           newest_first, snapshot.fresh_transitions.get())) {
    best.add(entry.row, entry.weight);
  }
  return rows_of(best.take());
}

/// Fills up with the most popular: to `wanted` candidates, and until a whole page can stand under
/// the caps.
void add_popular(const Snapshot& snapshot, const Question& question, std::size_t wanted,
                 Collector& collector) {
  Places places(*snapshot.attributes, question.caps);
  for (const Candidate& item : collector.items()) {
    if (item.source == kPin) {
      places.pin(item.row);
    } else if (places.taken() < question.limit) {
      places.take(item.row);
    }
  }
  // False when there is enough.
  const auto add = [&](std::uint32_t row) {
    const bool enough = collector.items().size() >= wanted;
    if (enough && places.taken() >= question.limit) return false;
    if (collector.may_add(row) && (places.take(row) || !enough)) collector.add(row, "popular");
    return true;
  };
  const auto order = snapshot.fallback->order();
  for (const std::uint32_t row : order) {
    if (!add(row)) return;
  }
  for (auto row = static_cast<std::uint32_t>(order.size()); row < snapshot.db->catalog().rows();
       ++row) {
    if (!add(row)) return;
  }
}

/// What a boost lifts must be there to be lifted: of the items that match one and may be shown, as
/// many as fill a page, those found for `query` (null: there is none), the nearest or the most
/// popular.
void add_boosted(const Snapshot& snapshot, const Question& question, const Candidates& found,
                 QuerySearch* query, Collector& collector) {
  for (const auto& boost : question.boosts) {
    if (boost.add <= 0) continue;
    const auto matches = snapshot.attributes->matches(boost.filter, rows_of(collector.items()));
    const auto there = static_cast<std::size_t>(
        std::ranges::count_if(matches, [](auto match) { return match != 0; }));
    if (there >= question.limit) continue;
    const std::size_t missing = question.limit - there;
    index::RowSet matching = snapshot.attributes->matching(boost.filter);
    matching.for_each([&](std::uint32_t row) {
      if (!collector.may_add(row)) matching.erase(row);
    });
    if (found.query_found) {
      collector.add_relevant(query->find(missing, &matching), {}, missing);
    } else if (!found.user.hidden.empty()) {
      const auto rows = rows_of(nearest_to(snapshot, *snapshot.model->item_index(),
                                           found.user.hidden, missing, &matching));
      collector.add({rows}, "vectors");
    } else {
      std::size_t added = 0;
      for (const std::uint32_t row : snapshot.fallback->order()) {
        if (added == missing) break;
        if (matching.contains(row) && collector.add(row, "popular")) ++added;
      }
    }
  }
}

void set_relevance(std::span<const Relevant> relevant, std::span<Candidate> items) {
  std::unordered_map<std::uint32_t, Relevance> by_row;
  for (const Relevant& one : relevant) by_row.emplace(one.row, one.relevance);
  for (Candidate& item : items) {
    const auto found = by_row.find(item.row);
    if (found != by_row.end()) item.relevance = found->second;
  }
}

/// State, nearest items and scores by the GPU. False: the CPU is to do it.
bool ask_gpu(const Snapshot& snapshot, std::size_t nearest, std::span<const std::uint32_t> others,
             UserState& user) {
  user.off_gpu = snapshot.model->off_gpu();
  if (!user.off_gpu.empty()) return false;
  auto answer = snapshot.gpu->rank(snapshot.model,
                                   {user.behaviours,
                                    user.earlier,
                                    user.vectors.items,
                                    nearest,
                                    {others.begin(), others.end()},
                                    user.bias},
                                   snapshot.fresh_transitions);
  if (!answer) {
    user.off_gpu = snapshot.gpu->failure();
    return false;
  }
  user.hidden = std::move(answer->state);
  user.nearest = std::move(answer->nearest);
  user.nearest_scores = std::move(answer->nearest_scores);
  user.other_scores = std::move(answer->other_scores);
  return true;
}

}  // namespace

UserState user_state(const Snapshot& snapshot, std::span<const ranking::Behaviour> behaviours,
                     std::size_t nearest_min, std::span<const std::uint32_t> others,
                     std::span<const float> query) {
  UserState user;
  if (!snapshot.model || behaviours.empty()) return user;
  const ranking::Model* model = snapshot.model->model();
  if (model == nullptr) {
    user.mean_text = mean_text(*snapshot.model, snapshot.db->catalog().actions(), behaviours);
    return user;
  }
  const auto newest = behaviours.last(std::min(behaviours.size(), model->behaviours_max()));
  user.behaviours.assign(newest.begin(), newest.end());
  user.earlier.assign(behaviours.begin(), newest.begin());
  user.vectors = snapshot.model->vectors().gather(rows_of(newest));
  user.bias =
      ranking::query_bias(query, user.vectors.texts, static_cast<float>(snapshot.query_attention));
  const std::size_t nearest = std::max(nearest_min, model->centre_k());
  if (snapshot.gpu == nullptr || !ask_gpu(snapshot, nearest, others, user)) {
    user.hidden = model->user_state(ranking::Context{},
                                    {user.behaviours, user.vectors.items, user.vectors.texts});
    user.nearest = nearest_to(snapshot, *snapshot.model->item_index(), user.hidden, nearest);
  }
  const std::size_t reference = std::min(user.nearest.size(), model->centre_k());
  double sum = 0;
  for (std::size_t i = 0; i < reference; ++i) sum += user.nearest[i].score;
  if (reference > 0) user.centre = static_cast<float>(sum / static_cast<double>(reference));
  return user;
}

Candidates candidates(const Snapshot& snapshot, const Question& question) {
  const index::RowSet* allowed = question.allowed ? &*question.allowed : nullptr;
  Collector collector(snapshot.db->catalog(), allowed);
  collector.leave_out(question.excluded);
  collector.leave_out(question.shown);
  if (!question.candidates) {
    for (const auto& pin : question.pins) collector.add(pin.row, kPin);
    collector.leave_out(question.seeds);
    if (!question.include_seen) collector.leave_out(question.seen);
  }
  const std::size_t retrieve = std::max(snapshot.retrieve, question.limit);
  // Asking for as many more as are left out makes sure that enough remain.
  const std::size_t search = retrieve + collector.left_out();

  Candidates result;
  std::vector<Relevant> relevant;
  std::optional<QuerySearch> query;
  if (question.query) {
    query.emplace(snapshot, *question.query);
    // What a named candidate is to the query does not depend on the others that are named.
    const std::size_t places =
        question.candidates ? std::max(snapshot.retrieve, question.candidates->size()) : search;
    relevant = query->find(places, allowed);
    result.query_found = !relevant.empty();
    result.corrected_query = query->corrected();
    // Encoded by now where vectors are searched; else for who reads it alone.
    const bool attended = snapshot.query_attention != 0 && !question.behaviours.empty();
    if (attended || question.explain) {
      result.query.assign(query->vector().begin(), query->vector().end());
    }
  }
  // What was asked for decides what is found, and who asks decides the order among near ties; where
  // nothing was asked for, what is near to the user and what follows their newest behaviours.
  const bool personal = !question.candidates && !question.query;
  const bool learned = snapshot.model && snapshot.model->model() != nullptr;
  std::vector<std::uint32_t> others;
  if (question.candidates) {
    others = *question.candidates;
  } else if (question.query) {
    others = rows_of(relevant);
  } else if (personal && learned) {
    others = following(snapshot, question, search);
    if (allowed != nullptr) {
      std::erase_if(others, [&](std::uint32_t row) { return !allowed->contains(row); });
    }
  }
  // The user's own search is not filtered: the centre of the scores must not depend on what may be
  // shown.
  result.user = user_state(snapshot, question.behaviours,
                           personal && allowed == nullptr ? search : 0, others, result.query);
  const UserState& user = result.user;

  if (personal && !user.mean_text.empty()) {
    others = rows_of(
        nearest_to(snapshot, snapshot.model->text_index(), user.mean_text, search, allowed));
  }
  if (question.candidates) {
    collector.add({others, user.other_scores}, "candidate");
  } else {
    std::vector<std::uint32_t> nearest;
    std::span<const float> nearest_scores;
    if (personal && allowed == nullptr) {
      nearest = rows_of(user.nearest);
      nearest_scores = user.nearest_scores;
    } else if (personal && !user.hidden.empty()) {
      nearest = rows_of(
          nearest_to(snapshot, *snapshot.model->item_index(), user.hidden, search, allowed));
    }
    if (question.query) {
      collector.add_relevant(relevant, user.other_scores, retrieve);
    } else {
      collector.add_in_turn({nearest, nearest_scores}, {others, user.other_scores}, retrieve,
                            "vectors");
    }
    add_boosted(snapshot, question, result, query ? &*query : nullptr, collector);
    // Who is known needs a full page; for the others, and beside what words alone have found, these
    // are all there is to choose from.
    const bool known =
        (result.query_found && snapshot.model) || !user.hidden.empty() || !user.mean_text.empty();
    add_popular(snapshot, question, known ? 0 : retrieve, collector);
  }
  result.items = collector.take();
  set_relevance(relevant, result.items);
  return result;
}

}  // namespace fovea::engine
