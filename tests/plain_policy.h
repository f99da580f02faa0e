// policy.h's promises read plainly: place by place, without a shortcut.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "engine/policy.h"

namespace fovea::engine {

/// What arrange() promises, for lists that diversity sees whole.
inline std::vector<std::size_t> plainly(std::span<const std::size_t> by_score,
                                        std::span<const double> scores, const Rules& rules) {
  std::vector<std::size_t> order;
  std::vector<std::size_t> left(by_score.begin(), by_score.end());
  if (by_score.empty()) return {};
  const double highest = scores[by_score.front()];
  const double range = highest - scores[by_score.back()];
  while (!left.empty()) {
    std::size_t best = 0;
    double best_value = -1e9;
    for (std::size_t i = 0; i < left.size(); ++i) {
      double nearest = -1;
      for (const std::size_t before : order) {
        double cosine = 0;
        for (std::size_t d = 0; d < rules.width; ++d) {
          cosine += rules.vectors[left[i] * rules.width + d] *
                    static_cast<double>(rules.vectors[before * rules.width + d]);
        }
        nearest = std::max(nearest, cosine);
      }
      const double relevance = range > 0 ? 1 - (highest - scores[left[i]]) / range : 1;
      const double value = (1 - rules.diversity) * relevance - rules.diversity * nearest;
      if (value > best_value) {
        best = i;
        best_value = value;
      }
    }
    order.push_back(left[best]);
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(best));
  }
  if (rules.diversity == 0) order.assign(by_score.begin(), by_score.end());

  std::map<std::size_t, std::size_t> pin_at;
  std::set<std::size_t> pinned;
  std::vector<std::map<AttributeKey, std::size_t>> counts(rules.caps.size());
  const auto count = [&](std::size_t candidate) {
    for (std::size_t c = 0; c < counts.size(); ++c) {
      for (const auto key : rules.caps[c].keys[candidate]) ++counts[c][key];
    }
  };
  for (const auto& pin : rules.pins) {
    pinned.insert(pin.candidate);
    if (pin.position >= rules.first + rules.limit) continue;
    pin_at[pin.position] = pin.candidate;
    count(pin.candidate);
  }
  std::vector<std::size_t> rest;
  for (const std::size_t candidate : order) {
    if (pinned.contains(candidate)) continue;
    bool over = false;
    for (std::size_t c = 0; c < counts.size(); ++c) {
      for (const auto key : rules.caps[c].keys[candidate]) {
        over = over || counts[c][key] >= rules.caps[c].at_most;
      }
    }
    if (over || rest.size() + pin_at.size() >= rules.limit) continue;
    count(candidate);
    rest.push_back(candidate);
  }
  std::vector<std::size_t> page;
  auto next = rest.begin();
  while (page.size() < rules.limit && (next != rest.end() || !pin_at.empty())) {
    const auto pin = pin_at.begin();
    if (pin != pin_at.end() && (pin->first <= rules.first + page.size() || next == rest.end())) {
      page.push_back(pin->second);
      pin_at.erase(pin);
    } else {
      page.push_back(*next++);
    }
  }
  return page;
}

}  // namespace fovea::engine
