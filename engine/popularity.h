// Which items are popular: the order the lists fall back to.
// A trained version brings its own counts; before there is one they are counted from the stored
// histories.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "storage/db.h"

namespace fovea::engine {

/// Immutable. Rows beyond those counted have popularity 0 and come last, by row.
class Popularity {
 public:
  /// `log_popularity` by row: log(1 + behaviours).
  explicit Popularity(std::vector<float> log_popularity);

  float log_popularity(std::uint32_t row) const {
    return row < log_popularity_.size() ? log_popularity_[row] : 0.0F;
  }
  std::span<const float> log_popularity() const { return log_popularity_; }  ///< By row.
  /// Every counted row, most popular first, ties by row. Rows may be of absent items.
  std::span<const std::uint32_t> order() const { return order_; }

 private:
  std::vector<float> log_popularity_;
  std::vector<std::uint32_t> order_;
};

/// Popularity while there is no version. Thread-safe.
class CountedPopularity {
 public:
  explicit CountedPopularity(storage::Db& db) : db_(db) {}

  /// Behaviours were recorded or deleted.
  void changed() { ++generation_; }

  /// Counts again when something changed since, at most once a second of `now_ms`: a full read of
  /// the histories.
  std::shared_ptr<const Popularity> current(std::int64_t now_ms);

 private:
  storage::Db& db_;
  std::atomic<std::uint64_t> generation_{1};
  std::mutex mutex_;  // guards what follows; held while counting, so that only one thread counts
  std::uint64_t counted_generation_ = 0;
  std::int64_t counted_ms_ = 0;
  std::shared_ptr<const Popularity> popularity_;
};

}  // namespace fovea::engine
