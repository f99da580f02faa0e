// The order of a ranking's steps, and its first and last step.
#include "engine/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <utility>

#include "engine/behaviours.h"
#include "engine/page_token.h"
#include "engine/policy.h"
#include "engine/query_search.h"
#include "engine/request_id.h"

namespace fovea::engine {
namespace {

/// Behaviours with a negative action that still count.
constexpr std::size_t kDislikesMax = 20;
/// More than any store keeps of one user.
constexpr std::size_t kAllKept = 1'000'000;

/// Time since the stage before, under the stage's name.
class StageClock {
 public:
  void stage(const char* name) {
    const auto now = std::chrono::steady_clock::now();
    stage_us_[name] = std::chrono::duration_cast<std::chrono::microseconds>(now - last_).count();
    last_ = now;
  }
  std::map<std::string, std::int64_t> take() { return std::move(stage_us_); }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::map<std::string, std::int64_t> stage_us_;
};

/// Rows of the names that are known and whose items are present, in their order; the other names go
/// to `unknown`, where that is wanted.
std::vector<std::uint32_t> present_rows(const storage::Catalog& catalog,
                                        std::span<const std::string> item_ids,
                                        std::vector<std::string>* unknown = nullptr) {
  std::vector<std::uint32_t> rows;
  for (const auto& item_id : item_ids) {
    const auto row = catalog.row(item_id);
    if (row && catalog.present(*row)) {
      rows.push_back(*row);
    } else if (unknown != nullptr) {
      unknown->push_back(item_id);
    }
  }
  return rows;
}

/// What the request's rules are made of, in rows and parsed.
void read_rules(const Snapshot& snapshot, const RankRequest& request, Question& question) {
  const storage::Catalog& catalog = snapshot.db->catalog();
  question.excluded = present_rows(catalog, request.exclude_items);
  if (request.filter) {
    question.allowed = snapshot.attributes->matching(Filter::parse(*request.filter, "filter"));
  }
  for (std::size_t i = 0; i < request.boosts.size(); ++i) {
    const Boost& boost = request.boosts[i];
    question.boosts.push_back(
        {Filter::parse(boost.filter, fmt::format("boosts[{}].filter", i)), boost.add});
  }
  for (const Pin& pin : request.pins) {
    const auto row = catalog.row(pin.item_id);
    if (row) question.pins.push_back({*row, static_cast<std::size_t>(pin.position)});
  }
  question.caps = request.caps;
  question.diversity = request.diversity;
  question.fingerprint = fingerprint(request);
  if (request.page_token) {
    question.shown = read_page_token(*request.page_token, question.fingerprint).shown;
  }
}

/// What experiments set of where candidates come from.
Snapshot as_set(Snapshot snapshot, const RankRequest& request, const Overrides& set) {
  // A GPU gives scores and not what they are made of.
  if (request.explain) snapshot.gpu = nullptr;
  if (set.candidates) snapshot.retrieve = static_cast<std::size_t>(*set.candidates);
  // Where the request names its candidates, nothing is searched for but the centre of the scores.
  snapshot.exact_search = set.index == IndexKind::kExact && !request.candidates;
  if (snapshot.exact_search && snapshot.gpu != nullptr && snapshot.model) {
    const auto on_gpu = snapshot.model->on_gpu();
    if (!on_gpu || on_gpu->kind() != "gpu-exact") snapshot.gpu = nullptr;
  }
  return snapshot;
}

/// What experiments set of how they are ranked.
void apply(const Overrides& set, Question& question) {
  for (const Boost& boost : set.boosts) {
    question.boosts.push_back({Filter::parse(boost.filter, "boosts"), boost.add});
  }
  if (question.diversity == 0) question.diversity = set.diversity.value_or(0);
  question.ranker = set.ranker.value_or(true);
}

/// Where a shown candidate would stand without one behaviour, over the same candidates. Remembers
/// the scores by behaviour: many items of a list have the same heaviest one.
class WithoutBehaviour {
 public:
  WithoutBehaviour(const Snapshot& snapshot, const Question& question, const Candidates& candidates)
      : snapshot_(snapshot), question_(question), candidates_(candidates) {}

