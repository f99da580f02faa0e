// An array of floats with a shape, in the host's memory or on a device. Owns memory; every
// computation on it is an op.
#pragma once

#include <cassert>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "ranking/array.h"

namespace fovea::ranking {

/// Row-major; zero when made. Copies copy.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(std::vector<std::size_t> shape)
      : shape_(std::move(shape)), values_(count(shape_)) {}
  Tensor(std::vector<std::size_t> shape, std::vector<float> values)
      : shape_(std::move(shape)), values_(std::move(values)) {}
  /// In the context's memory.
  Tensor(const Context& context, std::vector<std::size_t> shape)
      : shape_(std::move(shape)), values_(context, count(shape_)) {}

  const std::vector<std::size_t>& shape() const { return shape_; }
  std::size_t size() const { return values_.size(); }
  std::size_t rows() const { return shape_[0]; }
  std::size_t columns() const { return shape_.size() < 2 ? 1 : size() / shape_[0]; }

  // Where the values lie, for ops; for a program to read and write only in the host's memory.
  float* data() { return values_.data(); }
  const float* data() const { return values_.data(); }
  float* row(std::size_t i) { return values_.data() + i * columns(); }
  const float* row(std::size_t i) const { return values_.data() + i * columns(); }

  // In the host's memory only.
  std::span<float> values() {
    assert(values_.device() == nullptr);
    return {values_.data(), size()};
  }
  std::span<const float> values() const {
    assert(values_.device() == nullptr);
    return {values_.data(), size()};
  }
  float& operator[](std::size_t i) { return values_.data()[i]; }
  float operator[](std::size_t i) const { return values_.data()[i]; }

  /// Makes this one of `shape` in the context's memory, contents undefined; keeps room that fits.
  void reshape(const Context& context, std::vector<std::size_t> shape) {
    shape_ = std::move(shape);
    values_.resize(context, count(shape_));
  }

  // In either memory.
  Device* device() const { return values_.device(); }
  void zero() { values_.zero(); }
  void assign(std::span<const float> values) { values_.assign(values); }
  std::vector<float> read() const { return values_.read(); }
  /// The same values in the context's memory, by way of the host's.
  Tensor to(const Context& context) const {
    Tensor copy;
    copy.shape_ = shape_;
    copy.values_ = Array<float>(context, std::span<const float>(read()));
    return copy;
  }

 private:
  static std::size_t count(const std::vector<std::size_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
  }

  std::vector<std::size_t> shape_;
  Array<float> values_;
};

}  // namespace fovea::ranking
