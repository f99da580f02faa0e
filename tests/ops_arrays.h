// What tests of ops compare: arrays drawn from a seed, poison, and a tolerance for sums of floats.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "ranking/random.h"

namespace fovea::ranking {

inline std::vector<float> draw(std::size_t n, std::uint64_t seed, float deviation = 1) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& x : values) x = deviation * random.normal();
  return values;
}

/// What an op must overwrite, or must leave alone, shows up against this.
inline std::vector<float> poisoned(std::size_t n) { return std::vector<float>(n, 777.0F); }

inline void expect_close(const std::vector<float>& ours, const std::vector<float>& plain,
                         float tolerance) {
  ASSERT_EQ(ours.size(), plain.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    ASSERT_NEAR(ours[i], plain[i], tolerance * (1 + std::abs(plain[i]))) << "at " << i;
  }
}

}  // namespace fovea::ranking
