#include "engine/trials.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/assignment.h"
#include "engine/interleaving.h"
#include "engine/page_token.h"
#include "engine/places.h"
#include "ranking/random.h"

namespace fovea::engine {
namespace {

constexpr std::string_view kPin = "pin";

/// A response on its way, with what trials say about each of its items.
struct Shown {
  Question question;
  RankResponse response;
  std::vector<std::uint32_t> rows;
  std::vector<std::uint8_t> teams;  ///< Empty: not interleaved.
  std::vector<float> propensities;  ///< Empty: nothing was left to chance.
};

std::vector<std::uint32_t> rows_of(const storage::Catalog& catalog, const RankResponse& response) {
  std::vector<std::uint32_t> rows;
  for (const RankedItem& item : response.items) rows.push_back(catalog.row(item.item_id).value());
  return rows;
}

std::uint64_t seed_of(std::string_view unit, std::string_view request_id) {
  return std::uint64_t{fnv1a32(unit)} << 32 | fnv1a32(request_id);
}

/// Of one that is not pinned.
struct Free {
  std::vector<std::uint32_t> rows;
  std::map<std::uint32_t, RankedItem*> items;
};

Free free_items(std::span<const std::uint32_t> rows, RankResponse& response) {
  Free free;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (response.items[i].source == kPin) continue;
    free.rows.push_back(rows[i]);
    free.items.emplace(rows[i], &response.items[i]);
  }
  return free;
}

/// Makes one list of two. Pins stay where they are in both.
void interleave(const Snapshot& snapshot, std::string_view unit, Shown& shown, RankResponse other) {
  RankResponse& response = shown.response;
  const auto other_rows = rows_of(snapshot.db->catalog(), other);
  const Free first = free_items(shown.rows, response);
  const Free second = free_items(other_rows, other);
  Places places(*snapshot.attributes, shown.question.caps);
  for (std::size_t i = 0; i < shown.rows.size(); ++i) {
    if (response.items[i].source == kPin) places.pin(shown.rows[i]);
  }
  const std::size_t pins = response.items.size() - first.rows.size();
  const auto drafted =
      team_draft(first.rows, second.rows, shown.question.limit - pins,
                 seed_of(unit, response.request_id), [&](auto row) { return places.take(row); });

  std::vector<RankedItem> items;
  std::vector<std::uint32_t> rows;
  std::vector<std::uint8_t> teams;
  auto next = drafted.begin();
  const auto place_drafted = [&] {
    const Free& from = next->team == 0 ? first : second;
    items.push_back(std::move(*from.items.at(next->row)));
    rows.push_back(next->row);
    teams.push_back(next->team);
    ++next;
  };
  for (std::size_t i = 0; i < shown.rows.size(); ++i) {
    if (response.items[i].source != kPin) continue;
    while (items.size() < i && next != drafted.end()) place_drafted();
    items.push_back(std::move(response.items[i]));
    rows.push_back(shown.rows[i]);
    teams.push_back(storage::kNoTeam);
  }
  while (next != drafted.end()) place_drafted();
  response.items = std::move(items);
  shown.rows = std::move(rows);
  shown.teams = std::move(teams);

  if (response.next_page_token) {
    PageToken token{shown.question.fingerprint, shown.question.shown};
    token.shown.insert(token.shown.end(), shown.rows.begin(), shown.rows.end());
    std::ranges::sort(token.shown);
    response.next_page_token = to_text(token);
  }
  if (other.degraded && !response.degraded) {
    response.degraded = true;
    response.degraded_reason = other.degraded_reason;
  }
}

/// Whether this request is of the share whose first places are shuffled.
bool is_drawn(const Treatment::Part& part, std::string_view request_id) {
  const Experiment& experiment = *part.experiment;
  return !part.forced && experiment.randomised &&
         planout_uniform(fmt::format("{}.randomised.{}", experiment.salt, request_id)) <
             experiment.randomised->share;
}

/// Puts the first places in a uniformly random order (Fisher and Yates); pins stay.
void shuffle(const Treatment::Part& part, Shown& shown) {
  auto& items = shown.response.items;
  std::vector<std::size_t> places;
  const auto first = static_cast<std::size_t>(part.experiment->randomised->first);
  for (std::size_t i = 0; i < std::min(first, items.size()); ++i) {
    if (items[i].source != kPin) places.push_back(i);
  }
  shown.propensities.assign(items.size(), 1);
  for (const std::size_t place : places) {
    shown.propensities[place] = 1 / static_cast<float>(places.size());
  }
  std::vector<std::size_t> from(items.size());  // by place, where its item was
  for (std::size_t i = 0; i < items.size(); ++i) from[i] = i;
  ranking::Random random(seed_of(part.unit, shown.response.request_id));
  for (std::size_t n = places.size(); n > 1; --n) {
    const std::size_t a = places[n - 1];
    const std::size_t b = places[random.below(n)];
    std::swap(items[a], items[b]);
    std::swap(shown.rows[a], shown.rows[b]);
    std::swap(from[a], from[b]);
    if (!shown.teams.empty()) std::swap(shown.teams[a], shown.teams[b]);
  }
  for (const std::size_t place : places) {
    if (from[place] == place || !items[place].explanation) continue;
    items[place].explanation->rules.push_back(
        fmt::format("randomised for experiment '{}': from {} of the first {}",
                    part.experiment->name, from[place], first));
  }
}

/// `drawn` (or null) is the part that shuffled.
void expose(const Treatment& treatment, const Treatment::Part* drawn, const Snapshot& snapshot,
            const RankRequest& request, const Shown& shown, std::int64_t now_ms,
            const ExposureCounts& counts) {
  std::map<std::string_view, std::vector<storage::Trial>> trials;  // by whom they are kept under
  if (request.user_id) trials[*request.user_id];
  for (const auto& part : treatment.parts) {
    if (part.forced || shown.rows.empty()) continue;
    if (&part != drawn && !bears_on(treatment, part, snapshot, request, shown.question)) continue;
    // What should have been made of both and had no time is of neither.
    if (part.interleaved() && shown.teams.empty()) continue;
    const Experiment& experiment = *part.experiment;
    storage::Trial& trial = trials[part.unit].emplace_back();
    trial.experiment = experiment.name;
    trial.version = experiment.version;
    trial.variant = part.interleaved() ? kInterleaved
                                       : std::string_view(experiment.variants[part.variant].name);
    trial.propensities = shown.propensities;
    if (part.interleaved()) trial.teams = shown.teams;
  }
  for (auto& [id, of_id] : trials) {
    const storage::Exposure exposure{shown.response.request_id, now_ms,
                                     shown.response.model_version, shown.rows, std::move(of_id)};
    snapshot.db->exposures().append(id, exposure);
    for (const storage::Trial& trial : exposure.trials) {
      counts.add(trial.experiment, trial.variant);
    }
  }
}

}  // namespace

