// Memory and calls of CUDA as the scorer uses them: every return code is looked at, memory lives in
// one move-only type. Private to scorer*.cu.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "ranking/scorer.h"

namespace fovea::ranking::scorer {

/// Throws ScorerError for anything but success.
inline void check(cudaError_t result, const char* doing) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // a failed allocation must not come back as the error of the next call
  throw ScorerError(std::string("GPU, ") + doing + ": " + cudaGetErrorString(result),
                    result == cudaErrorMemoryAllocation);
}

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

  /// True when the array is now another one.
  bool reserve(std::size_t size, const char* what) {
    if (size <= size_) return false;
    release();
    void* memory = nullptr;
    const std::size_t bytes = size * sizeof(T);
    check(kHost ? cudaMallocHost(&memory, bytes) : cudaMalloc(&memory, bytes), what);
    data_ = static_cast<T*>(memory);
    size_ = size;
    return true;
  }
  /// Waits until it is copied. The array is on the device.
  void assign(std::span<const T> values, const char* what) {
    reserve(values.size(), what);
    if (values.empty()) return;
    check(cudaMemcpy(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice), what);
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
