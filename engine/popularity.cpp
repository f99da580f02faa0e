#include "engine/popularity.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace fovea::engine {

Popularity::Popularity(std::vector<float> log_popularity)
    : log_popularity_(std::move(log_popularity)), order_(log_popularity_.size()) {
  std::iota(order_.begin(), order_.end(), 0U);
  std::ranges::stable_sort(order_, [this](std::uint32_t a, std::uint32_t b) {
    return log_popularity_[a] > log_popularity_[b];
  });
}

std::shared_ptr<const Popularity> CountedPopularity::current(std::int64_t now_ms) {
  constexpr std::int64_t kRecountMs = 1000;
  const std::lock_guard lock(mutex_);
  const std::uint64_t generation = generation_;
  const bool recently = popularity_ && now_ms - counted_ms_ < kRecountMs && now_ms >= counted_ms_;
  if (counted_generation_ == generation || recently) return popularity_;

  std::vector<float> counts(db_.catalog().rows());
  db_.history().for_each_user([&](std::string_view, std::span<const storage::Event> events) {
    for (const auto& event : events) {
      // An item recorded since rows() was read.
      if (event.row >= counts.size()) counts.resize(event.row + 1);
      counts[event.row] += 1;
    }
  });
  for (float& count : counts) count = std::log1p(count);
  popularity_ = std::make_shared<const Popularity>(std::move(counts));
  counted_generation_ = generation;
  counted_ms_ = now_ms;
  return popularity_;
}

}  // namespace fovea::engine
