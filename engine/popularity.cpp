#include "engine/popularity.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace fovea::engine {
namespace {

constexpr double kHalfLifeMs = 30.0 * 24 * 3'600'000;

}  // namespace

Popularity::Popularity(std::vector<float> log_popularity)
    : log_popularity_(std::move(log_popularity)), order_(log_popularity_.size()) {
  std::iota(order_.begin(), order_.end(), 0U);
  std::ranges::stable_sort(order_, [this](std::uint32_t a, std::uint32_t b) {
    return log_popularity_[a] > log_popularity_[b];
  });
}

std::shared_ptr<const Popularity> CountedPopularity::current(std::int64_t now_ms) {
  constexpr std::int64_t kRecountMs = 1000;
  const std::lock_guard counting(counting_);
  const std::uint64_t generation = generation_;
  auto counted = last();
  const bool recently = counted && now_ms - counted_ms_ < kRecountMs && now_ms >= counted_ms_;
  if (counted && (counted_generation_ == generation || recently)) return counted;
  counted = count();
  counted_generation_ = generation;
  counted_ms_ = now_ms;
  const std::lock_guard lock(mutex_);
  popularity_ = counted;
  return counted;
}

void CountedPopularity::update() {
  const std::lock_guard counting(counting_);
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t generation = generation_;
  if (last() && (counted_generation_ == generation || start < next_)) return;
  auto counted = count();
  const auto end = std::chrono::steady_clock::now();
  next_ = end + 50 * (end - start);
  counted_generation_ = generation;
  const std::lock_guard lock(mutex_);
  popularity_ = std::move(counted);
}

std::shared_ptr<const Popularity> CountedPopularity::last() const {
  const std::lock_guard lock(mutex_);
  return popularity_;
}

std::shared_ptr<const Popularity> CountedPopularity::count() const {
  // By halvings before the newest behaviour, not before now: a store that rests keeps its order.
  std::int64_t newest_ms = 0;
  db_.history().for_each_user([&](std::string_view, std::span<const storage::Event> newest_first) {
    if (!newest_first.empty()) newest_ms = std::max(newest_ms, newest_first.front().time_ms);
  });
  std::vector<double> sums(db_.catalog().rows());
  db_.history().for_each_user([&](std::string_view, std::span<const storage::Event> events) {
    for (const auto& event : events) {
      // An item recorded since rows() was read.
      if (event.row >= sums.size()) sums.resize(event.row + 1);
      sums[event.row] += std::exp2(static_cast<double>(event.time_ms - newest_ms) / kHalfLifeMs);
    }
  });
  std::vector<float> logs(sums.size());
  for (std::size_t row = 0; row < sums.size(); ++row) {
    logs[row] = static_cast<float>(std::log1p(sums[row]));
  }
  return std::make_shared<const Popularity>(std::move(logs));
}

}  // namespace fovea::engine