  /// `behaviour` counts in UserState::behaviours. Absent: there was no time.
  std::optional<std::int32_t> position(std::size_t behaviour, std::size_t candidate) {
    auto found = positions_.find(behaviour);
    if (found == positions_.end()) {
      if (question_.deadline.near()) {
        cut_short_ = true;
        return std::nullopt;
      }
      found = positions_.emplace(behaviour, positions_without(behaviour)).first;
    }
    return found->second[candidate];
  }
  bool cut_short() const { return cut_short_; }

 private:
  std::vector<std::int32_t> positions_without(std::size_t behaviour) const {
    // The model reads the newest L; the one that moves up into their place counts too.
    auto behaviours = question_.behaviours;
    const std::size_t first_read = behaviours.size() - candidates_.user.behaviours.size();
    behaviours.erase(behaviours.begin() + static_cast<std::ptrdiff_t>(first_read + behaviour));

    Candidates others{candidates_.items,
                      user_state(snapshot_, behaviours, 0, {}, candidates_.query),
                      candidates_.query_found,
                      {},
                      candidates_.query};
    Question plain;
    plain.now_ms = question_.now_ms;
    plain.boosts = question_.boosts;
    plain.disliked = question_.disliked;
    const auto& without = candidates_.user.behaviours[behaviour];
    std::erase_if(plain.disliked, [&](const auto& disliked) {
      return disliked.behaviour.row == without.row && disliked.behaviour.action == without.action &&
             disliked.behaviour.time_ms == without.time_ms;
    });
    const Scored scored = rerank(snapshot_, plain, others);
    const auto order = best(others, scored.scores, others.items.size());
    std::vector<std::int32_t> positions(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      positions[order[i]] = static_cast<std::int32_t>(i);
    }
    return positions;
  }

