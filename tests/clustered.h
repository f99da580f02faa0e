// Vectors as items' lie, and how much of exact search each kind of index must find among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace fovea::index::testing_data {

/// Share of the exact neighbours that must be found, of 100 or more.
inline constexpr double kFp16Recall = 0.97;
inline constexpr double kPqRecall = 0.85;
/// How far the score at a place may lie from the exact one there, as a share of the best.
inline constexpr double kFp16Error = 0.005;
inline constexpr double kPqError = 0.1;

struct Clustered {
  std::vector<std::uint32_t> rows;  ///< Spread out and out of order.
  std::vector<float> values;        ///< [n, width]
};

/// Points about `clusters` centres.
inline Clustered clustered(std::size_t n, std::size_t width, std::size_t clusters,
                           std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> centres(clusters * width);
  for (float& value : centres) value = normal(random);
  Clustered result;
  for (std::size_t i = 0; i < n; ++i) {
    result.rows.push_back(static_cast<std::uint32_t>((n - i) * 3));
    const std::size_t centre = random() % clusters;
    for (std::size_t c = 0; c < width; ++c) {
      result.values.push_back(centres[centre * width + c] + 0.4F * normal(random));
    }
  }
  return result;
}

}  // namespace fovea::index::testing_data
