// What behaviours recorded since a version was trained add to its transitions, counted again from
// the store while it serves, so that a new habit reaches everybody's lists without a training.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "engine/live_model.h"
#include "ranking/transitions.h"
#include "storage/db.h"

namespace fovea::engine {

/// Thread-safe.
class FreshTransitions {
 public:
  explicit FreshTransitions(storage::Db& db) : db_(db) {}

  /// Behaviours were recorded or deleted.
  void changed() { ++generation_; }

  /// Counts for `model` what is newer than all it learned, with a full read of the histories; does
  /// nothing while nothing changed, or before fifty times as long as the last count took has
  /// passed. A version that was trained with something held out stays as it is: it is there to be
  /// measured.
  void update(const std::shared_ptr<const LiveModel>& model);

  /// What was counted for `model`; null: nothing.
  std::shared_ptr<const ranking::Transitions> of(const LiveModel* model) const;

 private:
  storage::Db& db_;
  std::atomic<std::uint64_t> generation_{1};

  // Of update(), which one thread at a time calls.
  std::uint64_t counted_generation_ = 0;
  std::chrono::steady_clock::time_point next_;

  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<const LiveModel> model_;
  std::shared_ptr<const ranking::Transitions> transitions_;
};

}  // namespace fovea::engine
