// A query against the 8-bit codes of faiss::ScalarQuantizer (QT_8bit). Faiss decodes every code
// before it multiplies; folded into the query once, what decoding adds costs nothing a vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fovea::index {

class Sq8Query {
 public:
  /// query [D]. `trained` [2, D] is the quantizer's: the least value and the range of each channel.
  Sq8Query(std::span<const float> query, std::span<const float> trained);

  /// The inner product of the query with what `code` [D] stands for.
  float product(const std::uint8_t* code) const;
  /// The same of n codes [n, D], each plus `base`. out [n]
  void products(std::size_t n, const std::uint8_t* codes, float base, float* out) const;

 private:
  std::vector<float> weights_;  // [D]
  float least_ = 0;             // the product where every code is 0
};

}  // namespace fovea::index
