// The order of a ranking's steps, and its first and last step.
#include "engine/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "engine/behaviours.h"

namespace fovea::engine {
namespace {

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

/// 128 random bits.
std::string new_request_id() {
  thread_local std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

/// Rows of the names that are known and whose items are present, in their order.
std::vector<std::uint32_t> present_rows(const storage::Catalog& catalog,
                                        std::span<const std::string> item_ids) {
  std::vector<std::uint32_t> rows;
  for (const auto& item_id : item_ids) {
    const auto row = catalog.row(item_id);
    if (row && catalog.present(*row)) rows.push_back(*row);
  }
  return rows;
}

void expose(const Snapshot& snapshot, const std::string& user_id, const RankResponse& response,
            std::int64_t now_ms) {
  storage::Exposure exposure{response.request_id, now_ms, response.model_version, {}};
  for (const auto& item : response.items) {
    if (const auto row = snapshot.db->catalog().row(item.item_id)) exposure.rows.push_back(*row);
  }
  snapshot.db->exposures().append(user_id, exposure);
}

/// Where a shown candidate would stand without one behaviour, over the same candidates. Remembers
/// the scores by behaviour: many items of a list have the same heaviest one.
class WithoutBehaviour {
 public:
  WithoutBehaviour(const Snapshot& snapshot, const Question& question, const Candidates& candidates)
      : snapshot_(snapshot), question_(question), candidates_(candidates) {}

  /// `behaviour` counts in UserState::behaviours.
  std::int32_t position(std::size_t behaviour, std::size_t candidate) {
    auto [entry, missing] = positions_.try_emplace(behaviour);
    if (missing) entry->second = positions_without(behaviour);
    return entry->second[candidate];
  }

 private:
  std::vector<std::int32_t> positions_without(std::size_t behaviour) const {
    // The model reads the newest L; the one that moves up into their place counts too.
    auto behaviours = question_.behaviours;
    const std::size_t first_read = behaviours.size() - candidates_.user.behaviours.size();
    behaviours.erase(behaviours.begin() + static_cast<std::ptrdiff_t>(first_read + behaviour));

    Candidates others{candidates_.items, user_state(snapshot_, behaviours, 0), candidates_.query};
    Question plain;
    plain.now_ms = question_.now_ms;
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

RankResponse rank(const Snapshot& given, const RankRequest& request, std::int64_t now_ms,
                  bool record_exposure) {
  Snapshot snapshot = given;
  // A GPU gives scores and not what they are made of.
  if (request.explain) snapshot.gpu = nullptr;
  StageClock clock;
  const Question question = history(snapshot, request, now_ms);
  clock.stage("history");
  const Candidates found = candidates(snapshot, question);
  clock.stage("candidates");
  const Scored scored = rerank(snapshot, question, found);
  clock.stage("rerank");
  RankResponse response = respond(snapshot, question, found, scored);
  if (record_exposure && request.user_id) expose(snapshot, *request.user_id, response, now_ms);
  clock.stage("respond");
  response.stage_us = clock.take();
  return response;
}

Question history(const Snapshot& snapshot, const RankRequest& request, std::int64_t now_ms) {
  const storage::Catalog& catalog = snapshot.db->catalog();
  Question question;
  std::vector<ranking::Behaviour> all;
  if (request.user_id) {
    const auto stored = snapshot.db->history().read(*request.user_id, kAllKept);
    all.reserve(stored.size());
    for (auto event = stored.rbegin(); event != stored.rend(); ++event) {
      all.push_back(to_behaviour(*event));
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
  for (const auto& behaviour : all) question.seen.push_back(behaviour.row);

  question.seeds = present_rows(catalog, request.seed_items);
  for (const auto row : question.seeds) all.push_back({row, kSeedAction, 0, now_ms});

  // Items that nobody has put yet, or that were removed, have nothing to attend to.
  for (const auto& behaviour : all) {
    if (catalog.present(behaviour.row)) question.behaviours.push_back(behaviour);
  }
  question.excluded = present_rows(catalog, request.exclude_items);
  if (request.candidates) question.candidates = present_rows(catalog, *request.candidates);
  question.query = request.query;
  question.limit = static_cast<std::size_t>(request.limit);
  question.include_seen = request.include_seen;
  question.explain = request.explain;
  question.now_ms = now_ms;
  return question;
}

RankResponse respond(const Snapshot& snapshot, const Question& question,
                     const Candidates& candidates, const Scored& scored) {
  RankResponse response;
  response.request_id = new_request_id();
  if (snapshot.model) response.model_version = snapshot.model->card().version;
  if (!candidates.user.off_gpu.empty()) {
    response.degraded = true;
    response.degraded_reason = "ranked on the CPU: " + candidates.user.off_gpu;
  }
  WithoutBehaviour without(snapshot, question, candidates);
  for (const std::size_t i : best(candidates, scored.scores, question.limit)) {
    const Candidate& candidate = candidates.items[i];
    RankedItem item{snapshot.db->catalog().item_id(candidate.row), scored.scores[i],
                    std::string(candidate.source), std::nullopt};
    if (question.explain) {
      item.explanation = explanation(snapshot, candidates, scored, i, without);
    }
    response.items.push_back(std::move(item));
  }
  return response;
}

std::vector<std::size_t> best(const Candidates& candidates, std::span<const double> scores,
                              std::size_t n) {
  std::vector<std::size_t> order(candidates.items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  n = std::min(n, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<std::ptrdiff_t>(n),
                            [&](std::size_t a, std::size_t b) {
                              if (scores[a] != scores[b]) return scores[a] > scores[b];
                              return candidates.items[a].row < candidates.items[b].row;
                            });
  order.resize(n);
  return order;
}

}  // namespace fovea::engine
