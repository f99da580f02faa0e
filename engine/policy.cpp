#include "engine/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace fovea::engine {
namespace {

/// Candidates among which diversity chooses: for each place of a page, at least and at most.
constexpr std::size_t kChoicesPerPlace = 3;
constexpr std::size_t kChoicesMin = 200;
constexpr std::size_t kChoicesMax = 1000;

double cosine(std::span<const float> vectors, std::size_t width, std::size_t a, std::size_t b) {
  double sum = 0;
  for (std::size_t d = 0; d < width; ++d) {
    sum += static_cast<double>(vectors[a * width + d]) * vectors[b * width + d];
  }
  return sum;
}

/// The first candidates in the order of maximal marginal relevance, then the others by score.
std::vector<std::size_t> diversified(std::span<const std::size_t> by_score,
                                     std::span<const double> scores, const Rules& rules) {
  std::vector<std::size_t> order(by_score.begin(), by_score.end());
  const std::size_t choices = std::min(
      order.size(),
      std::max(rules.limit, std::clamp(kChoicesPerPlace * rules.limit, kChoicesMin, kChoicesMax)));
  if (rules.diversity == 0 || choices < 2) return order;
  const double highest = scores[order.front()];
  const double range = highest - scores[order[choices - 1]];
  std::vector<double> relevance(choices);
  for (std::size_t i = 0; i < choices; ++i) {
    relevance[i] = range > 0 ? 1 - (highest - scores[order[i]]) / range : 1;
  }
  std::vector<double> nearest(choices, -1);  // highest cosine to those that were taken
  std::vector<bool> taken(choices);
  std::vector<std::size_t> result;
  for (std::size_t place = 0; place < choices; ++place) {
    std::size_t best = choices;
    double best_value = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < choices; ++i) {
      if (taken[i]) continue;
      const double value = (1 - rules.diversity) * relevance[i] - rules.diversity * nearest[i];
      if (value > best_value) {
        best = i;
        best_value = value;
      }
    }
    taken[best] = true;
    result.push_back(order[best]);
    // What follows a full page is not worth its arithmetic; caps may pass over any number.
    if (rules.caps.empty() && result.size() == rules.limit + rules.pins.size()) break;
    for (std::size_t i = 0; i < choices; ++i) {
      if (!taken[i]) {
        nearest[i] =
            std::max(nearest[i], cosine(rules.vectors, rules.width, order[i], order[best]));
      }
    }
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i >= choices || !taken[i]) result.push_back(order[i]);
  }
  return result;
}

}  // namespace

std::vector<Placed> arrange(std::span<const std::size_t> by_score, std::span<const double> scores,
                            const Rules& rules) {
  std::vector<PinnedCandidate> pins;  // of this page and of those before, whose items have gone by
  std::vector<bool> pinned(scores.size());
  for (const PinnedCandidate& pin : rules.pins) {
    pinned[pin.candidate] = true;
    if (pin.position < rules.first + rules.limit) pins.push_back(pin);
  }
  std::ranges::sort(pins, {}, &PinnedCandidate::position);
  std::vector<std::size_t> at_most;
  for (const CapValues& cap : rules.caps) at_most.push_back(cap.at_most);
  CapCounts counts(std::move(at_most));
  const auto keys_of = [&](std::size_t candidate) {
    return [&rules, candidate](std::size_t c) { return std::span(rules.caps[c].keys[candidate]); };
  };
  for (const PinnedCandidate& pin : pins) counts.add(keys_of(pin.candidate));

  std::vector<std::size_t> place_by_score(scores.size());
  for (std::size_t i = 0; i < by_score.size(); ++i) place_by_score[by_score[i]] = i;
  const auto order = diversified(by_score, scores, rules);

  std::vector<Placed> page;
  auto pin = pins.begin();
  const auto place_pin = [&] {
    page.push_back({pin->candidate, true, {fmt::format("pin: position {}", pin->position)}});
    ++pin;
  };
  std::size_t free_places = 0;  // taken so far by those that are not pinned
  const CapValues* passed_over = nullptr;
  for (const std::size_t candidate : order) {
    while (page.size() < rules.limit && pin != pins.end() &&
           pin->position <= rules.first + page.size()) {
      place_pin();
    }
    if (page.size() == rules.limit) break;
    if (pinned[candidate]) continue;
    if (const auto full = counts.full(keys_of(candidate))) {
      passed_over = &rules.caps[*full];
      continue;
    }
    counts.add(keys_of(candidate));
    Placed& placed = page.emplace_back();
    placed.candidate = candidate;
    if (rules.diversity > 0 && place_by_score[candidate] != free_places) {
      placed.moved_by.push_back(fmt::format("diversity {:g}: from {} by score", rules.diversity,
                                            place_by_score[candidate]));
    }
    if (passed_over != nullptr) {
      placed.moved_by.push_back(fmt::format("cap: up, at most {} of one {} on a page",
                                            passed_over->at_most, passed_over->attribute));
    }
    ++free_places;
  }
  while (page.size() < rules.limit && pin != pins.end()) place_pin();
  return page;
}

}  // namespace fovea::engine
