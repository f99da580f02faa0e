// A run of plain values in the memory that a context's ops read: the host's or a device's. Owns the
// memory and nothing of what it means.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "ranking/context.h"
#include "ranking/device.h"

namespace fovea::ranking {

/// Zero when made. Copies copy, within the memory they are in. An array on a device must be gone
/// before the device is.
template <typename T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Array() = default;
  /// In the host's memory.
  explicit Array(std::size_t n) : Array(std::vector<T>(n)) {}
  explicit Array(std::vector<T> values)
      : host_(std::move(values)), memory_(host_.data()), size_(host_.size()) {}
  /// In the context's memory.
  Array(const Context& context, std::size_t n) : device_(context.device), size_(n) {
    allocate();
    if (device_ != nullptr) device_->zero(memory_, bytes());
  }
  Array(const Context& context, std::span<const T> values)
      : device_(context.device), size_(values.size()) {
    allocate();
    assign(values);
  }
  Array(const Array& other) : device_(other.device_), size_(other.size_) {
    allocate();
    if (device_ == nullptr) {
      std::copy_n(other.memory_, size_, memory_);
    } else {
      device_->copy(memory_, other.memory_, bytes());
    }
  }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(const Array& other) {
    if (this == &other) return *this;
    if (device_ == nullptr && other.device_ == nullptr) {
      resize(Context{}, other.size_);
      std::copy_n(other.memory_, size_, memory_);
    } else if (device_ == other.device_ && size_ == other.size_) {
      device_->copy(memory_, other.memory_, bytes());
    } else {
      Array copy(other);
      swap(copy);
    }
    return *this;
  }
  Array& operator=(Array&& other) noexcept {
    Array moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Array() {
    if (device_ != nullptr && memory_ != nullptr) device_->release(memory_);
  }

  std::size_t size() const { return size_; }
  Device* device() const { return device_; }  ///< Null: the host's memory.
  T* data() { return memory_; }
  const T* data() const { return memory_; }

  /// Makes this n values of the context's memory, contents undefined. Room of the host's that is
  /// large enough is kept, so that what varies in size from call to call is allocated once.
  void resize(const Context& context, std::size_t n) {
    if (device_ != context.device || (device_ != nullptr && size_ != n)) {
      *this = Array(context, n);
    } else if (device_ == nullptr) {
      size_ = n;
      allocate();
    }
  }

  /// Copies `values`, of the same size, from the host.
  void assign(std::span<const T> values) {
    assert(values.size() == size_);
    if (device_ == nullptr) {
      std::copy(values.begin(), values.end(), host_.begin());
    } else {
      device_->upload(memory_, values.data(), bytes());
    }
  }
  /// Copies to the host; waits for the device.
  std::vector<T> read() const {
    if (device_ == nullptr) return {memory_, memory_ + size_};
    std::vector<T> values(size_);
    device_->download(values.data(), memory_, bytes());
    return values;
  }
  void zero() {
    if (device_ == nullptr) {
      std::fill_n(memory_, size_, T{});
    } else {
      device_->zero(memory_, bytes());
    }
  }

 private:
  std::size_t bytes() const { return size_ * sizeof(T); }
  void allocate() {
    if (device_ == nullptr) {
      if (host_.size() < size_) {
        host_.clear();
        host_.resize(size_);
      }
      memory_ = host_.data();
    } else {
      memory_ = static_cast<T*>(device_->allocate(bytes()));
    }
  }
  void swap(Array& other) noexcept {
    std::swap(host_, other.host_);
    std::swap(device_, other.device_);
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
  }

  std::vector<T> host_;  // at least size_
  Device* device_ = nullptr;
  T* memory_ = nullptr;  // host_'s or the device's
  std::size_t size_ = 0;
};

/// Values of the host where a context's ops can read them: on the CPU the caller's own memory,
/// which must outlive this, on a device a copy.
template <typename T>
class Placed {
 public:
  Placed(const Context& context, std::span<const T> values) : values_(values.data()) {
    if (context.device == nullptr) return;
    copy_ = Array<T>(context, values);
    values_ = copy_.data();
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;
  const T* data() const { return values_; }

 private:
  Array<T> copy_;
  const T* values_;
};

}  // namespace fovea::ranking
