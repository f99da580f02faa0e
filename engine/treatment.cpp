#include "engine/treatment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <set>

#include "engine/assignment.h"

namespace fovea::engine {
namespace {

/// Names that one sentence lists.
constexpr std::size_t kNamesMax = 20;

enum Key : std::size_t { kRanker, kCandidates, kModelVersion, kDiversity, kIndex, kBoosts, kKeys };
constexpr std::array<std::string_view, kKeys> kKeyNames = {
    "ranker", "candidates", "model_version", "diversity", "index", "boosts"};
using Keys = std::bitset<kKeys>;

Keys keys_of(const Overrides& set) {
  Keys keys;
  keys[kRanker] = set.ranker.has_value();
  keys[kCandidates] = set.candidates.has_value();
  keys[kModelVersion] = set.model_version.has_value();
  keys[kDiversity] = set.diversity.has_value();
  keys[kIndex] = set.index.has_value();
  keys[kBoosts] = !set.boosts.empty();
  return keys;
}

/// Those that any variant sets.
Keys keys_of(const Experiment& experiment) {
  Keys keys;
  for (const Variant& variant : experiment.variants) keys |= keys_of(variant.set);
  return keys;
}

/// Those that a part leaves to nobody after it.
Keys taken_by(const Treatment::Part& part) {
  const auto& variants = part.experiment->variants;
  Keys keys = keys_of(variants[part.variant].set);
  if (part.interleaved()) keys = keys_of(variants[0].set) & keys_of(variants[1].set);
  keys[kBoosts] = false;
  return keys;
}

std::optional<std::string_view> unit_of(const Experiment& experiment, const RankRequest& request) {
  if (experiment.unit == Unit::kUser) {
    if (request.user_id) return *request.user_id;
    return std::nullopt;
  }
  if (request.session.empty() || request.session.front().user_id.empty()) return std::nullopt;
  return request.session.front().user_id;
}

/// Of experiments or variants.
template <typename List>
std::string names_of(const List& list) {
  std::string names;
  for (std::size_t i = 0; i < std::min(list.size(), kNamesMax); ++i) {
    names += fmt::format("{}'{}'", i == 0 ? "" : ", ", list[i].name);
  }
  if (list.size() > kNamesMax) names += fmt::format(" and {} more", list.size() - kNamesMax);
  return names.empty() ? "none" : names;
}

/// The place of the variant that the request forces; absent: it forces none of this experiment.
std::optional<std::size_t> forced_variant(const Experiment& experiment,
                                          const RankRequest& request) {
  const auto found = request.variants.find(experiment.name);
  if (found == request.variants.end()) return std::nullopt;
  const auto variant = std::ranges::find(experiment.variants, found->second, &Variant::name);
  if (variant == experiment.variants.end()) {
    throw InvalidRequest(
        "variants", fmt::format("variants: experiment '{}' has no variant '{}'; "
                                "it has {}",
                                experiment.name, found->second, names_of(experiment.variants)));
  }
  return static_cast<std::size_t>(variant - experiment.variants.begin());
}

bool boosts_match(const Experiment& experiment, const Snapshot& snapshot,
                  const Question& question) {
  for (const Variant& variant : experiment.variants) {
    for (const Boost& boost : variant.set.boosts) {
      const Filter filter = Filter::parse(boost.filter, "boosts");
      if (question.candidates) {
        const auto matches = snapshot.attributes->matches(filter, *question.candidates);
        for (std::size_t i = 0; i < matches.size(); ++i) {
          const std::uint32_t row = (*question.candidates)[i];
          if (matches[i] != 0 && (!question.allowed || question.allowed->contains(row)))
            return true;
        }
        continue;
      }
      const index::RowSet matching = snapshot.attributes->matching(filter);
      const auto words = matching.words();
      // The catalogue may have grown between the two.
      const auto left = question.allowed ? question.allowed->words() : words;
      for (std::size_t w = 0; w < std::min(words.size(), left.size()); ++w) {
        if ((words[w] & left[w]) != 0) return true;
      }
    }
  }
  return false;
}

}  // namespace

const Treatment::Part* Treatment::interleaved() const {
  const auto found = std::ranges::find_if(parts, &Part::interleaved);
  return found == parts.end() ? nullptr : &*found;
}

Overrides Treatment::overrides(std::size_t team) const {
  Overrides all;
  for (const Part& part : parts) {
    const auto variant = part.interleaved() ? team : part.variant;
    const Overrides& set = part.experiment->variants[variant].set;
    if (!all.ranker) all.ranker = set.ranker;
    if (!all.candidates) all.candidates = set.candidates;
    if (!all.model_version) all.model_version = set.model_version;
    if (!all.diversity) all.diversity = set.diversity;
    if (!all.index) all.index = set.index;
    all.boosts.insert(all.boosts.end(), set.boosts.begin(), set.boosts.end());
  }
  return all;
}

std::map<std::string, std::string> Treatment::variants() const {
  std::map<std::string, std::string> variants;
  for (const Part& part : parts) {
    variants.emplace(part.experiment->name, part.interleaved()
                                                ? kInterleaved
                                                : part.experiment->variants[part.variant].name);
  }
  return variants;
}

Treatment treatment_of(const Experiments& experiments, const RankRequest& request,
                       std::int64_t now_ms) {
  for (const auto& [name, variant] : request.variants) {
    if (std::ranges::find(experiments.list, name, &Experiment::name) != experiments.list.end()) {
      continue;
    }
    throw InvalidRequest(
        "variants", fmt::format("variants: there is no experiment '{}'; declared are: {}", name,
                                names_of(experiments.list)));
  }
  std::vector<std::optional<std::size_t>> forced(experiments.list.size());
  std::set<std::string_view> layers;  // that have their experiment
  for (std::size_t i = 0; !request.variants.empty() && i < experiments.list.size(); ++i) {
    forced[i] = forced_variant(experiments.list[i], request);
    if (forced[i]) layers.insert(experiments.list[i].layer);
  }
  Treatment treatment;
  for (std::size_t i = 0; i < experiments.list.size(); ++i) {
    const Experiment& experiment = experiments.list[i];
    const auto unit = unit_of(experiment, request);
    if (forced[i]) {
      treatment.parts.push_back({&experiment, *forced[i], true, unit.value_or("")});
      continue;
    }
    if (!unit || !is_running(experiment, now_ms) || layers.contains(experiment.layer) ||
        is_held_out(experiments.holdout, *unit)) {
      continue;
    }
    if (const auto variant = assign(experiment, *unit)) {
      layers.insert(experiment.layer);
      treatment.parts.push_back({&experiment, *variant, false, *unit});
    }
  }
  return treatment;
}

bool bears_on(const Treatment& treatment, const Treatment::Part& part, const Snapshot& snapshot,
              const RankRequest& request, const Question& question) {
  Keys keys = keys_of(*part.experiment);
  if (keys.none()) return true;
  for (const auto& before : treatment.parts) {
    if (before.experiment == part.experiment) break;
    keys &= ~taken_by(before);
  }
  if (keys[kRanker] || keys[kModelVersion]) return true;
  const bool retrieves = !request.candidates;
  if (keys[kCandidates] && retrieves) return true;
  const bool searches = snapshot.model && (question.query || !question.behaviours.empty());
  if (keys[kIndex] && retrieves && searches) return true;
  if (keys[kDiversity] && snapshot.model && request.diversity == 0) return true;
  return keys[kBoosts] && boosts_match(*part.experiment, snapshot, question);
}

std::vector<std::string> conflicts(const Experiments& experiments) {
  std::vector<std::string> sentences;
  const auto& list = experiments.list;
  for (std::size_t b = 0; b < list.size(); ++b) {
    Keys keys = keys_of(list[b]);
    keys[kBoosts] = false;
    for (std::size_t a = 0; a < b && keys.any(); ++a) {
      if (list[a].layer == list[b].layer || !times_meet(list[a], list[b])) continue;
      const Keys both = keys & keys_of(list[a]);
      for (std::size_t key = 0; key < kKeys; ++key) {
        if (!both[key]) continue;
        sentences.push_back(
            fmt::format("experiments '{}' and '{}' both set {}; for whoever is in both, what the "
                        "first sets counts",
                        list[a].name, list[b].name, kKeyNames[key]));
      }
    }
  }
  return sentences;
}

}  // namespace fovea::engine
