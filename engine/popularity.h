// Which items are popular: the order the lists fall back to, and one feature of the ranker. A
// trained version brings the feature's counts; the order is counted from the stored histories, in
// which a behaviour weighs half as much when it is a month older.
#pragma once

#include <atomic>
#include <chrono>
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
  /// `log_popularity` by row: log(1 + behaviours), however they are weighed.
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

/// Popularity as the store has it. Thread-safe.
class CountedPopularity {
 public:
  explicit CountedPopularity(storage::Db& db) : db_(db) {}

  /// Behaviours were recorded or deleted.
  void changed() { ++generation_; }

  /// Counts again when something changed since, at most once a second of `now_ms`: a full read of
  /// the histories. For as long as there is no version.
  std::shared_ptr<const Popularity> current(std::int64_t now_ms);

  /// The same beside a version that serves, on a thread of its own: does nothing before fifty times
  /// as long as the last count took has passed.
  void update();
  /// What was counted last; null: nothing yet.
  std::shared_ptr<const Popularity> last() const;

 private:
  std::shared_ptr<const Popularity> count() const;

  storage::Db& db_;
  std::atomic<std::uint64_t> generation_{1};
  std::mutex counting_;  // one thread counts; guards what follows
  std::uint64_t counted_generation_ = 0;
  std::int64_t counted_ms_ = 0;
  std::chrono::steady_clock::time_point next_;

  mutable std::mutex mutex_;  // guards the pointer only
  std::shared_ptr<const Popularity> popularity_;
};

}  // namespace fovea::engine
