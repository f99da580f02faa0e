#include "index/live_index.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>

#include "index/exact_scan.h"

namespace fovea::index {
namespace {

RowSet both(const RowSet& a, const RowSet& b) {
  RowSet result(std::min(a.rows(), b.rows()));
  const auto words = result.words();
  for (std::size_t w = 0; w < words.size(); ++w) words[w] = a.words()[w] & b.words()[w];
  // The longer one's bits beyond the shorter one's rows.
  if (const std::size_t last = result.rows() % 64; last != 0) {
    words.back() &= (std::uint64_t{1} << last) - 1;
  }
  return result;
}

std::shared_ptr<const RowSet> rows_of(const VectorIndex* index) {
  if (index == nullptr) return std::make_shared<RowSet>();
  std::size_t end = 0;
  for (const std::uint32_t row : index->rows()) end = std::max(end, row + std::size_t{1});
  auto rows = std::make_shared<RowSet>(end);
  for (const std::uint32_t row : index->rows()) rows->insert(row);
  return rows;
}

}  // namespace

LiveIndex::LiveIndex(std::unique_ptr<const VectorIndex> main, std::size_t width,
                     NearestOf nearest_of)
    : width_(width),
      main_(std::move(main)),
      nearest_of_(std::move(nearest_of)),
      in_main_(rows_of(main_.get())),
      state_(std::make_shared<State>(in_main_, 0, FreshVectors(width))) {
  if (main_ && main_->width() != width) {
    throw std::invalid_argument("an index of " + std::to_string(main_->width()) +
                                " channels cannot serve vectors of " + std::to_string(width));
  }
}

std::shared_ptr<const LiveIndex::State> LiveIndex::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void LiveIndex::put(std::span<const std::uint32_t> rows, std::span<const float> vectors) {
  if (vectors.size() != rows.size() * width_) {
    throw std::invalid_argument(std::to_string(rows.size()) + " rows of " + std::to_string(width_) +
                                " channels need another number of values than " +
                                std::to_string(vectors.size()));
  }
  replace(rows, [&](FreshVectors& fresh) { fresh.put(rows, vectors); });
}

void LiveIndex::remove(std::span<const std::uint32_t> rows) {
  replace(rows, [&](FreshVectors& fresh) { fresh.remove(rows); });
}

void LiveIndex::replace(std::span<const std::uint32_t> rows,
                        const std::function<void(FreshVectors& fresh)>& change) {
  if (rows.empty()) return;
  const std::lock_guard writing(writing_);
  auto next = std::make_shared<State>(*state());
  const bool of_main = std::ranges::any_of(
      rows, [&](std::uint32_t row) { return next->left_in_main->contains(row); });
  if (of_main) {
    auto left = std::make_shared<RowSet>(*next->left_in_main);
    for (const std::uint32_t row : rows) {
      if (!left->contains(row)) continue;
      left->erase(row);
      ++next->out_of_main;
    }
    next->left_in_main = std::move(left);
  }
  change(next->fresh);
  const std::lock_guard lock(mutex_);
  state_ = std::move(next);
}

namespace {

std::vector<Neighbour> nearest_fresh(const FreshVectors& fresh, std::span<const float> query,
                                     std::size_t k, const RowSet* allow) {
  Nearest nearest(k);
  fresh.for_each([&](std::uint32_t row, const float* vector) {
    if (allow == nullptr || allow->contains(row)) nearest.add(row, inner_product(query, vector));
  });
  return nearest.take();
}

std::vector<Neighbour> merged(std::vector<Neighbour> main, const std::vector<Neighbour>& fresh,
                              std::size_t k) {
  if (fresh.empty()) return main;
  std::vector<Neighbour> result;
  result.reserve(main.size() + fresh.size());
  std::ranges::merge(main, fresh, std::back_inserter(result), std::ranges::greater{},
                     &Neighbour::score, &Neighbour::score);
  result.resize(std::min(result.size(), k));
  return result;
}

}  // namespace

std::vector<Neighbour> LiveIndex::search(std::span<const float> query, std::size_t k,
                                         const RowSet* allow) const {
  if (query.size() != width_) {
    throw std::invalid_argument("a query has " + std::to_string(query.size()) + " channels; " +
                                std::to_string(width_) + " are right here");
  }
  return search_batch(query, k, {&allow, std::size_t{1}}).front();
}

std::vector<std::vector<Neighbour>> LiveIndex::search_batch(
    std::span<const float> queries, std::size_t k, std::span<const RowSet* const> allow) const {
  const std::size_t batch = batch_size(queries, width_, allow.size());
  const auto now = state();
  const auto query = [&](std::size_t b) { return queries.subspan(b * width_, width_); };
  const auto filter = [&](std::size_t b) { return allow.empty() ? nullptr : allow[b]; };
  std::vector<std::vector<Neighbour>> found(batch);
  if (main_) search_main(*now, queries, k, filter, found);
  for (std::size_t b = 0; b < batch; ++b) {
    found[b] = merged(std::move(found[b]), nearest_fresh(now->fresh, query(b), k, filter(b)), k);
  }
  return found;
}

std::vector<Neighbour> LiveIndex::search_exact(std::span<const float> query, std::size_t k,
                                               const RowSet* allow) const {
  if (!main_ || !nearest_of_) return search(query, k, allow);
  const auto now = state();
  const RowSet& left = *now->left_in_main;
  auto found = nearest_of_(allow == nullptr ? left : both(left, *allow), query, k);
  return merged(std::move(found), nearest_fresh(now->fresh, query, k, allow), k);
}

void LiveIndex::search_main(const State& state, std::span<const float> queries, std::size_t k,
                            const std::function<const RowSet*(std::size_t)>& filter,
                            std::vector<std::vector<Neighbour>>& found) const {
  // No more rows than a search of main compares vectors anyway: up to there, and half as many
  // again, comparing them is the faster one (fovea_recall --switch), and exact.
  const std::size_t narrow = nearest_of_ ? main_->compared() : 0;
  std::vector<RowSet> left(found.size());  // of main by each filter
  std::vector<std::size_t> broad;
  std::vector<float> broad_queries;
  std::vector<const RowSet*> broad_left;
  for (std::size_t b = 0; b < found.size(); ++b) {
    const auto query = queries.subspan(b * width_, width_);
    const RowSet* mine = state.out_of_main == 0 ? nullptr : state.left_in_main.get();
    if (const RowSet* allow = filter(b); allow != nullptr) {
      left[b] = both(*state.left_in_main, *allow);
      const std::size_t count = left[b].count();
      if (count == 0) continue;
      if (count <= narrow) {
        found[b] = nearest_of_(left[b], query, k);
        continue;
      }
      mine = &left[b];
    }
    broad.push_back(b);
    broad_queries.insert(broad_queries.end(), query.begin(), query.end());
    broad_left.push_back(mine);
  }
  auto of_main = main_->search_batch(broad_queries, k, broad_left);
  for (std::size_t i = 0; i < broad.size(); ++i) found[broad[i]] = std::move(of_main[i]);
}

bool LiveIndex::contains(std::uint32_t row) const {
  const auto now = state();
  return now->left_in_main->contains(row) || now->fresh.find(row) != nullptr;
}

std::size_t LiveIndex::size() const {
  const auto now = state();
  return (main_ ? main_->size() - now->out_of_main : 0) + now->fresh.size();
}

std::vector<std::uint32_t> LiveIndex::rows(const State& state) const {
  std::vector<std::uint32_t> rows;
  state.left_in_main->for_each([&](std::uint32_t row) { rows.push_back(row); });
  state.fresh.for_each([&](std::uint32_t row, const float*) { rows.push_back(row); });
  std::ranges::sort(rows);
  return rows;
}

std::vector<std::uint32_t> LiveIndex::out_of_main(const State& state) const {
  std::vector<std::uint32_t> rows;
  if (state.out_of_main == 0) return rows;
  in_main_->for_each([&](std::uint32_t row) {
    if (!state.left_in_main->contains(row)) rows.push_back(row);
  });
  return rows;
}

std::string LiveIndex::kind() const { return main_ ? main_->kind() : "exact"; }

}  // namespace fovea::index
