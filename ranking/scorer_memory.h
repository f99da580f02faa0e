// Memory that the scorer holds for itself, on the device or where the device reads it from, in one
// move-only type. Private to scorer*.cu.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>
#include <utility>

#include "ranking/device_cuda.cuh"

namespace fovea::ranking::scorer {

/// An array that only grows; what it held is lost when it does.
template <typename T, bool kHost = false>
class Buffer {
 public:
  Buffer() = default;
  ~Buffer() { release(); }
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  /// `what` is being done, for the sentence of a DeviceError: "hold a batch".
  void reserve(std::size_t size, const char* what) {
    if (size <= size_) return;
    release();
    void* memory = nullptr;
    const std::size_t bytes = size * sizeof(T);
    check(kHost ? cudaMallocHost(&memory, bytes) : cudaMalloc(&memory, bytes), what);
    data_ = static_cast<T*>(memory);
    size_ = size;
  }
  /// On the device's stream; `values` are free on return.
  void assign(Device& device, std::span<const T> values, const char* what) {
    reserve(values.size(), what);
    device.upload(data_, values.data(), values.size_bytes());
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

 private:
  void release() {
    if (data_ == nullptr) return;
    if (kHost) {
      cudaFreeHost(data_);
    } else {
      cudaFree(data_);
    }
    data_ = nullptr;
    size_ = 0;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace fovea::ranking::scorer
