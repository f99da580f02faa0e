#include "index/live_index.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <unordered_set>

namespace fovea::index {

/// What one search sees. Fresh vectors are few; their index is built anew by every put.
struct LiveIndex::State {
  std::unordered_set<std::uint32_t> out_of_main;  // rows of main: removed, or fresh now
  std::vector<std::uint32_t> fresh_rows;
  std::vector<float> fresh_vectors;          // [fresh, width]
  std::unique_ptr<const VectorIndex> fresh;  // null when there are none
};

LiveIndex::LiveIndex(std::unique_ptr<const VectorIndex> main, std::size_t width)
    : width_(width), main_(std::move(main)), state_(std::make_shared<State>()) {
  if (main_ && main_->width() != width) {
    throw std::invalid_argument("an index of " + std::to_string(main_->width()) +
                                " channels cannot serve vectors of " + std::to_string(width));
  }
  if (!main_) return;
  for (const std::uint32_t row : main_->rows()) {
    if (row >= in_main_.size()) in_main_.resize(row + std::size_t{1});
    in_main_[row] = true;
  }
}

std::shared_ptr<const LiveIndex::State> LiveIndex::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

namespace {

// Fresh rows without those in `gone`.
void drop(std::vector<std::uint32_t>& rows, std::vector<float>& vectors, std::size_t width,
          const std::unordered_set<std::uint32_t>& gone) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (gone.contains(rows[i])) continue;
    if (kept != i) {
      rows[kept] = rows[i];
      std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(i * width), width,
                  vectors.begin() + static_cast<std::ptrdiff_t>(kept * width));
    }
    ++kept;
  }
  rows.resize(kept);
  vectors.resize(kept * width);
}

}  // namespace

void LiveIndex::put(std::span<const std::uint32_t> rows, std::span<const float> vectors) {
  if (vectors.size() != rows.size() * width_) {
    throw std::invalid_argument(std::to_string(rows.size()) + " rows of " + std::to_string(width_) +
                                " channels need another number of values than " +
                                std::to_string(vectors.size()));
  }
  replace(rows, vectors);
}

void LiveIndex::remove(std::span<const std::uint32_t> rows) { replace(rows, {}); }

void LiveIndex::replace(std::span<const std::uint32_t> rows, std::span<const float> vectors) {
  if (rows.empty()) return;
  const std::lock_guard writing(writing_);
  const auto now = state();
  auto next = std::make_shared<State>();
  next->out_of_main = now->out_of_main;
  for (const std::uint32_t row : rows) {
    if (row < in_main_.size() && in_main_[row]) next->out_of_main.insert(row);
  }
  next->fresh_rows = now->fresh_rows;
  next->fresh_vectors = now->fresh_vectors;
  drop(next->fresh_rows, next->fresh_vectors, width_, {rows.begin(), rows.end()});
  if (!vectors.empty()) {
    std::unordered_set<std::uint32_t> added;
    for (std::size_t i = rows.size(); i-- > 0;) {  // of a row given twice the last counts
      if (!added.insert(rows[i]).second) continue;
      next->fresh_rows.push_back(rows[i]);
      const auto vector = vectors.subspan(i * width_, width_);
      next->fresh_vectors.insert(next->fresh_vectors.end(), vector.begin(), vector.end());
    }
  }
  if (!next->fresh_rows.empty()) {
    next->fresh = build_index(next->fresh_rows, next->fresh_vectors, width_,
                              {.exact_items_max = next->fresh_rows.size()});
  }
  const std::lock_guard lock(mutex_);
  state_ = std::move(next);
}

std::vector<Neighbour> LiveIndex::search(std::span<const float> query, std::size_t k,
                                         const RowFilter& allow) const {
  const auto now = state();
  std::vector<Neighbour> found;
  if (main_) {
    RowFilter live = allow;
    if (!now->out_of_main.empty()) {
      live = [&](std::uint32_t row) {
        return !now->out_of_main.contains(row) && (!allow || allow(row));
      };
    }
    found = main_->search(query, k, live);
  }
  if (now->fresh) {
    const auto fresh = now->fresh->search(query, k, allow);
    std::vector<Neighbour> merged;
    merged.reserve(found.size() + fresh.size());
    std::ranges::merge(found, fresh, std::back_inserter(merged), std::ranges::greater{},
                       &Neighbour::score, &Neighbour::score);
    merged.resize(std::min(merged.size(), k));
    return merged;
  }
  return found;
}

std::size_t LiveIndex::size() const {
  const auto now = state();
  return (main_ ? main_->size() - now->out_of_main.size() : 0) + now->fresh_rows.size();
}

std::string LiveIndex::kind() const { return main_ ? main_->kind() : "exact"; }

}  // namespace fovea::index
