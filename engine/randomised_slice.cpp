#include "engine/randomised_slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "engine/behaviours.h"

namespace fovea::engine {
namespace {

/// One list's places that were left to chance.
struct Shuffled {
  std::string request_id;
  std::int64_t time_ms = 0;
  std::vector<std::uint32_t> rows;  // in the order of the places
  std::vector<std::size_t> places;
  double propensity = 1;
  std::vector<char> rewarded;
};

/// Absent: not uniform over one set of places.
std::optional<Shuffled> shuffled(storage::Exposure& exposure, const storage::Trial& trial) {
  Shuffled list{std::move(exposure.request_id), exposure.time_ms, {}, {}, 1, {}};
  for (std::size_t place = 0; place < trial.propensities.size(); ++place) {
    if (trial.propensities[place] >= 1) continue;
    list.propensity = trial.propensities[place];
    list.rows.push_back(exposure.rows[place]);
    list.places.push_back(place);
  }
  const double uniform = 1 / static_cast<double>(std::max<std::size_t>(list.rows.size(), 1));
  constexpr double kRounding = 1e-6;  // propensities are kept in single precision
  for (const std::size_t place : list.places) {
    if (!(std::abs(trial.propensities[place] - uniform) < kRounding)) return std::nullopt;
  }
  list.propensity = uniform;
  list.rewarded.resize(list.rows.size());
  return list;
}

class Reader {
 public:
  Reader(const Snapshot& snapshot, const SliceRules& rules, const TargetPolicy& policy)
      : snapshot_(snapshot),
        rules_(rules),
        policy_(policy),
        actions_(snapshot.db->catalog().actions()),
        success_(declared_action(snapshot.db->catalog(), rules.success, "success")) {}

  /// `lists` of one unit, newest first.
  void take(std::string_view unit, std::vector<Shuffled>& lists) {
    const auto events = snapshot_.db->history().read_detailed(
        unit, std::numeric_limits<std::size_t>::max());  // newest first
    for (const auto& event : events) reward(event, lists);
    for (const Shuffled& list : lists) {
      std::vector<Event> before;
      for (auto event = events.rbegin(); event != events.rend(); ++event) {
        if (event->time_ms >= list.time_ms) break;
        before.push_back(named(*event));
      }
      add(list, order(list, std::move(before)));
    }
  }

  RandomisedSlice finish() {
    double rewards = 0;
    for (std::size_t i = 0; i < slice.choices.size(); ++i) {
      const auto& [sum, n] = by_place_[places_[i]];
      const double expected = sum / n;
      slice.choices[i].expected = {expected, expected};
      rewards += slice.choices[i].reward;
    }
    if (!slice.choices.empty()) {
      slice.logged_reward = rewards / static_cast<double>(slice.choices.size());
    }
    return std::move(slice);
  }

  RandomisedSlice slice;

 private:
  Event named(const storage::DetailedEvent& event) const {
    Event result;
    result.item_id = snapshot_.db->catalog().item_id(event.row);
    result.action = actions_[event.action].name;
    result.time_ms = event.time_ms;
    result.value = event.value;
    return result;
  }

  void reward(const storage::DetailedEvent& event, std::vector<Shuffled>& lists) const {
    if (event.action != success_ || event.time_ms > rules_.now_ms) return;
    for (Shuffled& list : lists) {
      if (event.request_id ? list.request_id != *event.request_id : list.time_ms > event.time_ms) {
        continue;
      }
      const auto row = std::ranges::find(list.rows, event.row);
      if (row == list.rows.end()) continue;
      if (!event.request_id && rules_.window_ms &&
          event.time_ms - list.time_ms >= *rules_.window_ms) {
        return;
      }
      list.rewarded[static_cast<std::size_t>(row - list.rows.begin())] = 1;
      return;
    }
  }

