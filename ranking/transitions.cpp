#include "ranking/transitions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <tuple>

namespace fovea::ranking {
namespace {

// Behaviours that a transition score looks back on.
constexpr std::size_t kBehaviours = 20;

// No function, which sorting would call through a pointer.
constexpr auto kStronger = [](const Transitions::Entry& a, const Transitions::Entry& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.row < b.row;
};

// Sums by row: a hash table with linear probing, at most half full, of where in a list of the rows
// that came a row's sum stands. The list stays short where many entries are of few rows.
class Sums {
 public:
  explicit Sums(std::size_t rows_max)
      : shift_(64 - static_cast<unsigned>(std::bit_width(2 * std::max(rows_max, std::size_t{1})))),
        slots_(std::size_t{1} << (64 - shift_), kNone) {}

  void add(std::uint32_t row, float weight) {
    // Multiplicative hashing (Knuth).
    std::size_t slot = static_cast<std::size_t>(row * std::uint64_t{0x9E3779B97F4A7C15} >> shift_);
    while (slots_[slot] != kNone && sums_[slots_[slot]].row != row) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    if (slots_[slot] == kNone) {
      slots_[slot] = static_cast<std::uint32_t>(sums_.size());
      sums_.push_back({row, weight});
    } else {
      sums_[slots_[slot]].weight += weight;
    }
  }
  std::vector<Transitions::Entry> take() { return std::move(sums_); }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  unsigned shift_;
  std::vector<std::uint32_t> slots_;
  std::vector<Transitions::Entry> sums_;
};

}  // namespace

Transitions Transitions::count(const Interactions& interactions, std::size_t items,
                               std::span<const float> action_weights, const Options& options) {
  return count_since(std::numeric_limits<std::int64_t>::min(), {}, interactions, items,
                     action_weights, options);
}

Transitions Transitions::count_since(std::int64_t after_ms, std::span<const float> log_popularity,
                                     const Interactions& interactions, std::size_t items,
                                     std::span<const float> action_weights,
                                     const Options& options) {
  const auto counts = [&](const Behaviour& b) {
    return b.row < items && (b.action >= action_weights.size() || action_weights[b.action] > 0);
  };
  std::vector<float> popularity(items);
  for (std::size_t row = 0; row < std::min(items, log_popularity.size()); ++row) {
    popularity[row] = std::expm1(log_popularity[row]);
  }
  for (const Behaviour& b : interactions.behaviours) {
    if (counts(b) && b.time_ms > after_ms) popularity[b.row] += 1;
  }
  std::vector<double> decay(options.window);
  for (std::size_t gap = 0; gap < options.window; ++gap) {
    decay[gap] = std::pow(options.gap_decay, static_cast<double>(gap));
  }
  // Sources are counted a range at a time, so that the pairs of a long log fit in memory: a range
  // has at most 2 * window pairs of 16 bytes for each of its behaviours.
  constexpr double kRangeBehaviours = 2'000'000;
  struct Pair {
    std::uint32_t source, target;
    double amount;
  };
  std::vector<Pair> pairs;
  std::vector<Behaviour> counted;
  Transitions result;
  for (std::size_t begin = 0; begin < items;) {
    std::size_t end = begin;
    for (double held = 0; end < items && held < kRangeBehaviours; ++end) held += popularity[end];
    const auto add = [&](std::uint32_t source, std::uint32_t target, double amount) {
      if (source >= begin && source < end) pairs.push_back({source, target, amount});
    };
    for (std::size_t u = 0; u < interactions.users(); ++u) {
      counted.clear();
      std::ranges::copy_if(interactions.user(u), std::back_inserter(counted), counts);
      for (std::size_t i = 0; i < counted.size(); ++i) {
        for (std::size_t gap = 1; gap <= options.window && i + gap < counted.size(); ++gap) {
          const Behaviour& a = counted[i];
          const Behaviour& b = counted[i + gap];
          // A repeat says nothing of other items.
          if (a.row == b.row || b.time_ms <= after_ms) continue;
          add(a.row, b.row, decay[gap - 1]);
          add(b.row, a.row, options.backward * decay[gap - 1]);
        }
      }
    }
    // Amounts too, so that equal pairs are always added up in the same order.
    std::ranges::sort(pairs, [](const Pair& a, const Pair& b) {
      return std::tie(a.source, a.target, a.amount) < std::tie(b.source, b.target, b.amount);
    });
    auto pair = pairs.begin();
    for (std::size_t source = begin; source < end; ++source) {
      std::vector<Entry> entries;
      // At least 1: what was done before `after_ms` need not have been counted then.
      const double from = std::pow(std::max(popularity[source], 1.0F), options.source_popularity);
      while (pair != pairs.end() && pair->source == source) {
        const std::uint32_t target = pair->target;
        double sum = 0;
        for (; pair != pairs.end() && pair->source == source && pair->target == target; ++pair) {
          sum += pair->amount;
        }
        const double to = std::pow(std::max(popularity[target], 1.0F), options.target_popularity);
        entries.push_back({target, static_cast<float>(sum * from * to)});
      }
      result.add_source(std::move(entries), options.row_entries_max);
    }
    pairs.clear();
    begin = end;
  }
  return result;
}

std::vector<Transitions::Entry> Transitions::following(
    std::span<const std::uint32_t> behaviours_newest_first, const Transitions* since) const {
  const auto behaviours =
      behaviours_newest_first.first(std::min(behaviours_newest_first.size(), kBehaviours));
  std::size_t entries_max = 0;
  for (const std::uint32_t row : behaviours) {
    entries_max += from(row).size() + (since != nullptr ? since->from(row).size() : 0);
  }
  Sums sums(entries_max);
  float decay = 1;
  for (const std::uint32_t row : behaviours) {
    for (const Entry& entry : from(row)) sums.add(entry.row, decay * entry.weight);
    if (since != nullptr) {
      for (const Entry& entry : since->from(row)) sums.add(entry.row, decay * entry.weight);
    }
    decay *= kAgeDecay;
  }
  return sums.take();
}

std::vector<Transitions::Entry> Transitions::best(
    std::span<const std::uint32_t> behaviours_newest_first, std::size_t n) const {
  std::vector<Entry> entries = following(behaviours_newest_first);
  if (n < entries.size()) {
    std::ranges::nth_element(entries, entries.begin() + static_cast<std::ptrdiff_t>(n), kStronger);
    entries.resize(n);
  }
  std::ranges::sort(entries, kStronger);
  return entries;
}

}  // namespace fovea::ranking