  const Snapshot& snapshot_;
  const Question& question_;
  const Candidates& candidates_;
  std::map<std::size_t, std::vector<std::int32_t>> positions_;
  bool cut_short_ = false;
};

Explanation explanation(const Snapshot& snapshot, const Candidates& candidates,
                        const Scored& scored, std::size_t candidate, WithoutBehaviour& without) {
  Explanation result;
  for (const auto& [name, value] : scored.parts[candidate]) result.parts[std::string(name)] = value;
  if (scored.attention.empty()) return result;

  const auto& behaviours = candidates.user.behaviours;
  const auto weights =
      std::span(scored.attention).subspan(candidate * behaviours.size(), behaviours.size());
  std::vector<std::size_t> heaviest;
  for (std::size_t i = 0; i < behaviours.size(); ++i) {
    if (weights[i] > 0) heaviest.push_back(i);
  }
  std::ranges::stable_sort(heaviest, [&](auto a, auto b) { return weights[a] > weights[b]; });
  const auto actions = snapshot.db->catalog().actions();
  for (const std::size_t i : heaviest) {
    const auto& behaviour = behaviours[i];
    result.attention.push_back({snapshot.db->catalog().item_id(behaviour.row),
                                action_name(actions, behaviour.action), behaviour.time_ms,
                                weights[i]});
  }
  if (!heaviest.empty()) {
    result.rank_without_top_event = without.position(heaviest.front(), candidate);
  }
  return result;
}

}  // namespace

Ranking rank(const Snapshot& given, const RankRequest& request, std::int64_t now_ms,
             const Overrides& set) {
  const Snapshot snapshot = as_set(given, request, set);
  if (request.deadline.passed()) {
    throw DeadlinePassed(
        fmt::format("the deadline of {} ms passed while the request waited for its turn",
                    request.deadline.within().count()));
  }
  StageClock clock;
  Question question = history(snapshot, request, now_ms);
  apply(set, question);
  clock.stage("history");
  const Candidates found = candidates(snapshot, question);
  clock.stage("candidates");
  const Scored scored = rerank(snapshot, question, found);
  clock.stage("rerank");
  RankResponse response = respond(snapshot, question, found, scored);
  clock.stage("respond");
  response.stage_us = clock.take();
  return {std::move(question), std::move(response)};
}

Question history(const Snapshot& snapshot, const RankRequest& request, std::int64_t now_ms,
                 std::optional<std::int64_t> before_ms) {
  const storage::Catalog& catalog = snapshot.db->catalog();
  Question question;
  std::vector<ranking::Behaviour> all;
  if (request.user_id) {
    const auto stored = snapshot.db->history().read(*request.user_id, kAllKept);
    all.reserve(stored.size());
    for (auto event = stored.rbegin(); event != stored.rend(); ++event) {
      if (!before_ms || event->time_ms < *before_ms) all.push_back(to_behaviour(*event));
    }
  }
  const std::size_t session_begin = all.size();
  for (std::size_t i = 0; i < request.session.size(); ++i) {
    const Event& event = request.session[i];
    const auto action =
        declared_action(catalog, event.action, fmt::format("session[{}].action", i));
    const auto row = catalog.row(event.item_id);
    if (!row) continue;
    all.push_back(to_behaviour(*row, action, event.value, event.time_ms.value_or(now_ms)));
  }
  std::stable_sort(all.begin() + static_cast<std::ptrdiff_t>(session_begin), all.end(),
                   [](const auto& a, const auto& b) { return a.time_ms < b.time_ms; });
  const auto actions = catalog.actions();
  for (const auto& behaviour : all) {
    if (!snapshot.not_seen->contains(action_name(actions, behaviour.action))) {
      question.seen.push_back(behaviour.row);
    }
  }

  question.seeds = present_rows(catalog, request.seed_items);
  for (const auto row : question.seeds) all.push_back({row, kSeedAction, 0, now_ms});

  // Items that nobody has put yet, or that were removed, have nothing to attend to.
  const std::size_t learned =
      snapshot.model && snapshot.model->model() != nullptr ? snapshot.model->model()->actions() : 0;
  for (const auto& behaviour : all) {
    if (!catalog.present(behaviour.row)) continue;
    const double weight = action_weight(actions, behaviour.action);
    if (weight < 0) question.disliked.push_back({behaviour, weight});
    if (weight >= 0 || behaviour.action < learned) question.behaviours.push_back(behaviour);
  }
  std::ranges::reverse(question.disliked);
  if (question.disliked.size() > kDislikesMax) question.disliked.resize(kDislikesMax);
  if (request.candidates) {
    question.candidates = present_rows(catalog, *request.candidates, &question.unknown_candidates);
  }
  read_rules(snapshot, request, question);
  question.query = request.query;
  question.limit = static_cast<std::size_t>(request.limit);
  question.include_seen = request.include_seen;
  question.explain = request.explain;
  question.now_ms = now_ms;
  question.deadline = request.deadline;
  return question;
}

namespace {

std::vector<Placed> page_of(const Snapshot& snapshot, const Question& question,
                            const Candidates& candidates, const Scored& scored) {
  Rules rules;
  rules.limit = question.limit;
  rules.first = question.shown.size();
  std::vector<float> vectors;
  if (question.diversity > 0 && snapshot.model) {
    std::vector<std::uint32_t> rows;
    for (const Candidate& candidate : candidates.items) rows.push_back(candidate.row);
    vectors = unit_vectors(*snapshot.model, rows);
    rules.width = rows.empty() ? 0 : vectors.size() / rows.size();
    rules.diversity = question.diversity;
    rules.vectors = vectors;
  }
  for (const Cap& cap : question.caps) {
    CapValues& values =
        rules.caps.emplace_back(CapValues{cap.attribute, static_cast<std::size_t>(cap.at_most)});
    for (const Candidate& candidate : candidates.items) {
      values.keys.push_back(snapshot.attributes->values(candidate.row, cap.attribute));
    }
  }
  for (std::size_t i = 0; i < candidates.items.size(); ++i) {
    for (const auto& pin : question.pins) {
      if (pin.row == candidates.items[i].row) rules.pins.push_back({i, pin.position});
    }
  }
  // Where every candidate that is not pinned may stand next, no others than these can come up.
  const bool in_order = rules.caps.empty() && rules.diversity == 0;
  const std::size_t needed = in_order ? rules.limit + rules.pins.size() : candidates.items.size();
  return arrange(best(candidates, scored.scores, needed), scored.scores, rules);
}

/// Absent where nothing is left to show.
std::optional<std::string> next_page(const Snapshot& snapshot, const Question& question,
                                     const Candidates& candidates, std::span<const Placed> page) {
  PageToken token{question.fingerprint, question.shown};
  for (const Placed& placed : page) token.shown.push_back(candidates.items[placed.candidate].row);
  const auto items = question.candidates ? candidates.items.size() + question.shown.size()
                                         : static_cast<std::size_t>(snapshot.db->catalog().size());
  if (page.size() < question.limit || token.shown.size() >= std::min(items, kShownMax)) return {};
  std::ranges::sort(token.shown);
  return to_text(token);
}

void degrade(RankResponse& response, const std::string& reason) {
  response.degraded_reason =
      response.degraded ? fmt::format("{}; {}", *response.degraded_reason, reason) : reason;
  response.degraded = true;
}

}  // namespace

RankResponse respond(const Snapshot& snapshot, const Question& question,
                     const Candidates& candidates, const Scored& scored) {
  RankResponse response;
  response.request_id = new_request_id();
  if (snapshot.model) response.model_version = snapshot.model->card().version;
  if (!candidates.user.off_gpu.empty()) {
    degrade(response, "ranked on the CPU: " + candidates.user.off_gpu);
  }
  if (scored.out_of_time) {
    degrade(response, fmt::format("in the order of retrieval: the deadline of {} ms came near",
                                  question.deadline.within().count()));
  }
  response.unknown_candidates = question.unknown_candidates;
  response.corrected_query = candidates.corrected_query;
  WithoutBehaviour without(snapshot, question, candidates);
  std::optional<QueryExplanation> query;
  if (question.explain && question.query) {
    query.emplace(snapshot, candidates.corrected_query.value_or(*question.query), candidates.query);
  }
  auto page = page_of(snapshot, question, candidates, scored);
  for (Placed& placed : page) {
    const std::size_t i = placed.candidate;
    const Candidate& candidate = candidates.items[i];
    RankedItem item{snapshot.db->catalog().item_id(candidate.row), scored.scores[i],
                    std::string(placed.pinned ? "pin" : candidate.source), std::nullopt};
    if (question.explain) {
      item.explanation = explanation(snapshot, candidates, scored, i, without);
      if (query) query->tell(candidate.row, *item.explanation);
      item.explanation->rules = std::move(placed.moved_by);
      for (const auto& boost : question.boosts) {
        if (!snapshot.attributes->matches(boost.filter, candidate.row)) continue;
        item.explanation->rules.push_back(
            fmt::format("boost: {:+g} for {}", boost.add, boost.filter.to_string()));
      }
    }
    response.items.push_back(std::move(item));
  }
  if (without.cut_short()) {
    degrade(response, fmt::format("rank_without_top_event is missing: the deadline of {} ms came "
                                  "near",
                                  question.deadline.within().count()));
  }
  response.next_page_token = next_page(snapshot, question, candidates, page);
  return response;
}

std::vector<std::size_t> best(const Candidates& candidates, std::span<const double> scores,
                              std::size_t n) {
  std::vector<std::size_t> order(candidates.items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  n = std::min(n, order.size());
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(n);
  const auto before = [&](std::size_t a, std::size_t b) {
    if (scores[a] != scores[b]) return scores[a] > scores[b];
    return candidates.items[a].row < candidates.items[b].row;
  };
  if (n < order.size()) std::ranges::nth_element(order, end, before);
  std::ranges::sort(order.begin(), end, before);
  order.resize(n);
  return order;
}

}  // namespace fovea::engine
