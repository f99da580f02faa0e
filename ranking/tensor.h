// An array of floats with a shape. Owns memory; every computation on it is an op.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace fovea::ranking {

/// Row-major; zero when made. Copies copy.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::vector<std::size_t> shape)
      : shape_(std::move(shape)),
        values_(
            std::accumulate(shape_.begin(), shape_.end(), std::size_t{1}, std::multiplies<>())) {}
  Tensor(std::vector<std::size_t> shape, std::vector<float> values)
      : shape_(std::move(shape)), values_(std::move(values)) {}

  const std::vector<std::size_t>& shape() const { return shape_; }
  std::size_t size() const { return values_.size(); }
  std::size_t rows() const { return shape_[0]; }
  std::size_t columns() const { return shape_.size() < 2 ? 1 : size() / shape_[0]; }

  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  std::span<float> values() { return values_; }
  std::span<const float> values() const { return values_; }
  float* row(std::size_t i) { return values_.data() + i * columns(); }
  const float* row(std::size_t i) const { return values_.data() + i * columns(); }

  void values_fill(float value) { std::fill(values_.begin(), values_.end(), value); }

  float& operator[](std::size_t i) { return values_[i]; }
  float operator[](std::size_t i) const { return values_[i]; }

 private:
  std::vector<std::size_t> shape_;
  std::vector<float> values_;
};

}  // namespace fovea::ranking
