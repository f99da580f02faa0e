// What every search here compares and keeps: an inner product, and the k best of what was seen.
// Which vectors are compared is the caller's loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "index/vector_index.h"

namespace fovea::index {

/// `other` has as many floats as `query`.
float inner_product(std::span<const float> query, const float* other);

/// Keeps the k best of the neighbours that it is shown, each row once. Not thread-safe.
class Nearest {
 public:
  explicit Nearest(std::size_t k) : k_(k) {}

  void add(std::uint32_t row, float score) {
    if (score < worst_ || k_ == 0) return;
    found_.push_back({row, score});
    // A partition of 2 k for every k that came in costs less than a heap's step for each.
    if (found_.size() >= 2 * k_ + kRoom) cut();
  }
  /// At most k, best first; of equal scores the lower row first.
  std::vector<Neighbour> take();

 private:
  static constexpr std::size_t kRoom = 64;
  void cut();

  std::size_t k_;
  float worst_ = -std::numeric_limits<float>::infinity();  // of k that are in already
  std::vector<Neighbour> found_;
};

}  // namespace fovea::index
