// See item_pairs.h.
#include "ranking/item_pairs.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace fovea::ranking {
namespace {

bool stronger(const ItemPairs::Entry& a, const ItemPairs::Entry& b) {
  const float of_a = std::fabs(a.weight);
  const float of_b = std::fabs(b.weight);
  return of_a != of_b ? of_a > of_b : a.row < b.row;
}

}  // namespace

void ItemPairs::add_source(std::vector<Entry> entries, std::size_t kept) {
  if (entries.size() > kept) {
    std::nth_element(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(kept),
                     entries.end(), stronger);
    entries.resize(kept);
  }
  std::ranges::sort(entries, {}, &Entry::row);
  entries_.insert(entries_.end(), entries.begin(), entries.end());
  offsets_.push_back(static_cast<std::uint32_t>(entries_.size()));
}

std::span<const ItemPairs::Entry> ItemPairs::from(std::uint32_t row) const {
  if (static_cast<std::size_t>(row) + 1 >= offsets_.size()) return {};
  return {entries_.data() + offsets_[row], entries_.data() + offsets_[row + 1]};
}

float ItemPairs::weight(std::uint32_t source, std::uint32_t target) const {
  const auto entries = from(source);
  const auto found = std::ranges::lower_bound(entries, target, {}, &Entry::row);
  return found != entries.end() && found->row == target ? found->weight : 0;
}

void ItemPairs::save(Weights& weights, const std::string& name) const {
  std::vector<std::uint32_t> rows;
  std::vector<float> values;
  rows.reserve(entries_.size());
  values.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    rows.push_back(entry.row);
    values.push_back(entry.weight);
  }
  weights.put_ids(name + ".offsets", offsets_);
  weights.put_ids(name + ".rows", std::move(rows));
  weights.put(name + ".weights", {entries_.size()}, std::move(values));
}

ItemPairs ItemPairs::load(const Weights& weights, const std::string& name) {
  ItemPairs result;
  const auto offsets = weights.ids(name + ".offsets");
  const auto rows = weights.ids(name + ".rows");
  const auto values = weights.floats(name + ".weights", {rows.size()});
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != rows.size() ||
      !std::ranges::is_sorted(offsets)) {
    throw WeightsError(name + ".offsets does not divide " + name + ".rows into sources");
  }
  result.offsets_.assign(offsets.begin(), offsets.end());
  result.entries_.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) result.entries_.push_back({rows[i], values[i]});
  for (std::uint32_t row = 0; row + 1 < offsets.size(); ++row) {
    const auto entries = result.from(row);
    if (!entries.empty() && entries.back().row + std::size_t{1} >= offsets.size()) {
      throw WeightsError(name + ".rows names an item beyond " + name + ".offsets");
    }
    if (std::ranges::adjacent_find(entries, std::ranges::greater_equal{}, &Entry::row) !=
        entries.end()) {
      throw WeightsError(name + ".rows is not in order");
    }
  }
  return result;
}

}  // namespace fovea::ranking
