#include "index/generational_index.h"

#include <algorithm>
#include <utility>

namespace fovea::index {

GenerationalIndex::GenerationalIndex(std::unique_ptr<const VectorIndex> main, std::size_t width,
                                     VectorsOf vectors_of, NearestOf nearest_of,
                                     RebuildOptions options)
    : vectors_of_(std::move(vectors_of)),
      nearest_of_(std::move(nearest_of)),
      options_(options),
      live_(std::make_shared<LiveIndex>(std::move(main), width, nearest_of_)) {}

std::shared_ptr<LiveIndex> GenerationalIndex::live() const {
  const std::lock_guard lock(mutex_);
  return live_;
}

std::shared_ptr<const LiveIndex> GenerationalIndex::current() const { return live(); }

void GenerationalIndex::put(std::span<const std::uint32_t> rows, std::span<const float> vectors) {
  const std::lock_guard changing(changing_);
  live()->put(rows, vectors);
  if (changed_) changed_->insert(changed_->end(), rows.begin(), rows.end());
}

void GenerationalIndex::remove(std::span<const std::uint32_t> rows) {
  const std::lock_guard changing(changing_);
  live()->remove(rows);
  if (changed_) changed_->insert(changed_->end(), rows.begin(), rows.end());
}

bool GenerationalIndex::rebuild_due() const {
  const auto index = current();
  const auto state = index->state();
  const auto main = static_cast<double>(index->main() == nullptr ? 0 : index->main()->size());
  const auto over = [&](std::size_t changes, double share) {
    return changes > options_.changes_min && static_cast<double>(changes) > share * main;
  };
  return over(state->fresh.size(), options_.fresh_max) ||
         over(state->out_of_main, options_.out_of_main_max);
}

bool GenerationalIndex::rebuild(int threads, const std::function<bool()>& go_on,
                                const std::function<void()>& before_swap) {
  const std::lock_guard rebuilding(rebuilding_);
  const struct Building {
    explicit Building(std::atomic<bool>& shown) : flag(shown) { flag = true; }
    ~Building() { flag = false; }
    std::atomic<bool>& flag;
  } building(building_);
  std::shared_ptr<LiveIndex> old;
  std::vector<std::uint32_t> rows;
  {
    const std::lock_guard changing(changing_);
    old = live();
    rows = old->rows(*old->state());
    changed_.emplace();
  }
  std::unique_ptr<VectorIndex> main;
  try {
    main = build_index(rows, vectors_of_, old->width(), options_.index, threads, go_on);
  } catch (...) {
    const std::lock_guard changing(changing_);
    changed_.reset();
    throw;
  }

  const std::lock_guard changing(changing_);
  std::vector<std::uint32_t> changed = *std::exchange(changed_, std::nullopt);
  if (!main) return false;
  auto next = std::make_shared<LiveIndex>(std::move(main), old->width(), nearest_of_);
  // A row may have come, gone and come again: what the old one says now is what counts.
  std::ranges::sort(changed);
  changed.erase(std::ranges::unique(changed).begin(), changed.end());
  const auto gone =
      std::ranges::partition(changed, [&](std::uint32_t row) { return old->contains(row); });
  next->remove(gone);
  changed.erase(gone.begin(), gone.end());
  std::vector<float> vectors(changed.size() * old->width());
  vectors_of_(changed, vectors);
  next->put(changed, vectors);
  if (before_swap) before_swap();
  const std::lock_guard lock(mutex_);
  live_ = std::move(next);
  return true;
}

}  // namespace fovea::index
