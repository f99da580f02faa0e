#include "index/live_index.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>

namespace fovea::index {

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

namespace {

// Rows of main that are still its own and that `allow` accepts; empty where those are all.
RowFilter live_in_main(const LiveIndex::State& state, const RowFilter& allow) {
  if (state.out_of_main.empty()) return allow;
  return
      [&](std::uint32_t row) { return !state.out_of_main.contains(row) && (!allow || allow(row)); };
}

std::vector<Neighbour> merged(std::vector<Neighbour> main, const std::vector<Neighbour>& fresh,
                              std::size_t k) {
  if (fresh.empty()) return main;
  std::vector<Neighbour> both;
  both.reserve(main.size() + fresh.size());
  std::ranges::merge(main, fresh, std::back_inserter(both), std::ranges::greater{},
                     &Neighbour::score, &Neighbour::score);
  both.resize(std::min(both.size(), k));
  return both;
}

}  // namespace

std::vector<Neighbour> LiveIndex::search(std::span<const float> query, std::size_t k,
                                         const RowFilter& allow) const {
  const auto now = state();
  std::vector<Neighbour> found;
  if (main_) found = main_->search(query, k, live_in_main(*now, allow));
  if (!now->fresh) return found;
  return merged(std::move(found), now->fresh->search(query, k, allow), k);
}

std::vector<std::vector<Neighbour>> LiveIndex::search_batch(
    std::span<const float> queries, std::size_t k, std::span<const RowFilter> allow) const {
  const std::size_t batch = batch_size(queries, width_, allow.size());
  const auto now = state();
  std::vector<std::vector<Neighbour>> found(batch);
  if (main_) {
    std::vector<RowFilter> live;
    if (!allow.empty() || !now->out_of_main.empty()) {
      static const RowFilter kEvery;
      for (std::size_t b = 0; b < batch; ++b) {
        live.push_back(live_in_main(*now, allow.empty() ? kEvery : allow[b]));
      }
    }
    found = main_->search_batch(queries, k, live);
  }
  if (!now->fresh) return found;
  const auto fresh = now->fresh->search_batch(queries, k, allow);
  for (std::size_t b = 0; b < batch; ++b) found[b] = merged(std::move(found[b]), fresh[b], k);
  return found;
}

std::size_t LiveIndex::size() const {
  const auto now = state();
  return (main_ ? main_->size() - now->out_of_main.size() : 0) + now->fresh_rows.size();
}

std::string LiveIndex::kind() const { return main_ ? main_->kind() : "exact"; }

}  // namespace fovea::index
