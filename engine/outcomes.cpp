#include "engine/outcomes.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <unordered_map>

#include "engine/behaviours.h"

namespace fovea::engine {
namespace {

/// An exposure of the version in question, with what it takes to give credit.
struct ShownList {
  std::string request_id;
  std::int64_t time_ms = 0;
  std::optional<std::size_t> variant;  // absent: not declared
  std::vector<std::uint32_t> rows;     // only of an interleaved list
  std::vector<std::uint8_t> teams;
};

class Join {
 public:
  Join(storage::Db& db, const Experiment& experiment, const OutcomeRules& rules,
       const std::function<void(const Outcome&)>& visit)
      : db_(db),
        experiment_(experiment),
        rules_(rules),
        visit_(visit),
        success_(declared_action(db.catalog(), rules.success, "success")) {
    for (std::size_t i = 0; i < rules.guardrails.size(); ++i) {
      if (const auto action = db.catalog().action(rules.guardrails[i])) {
        guardrails_.emplace(*action, i);
      }
    }
  }

  void take(std::string_view unit, storage::Exposure& exposure) {
    if (unit != unit_) {
      finish();
      unit_ = unit;
    }
    if (exposure.time_ms > rules_.now_ms) return;
    for (storage::Trial& trial : exposure.trials) {
      if (trial.experiment != experiment_.name) continue;
      if (trial.version != rules_.version) {
        other_version_ = true;
        continue;
      }
      ShownList& shown = shown_.emplace_back();
      shown.request_id = exposure.request_id;
      shown.time_ms = exposure.time_ms;
      shown.variant = place_of(trial.variant);
      if (trial.teams.empty()) continue;
      shown.rows = exposure.rows;
      shown.teams = std::move(trial.teams);
    }
  }

  void finish() {
    if (!shown_.empty()) {
      judge();
    } else if (other_version_) {
      ++left_out.other_versions;
    }
    shown_.clear();
    other_version_ = false;
  }

  LeftOut left_out;

 private:
  std::optional<std::size_t> place_of(const std::string& variant) const {
    const auto found = std::ranges::find(experiment_.variants, variant, &Variant::name);
    if (found == experiment_.variants.end()) return std::nullopt;
    return static_cast<std::size_t>(found - experiment_.variants.begin());
  }

  void judge() {
    std::ranges::reverse(shown_);  // the oldest first
    Outcome outcome;
    outcome.unit = unit_;
    if (std::ranges::any_of(shown_, [](const ShownList& shown) { return !shown.teams.empty(); })) {
      std::erase_if(shown_, [](const ShownList& shown) { return shown.teams.empty(); });
      outcome.credit.resize(experiment_.variants.size());
    } else if (std::ranges::any_of(shown_, [](const ShownList& shown) { return !shown.variant; })) {
      ++left_out.undeclared;
      return;
    } else if (std::ranges::any_of(shown_, [this](const ShownList& shown) {
                 return shown.variant != shown_.front().variant;
               })) {
      ++left_out.crossovers;
      return;
    } else {
      outcome.variant = *shown_.front().variant;
    }
    outcome.first_ms = shown_.front().time_ms;
    outcome.exposures = static_cast<std::int64_t>(shown_.size());
    outcome.after.guardrails.resize(rules_.guardrails.size());
    outcome.before.guardrails.resize(rules_.guardrails.size());
    count(outcome);
    visit_(outcome);
  }

  void count(Outcome& outcome) {
    std::unordered_map<std::string_view, const ShownList*> requests;
    for (const ShownList& shown : shown_) requests.emplace(shown.request_id, &shown);
    const auto events = db_.history().read_detailed(unit_, std::numeric_limits<std::size_t>::max());
    outcome.truncated =
        events.size() >= db_.history().events_max() && events.back().time_ms > outcome.first_ms;
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
      if (event->time_ms > rules_.now_ms) continue;
      if (event->time_ms < outcome.first_ms) {
        add(*event, outcome.before);
        continue;
      }
      const ShownList* answered = nullptr;
      if (event->request_id) {
        const auto found = requests.find(*event->request_id);
        if (found == requests.end()) continue;
        answered = found->second;
      } else if (!in_window(event->time_ms, outcome.first_ms)) {
        // A list shown later may have brought the item all the same.
        if (!outcome.credit.empty()) credit(*event, nullptr, outcome);
        continue;
      }
      outcome.acted = true;
      add(*event, outcome.after);
      if (event->action != success_) continue;
      if (!outcome.credit.empty()) credit(*event, answered, outcome);
      const std::int64_t period = period_of(event->time_ms, rules_.period_ms);
      if (outcome.successes_by_period.empty() ||
          outcome.successes_by_period.back().first != period) {
        outcome.successes_by_period.emplace_back(period, 0);
      }
      ++outcome.successes_by_period.back().second;
    }
  }

  bool in_window(std::int64_t time_ms, std::int64_t since_ms) const {
    return !rules_.window_ms || time_ms - since_ms < *rules_.window_ms;
  }

  void add(const storage::Event& event, Counts& counts) const {
    if (event.action == success_) {
      ++counts.successes;
      if (event.value) counts.value = counts.value.value_or(0) + *event.value;
    }
    const auto [begin, end] = guardrails_.equal_range(event.action);
    for (auto guardrail = begin; guardrail != end; ++guardrail) {
      ++counts.guardrails[guardrail->second];
    }
  }

  /// `answered`: the list that the behaviour names; none: the newest that showed the item.
  void credit(const storage::Event& event, const ShownList* answered, Outcome& outcome) const {
    if (event.action != success_) return;
    for (auto shown = shown_.rbegin(); shown != shown_.rend(); ++shown) {
      if (answered != nullptr ? &*shown != answered : shown->time_ms > event.time_ms) continue;
      const auto row = std::ranges::find(shown->rows, event.row);
      if (row == shown->rows.end()) continue;
      if (answered == nullptr && !in_window(event.time_ms, shown->time_ms)) return;
      const std::size_t team = shown->teams[static_cast<std::size_t>(row - shown->rows.begin())];
      if (team < outcome.credit.size()) ++outcome.credit[team];
      return;
    }
  }

  storage::Db& db_;
  const Experiment& experiment_;
  const OutcomeRules& rules_;
  const std::function<void(const Outcome&)>& visit_;
  const std::uint16_t success_;
  std::multimap<std::uint16_t, std::size_t> guardrails_;  // by action: place in the rules

  std::string unit_;
  std::vector<ShownList> shown_;  // the unit's, newest first until they are judged
  bool other_version_ = false;
};

}  // namespace

std::int64_t period_of(std::int64_t time_ms, std::int64_t period_ms) {
  return time_ms / period_ms - (time_ms % period_ms < 0 ? 1 : 0);
}

LeftOut for_each_outcome(storage::Db& db, const Experiment& experiment, const OutcomeRules& rules,
                         const std::function<void(const Outcome&)>& visit) {
  Join join(db, experiment, rules, visit);
  db.exposures().each_in_trials([&](std::string_view unit, storage::Exposure exposure) {
    if (rules.go_on && !rules.go_on()) throw Unavailable("reading the exposures was given up");
    join.take(unit, exposure);
  });
  join.finish();
  return join.left_out;
}

}  // namespace fovea::engine
