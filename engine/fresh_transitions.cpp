#include "engine/fresh_transitions.h"

#include <algorithm>
#include <ranges>
#include <utility>
#include <vector>

#include "engine/behaviours.h"

namespace fovea::engine {
namespace {

std::shared_ptr<const ranking::Transitions> count(storage::Db& db, const LiveModel& model) {
  const std::int64_t after_ms = model.card().newest_ms;
  const ranking::Transitions::Options options;
  const storage::Catalog& catalog = db.catalog();
  const auto actions = catalog.actions();
  ranking::Interactions interactions;
  std::vector<ranking::Behaviour> kept;
  db.history().for_each_user([&](std::string_view, std::span<const storage::Event> newest_first) {
    if (newest_first.empty() || newest_first.front().time_ms <= after_ms) return;
    kept.clear();
    std::size_t before = 0;  // older behaviours, as far as the window of the oldest new one reaches
    for (const storage::Event& event : newest_first) {
      if (before == options.window) break;
      const auto behaviour = to_behaviour(event);
      if (action_weight(actions, behaviour.action) <= 0 || !catalog.present(event.row)) continue;
      if (event.time_ms <= after_ms) ++before;
      kept.push_back(behaviour);
    }
    std::ranges::reverse(kept);
    interactions.add_user(kept);
  });
  if (interactions.users() == 0) return nullptr;
  return std::make_shared<const ranking::Transitions>(ranking::Transitions::count_since(
      after_ms, model.popularity()->log_popularity(), interactions, catalog.rows(), {}, options));
}

}  // namespace

void FreshTransitions::update(const std::shared_ptr<const LiveModel>& model) {
  if (!model || model->model() == nullptr || model->card().split != Split::kNone) return;
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t generation = generation_;
  const bool same = [&] {
    const std::lock_guard lock(mutex_);
    return model_ == model;
  }();
  if (same && (counted_generation_ == generation || start < next_)) return;
  auto counted = count(db_, *model);
  const auto end = std::chrono::steady_clock::now();
  next_ = end + 50 * (end - start);
  counted_generation_ = generation;
  const std::lock_guard lock(mutex_);
  model_ = model;
  transitions_ = std::move(counted);
}

std::shared_ptr<const ranking::Transitions> FreshTransitions::of(const LiveModel* model) const {
  const std::lock_guard lock(mutex_);
  return model_.get() == model ? transitions_ : nullptr;
}

}  // namespace fovea::engine