  /// The list's items as the policy would order them, best first.
  std::vector<std::uint32_t> order(const Shuffled& list, std::vector<Event> before) const {
    RankRequest request;
    request.session = std::move(before);
    request.include_seen = true;
    request.boosts = policy_.boosts;
    request.candidates.emplace();
    for (const std::uint32_t row : list.rows) {
      request.candidates->push_back(snapshot_.db->catalog().item_id(row));
    }
    const Question question = history(snapshot_, request, list.time_ms);
    const Candidates found = candidates(snapshot_, question);
    const std::vector<double> scores =
        policy_.ranker ? rerank(snapshot_, question, found).scores : closeness(found);
    std::vector<std::uint32_t> rows;
    for (const std::size_t i : best(found, scores, found.items.size())) {
      rows.push_back(found.items[i].row);
    }
    return rows;
  }

  /// Of each candidate to the user's state, else to the texts that they liked; where nothing is
  /// known of them, by popularity.
  std::vector<double> closeness(const Candidates& found) const {
    std::vector<std::uint32_t> rows;
    for (const Candidate& item : found.items) rows.push_back(item.row);
    const bool learned = !found.user.hidden.empty();
    const std::vector<float>& direction = learned ? found.user.hidden : found.user.mean_text;
    std::vector<double> scores(rows.size());
    if (direction.empty()) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        scores[i] = snapshot_.popularity->log_popularity(rows[i]);
      }
      return scores;
    }
    const GatheredVectors gathered = snapshot_.model->vectors().gather(rows);
    const std::vector<float>& vectors = learned ? gathered.items : gathered.texts;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t k = 0; k < direction.size(); ++k) {
        scores[i] += static_cast<double>(direction[k]) * vectors[i * direction.size() + k];
      }
    }
    return scores;
  }

  void add(const Shuffled& list, const std::vector<std::uint32_t>& ordered) {
    if (ordered.size() != list.rows.size()) {
      ++slice.left_out;
      return;
    }
    if (slice.choices.size() + ordered.size() > kSliceChoicesMax) {
      throw InvalidRequest("experiment",
                           fmt::format("the experiment's randomised lists hold more than {} "
                                       "choices; raise its version to begin anew",
                                       kSliceChoicesMax));
    }
    ++slice.lists;
    for (std::size_t i = 0; i < ordered.size(); ++i) {
      const double reward = list.rewarded[i];
      slice.choices.push_back(
          {reward, list.propensity, ordered[i] == list.rows[i] ? 1.0 : 0.0, {}});
      places_.push_back(list.places[i]);
      auto& [sum, n] = by_place_[list.places[i]];
      sum += reward;
      ++n;
    }
  }

  const Snapshot& snapshot_;
  const SliceRules& rules_;
  const TargetPolicy& policy_;
  const std::vector<storage::Action> actions_;
  const std::uint16_t success_;
  std::vector<std::size_t> places_;                            // of slice.choices
  std::map<std::size_t, std::pair<double, double>> by_place_;  // sum of rewards, choices
};

}  // namespace

RandomisedSlice randomised_slice(const Snapshot& snapshot, const Experiment& experiment,
                                 const SliceRules& rules, const TargetPolicy& policy) {
  Reader reader(snapshot, rules, policy);
  std::string current;
  std::vector<Shuffled> lists;
  const auto flush = [&] {
    if (!lists.empty()) reader.take(current, lists);
    lists.clear();
  };
  snapshot.db->exposures().each_in_trials([&](std::string_view unit, storage::Exposure exposure) {
    if (unit != current) {
      flush();
      current = unit;
    }
    if (exposure.time_ms > rules.now_ms) return;
    for (const storage::Trial& trial : exposure.trials) {
      if (trial.experiment != experiment.name || trial.version != rules.version ||
          std::ranges::none_of(trial.propensities, [](float p) { return p < 1; })) {
        continue;
      }
      if (auto list = shuffled(exposure, trial)) {
        lists.push_back(*std::move(list));
      } else {
        ++reader.slice.left_out;
      }
      break;
    }
  });
  flush();
  return reader.finish();
}

}  // namespace fovea::engine