RankResponse rank(const Treatment& treatment, const SnapshotOf& snapshot_of,
                  const RankRequest& request, std::int64_t now_ms, const ExposureCounts* counts) {
  const Snapshot serving = snapshot_of(std::nullopt);
  const auto ranked = [&](const Overrides& set) {
    return rank(set.model_version ? snapshot_of(set.model_version) : serving, request, now_ms, set);
  };
  Shown shown;
  {
    Ranking first = ranked(treatment.overrides(0));
    shown.question = std::move(first.question);
    shown.response = std::move(first.response);
  }
  RankResponse& response = shown.response;
  response.variants = treatment.variants();
  if (counts != nullptr || !treatment.parts.empty()) {
    shown.rows = rows_of(serving.db->catalog(), response);
  }

  if (const auto* part = treatment.interleaved()) {
    std::optional<RankResponse> other;
    if (!request.deadline.near()) other = ranked(treatment.overrides(1)).response;
    // Late now: the second list may be in the order of retrieval, and would lose for that.
    if (other && !request.deadline.near()) {
      for (const auto& [stage, us] : other->stage_us) response.stage_us[stage] += us;
      interleave(serving, part->unit, shown, std::move(*other));
    } else {
      const std::string& name = part->experiment->variants.front().name;
      response.variants[part->experiment->name] = name;
      response.degraded = true;
      response.degraded_reason = fmt::format(
          "{}{}not interleaved, the list of variant '{}' alone: the deadline of {} ms came near",
          response.degraded_reason.value_or(""), response.degraded_reason ? "; " : "", name,
          request.deadline.within().count());
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  // One shuffle is enough for every experiment that asks for one: it is the response that is drawn.
  const auto drawn = std::ranges::find_if(
      treatment.parts, [&](const auto& part) { return is_drawn(part, response.request_id); });
  const Treatment::Part* by = drawn == treatment.parts.end() ? nullptr : &*drawn;
  if (by != nullptr) shuffle(*by, shown);
  if (counts != nullptr) expose(treatment, by, serving, request, shown, now_ms, *counts);
  response.stage_us["respond"] += std::chrono::duration_cast<std::chrono::microseconds>(
                                      std::chrono::steady_clock::now() - begin)
                                      .count();
  return std::move(shown.response);
}

}  // namespace fovea::engine
