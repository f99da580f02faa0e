// A live index that serves while its successor is built. Owns when that pays and how one follows
// the other: nothing that was put or removed meanwhile is lost, and a search that runs keeps the
// one it began with.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/live_index.h"

namespace fovea::index {

struct RebuildOptions {
  // Behaviour.
  IndexOptions index;
  // Performance. Built anew when either share is exceeded, and by more than `changes_min` items.
  std::size_t changes_min = 5'000;
  /// Fresh items by those of main. Every search compares them all: at 5 % that is about as many
  /// vectors as the approximate index reads.
  double fresh_max = 0.05;
  /// Items of main that are gone or replaced, by all of main. A search passes over them.
  double out_of_main_max = 0.10;
};

/// Thread-safe.
class GenerationalIndex {
 public:
  /// `main` may be null. `vectors_of` and `nearest_of` know the vectors of every row that was put,
  /// from before it is put here.
  GenerationalIndex(std::unique_ptr<const VectorIndex> main, std::size_t width,
                    VectorsOf vectors_of, NearestOf nearest_of, RebuildOptions options = {});

  /// As LiveIndex has them.
  void put(std::span<const std::uint32_t> rows, std::span<const float> vectors);
  void remove(std::span<const std::uint32_t> rows);
  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowSet* allow = nullptr) const {
    return current()->search(query, k, allow);
  }
  std::vector<Neighbour> search_exact(std::span<const float> query, std::size_t k,
                                      const RowSet* allow = nullptr) const {
    return current()->search_exact(query, k, allow);
  }
  std::size_t size() const { return current()->size(); }
  std::size_t width() const { return current()->width(); }
  std::string kind() const { return current()->kind(); }

  /// What serves now. It stays right for whoever keeps it until a rebuild, and as it was then after
  /// that.
  std::shared_ptr<const LiveIndex> current() const;

  bool rebuilding() const { return building_; }  ///< Whether rebuild() is under way.

  /// Whether so much has come and gone that a rebuild pays.
  bool rebuild_due() const;
  /// Builds main anew from what is live, on the calling thread and `threads` - 1 more, while
  /// searches and changes go on; then lets changes wait for as long as it takes up what came
  /// meanwhile, calls `before_swap` and serves the new one. Holds both indexes until then, and
  /// beside them a sample of at most 65,536 vectors, never a copy of all. A second call waits.
  /// False, and nothing has changed, where `go_on` said so, which is asked between blocks of
  /// vectors.
  bool rebuild(int threads, const std::function<bool()>& go_on = {},
               const std::function<void()>& before_swap = {});

 private:
  std::shared_ptr<LiveIndex> live() const;

  const VectorsOf vectors_of_;
  const NearestOf nearest_of_;
  const RebuildOptions options_;
  std::mutex rebuilding_;  // one rebuild at a time
  std::atomic<bool> building_{false};
  std::mutex changing_;  // orders changes with each other and with a swap
  std::optional<std::vector<std::uint32_t>> changed_;  // rows, since a rebuild began
  mutable std::mutex mutex_;                           // guards the pointer only
  std::shared_ptr<LiveIndex> live_;
};

}  // namespace fovea::index
