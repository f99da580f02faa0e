// One GPU as Faiss' indexes need it. Private to index/: CUDA and Faiss stay out of the headers that
// others include.
#pragma once

#include <faiss/gpu/GpuIndex.h>
#include <faiss/gpu/StandardGpuResources.h>

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "index/gpu_index.h"

namespace fovea::index {

class GpuDevice {
 public:
  explicit GpuDevice(const GpuOptions& options);
  ~GpuDevice();
  GpuDevice(const GpuDevice&) = delete;
  GpuDevice& operator=(const GpuDevice&) = delete;

  /// Runs `work` alone on the device and waits for nothing. Whatever fails in it is remembered and
  /// thrown as DeviceError; afterwards, every call throws that again at once.
  void run(const std::function<void()>& work);

  /// Waits for all that is queued. Within run().
  void wait();

  std::string failure() const;
  bool works() const { return failure().empty(); }

  int number() const { return number_; }
  faiss::gpu::StandardGpuResources& resources() { return *resources_; }
  cudaStream_t stream() const { return stream_; }

 private:
  int number_;
  std::unique_ptr<faiss::gpu::StandardGpuResources> resources_;
  cudaStream_t stream_ = nullptr;
  std::mutex running_;
  mutable std::mutex mutex_;  // guards the sentence
  std::string failure_;
};

/// Throws what is wrong with a call of CUDA's as a sentence; run() makes a DeviceError of it.
void check(cudaError_t result, const char* doing);

/// Drops something that lives on the device: within run() while the device works, and not at all
/// afterwards, since freeing there ends the process.
template <typename T>
void drop_on(GpuDevice& device, std::unique_ptr<T>& thing) {
  try {
    device.run([&] { thing.reset(); });
  } catch (const DeviceError&) {
    static_cast<void>(thing.release());
  }
}

/// An array in the device's memory, at least as large as last asked for. Within run().
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(GpuDevice& device) : device_(&device) {}
  ~DeviceArray() { free(); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  /// What it held is lost when it grows.
  T* reserve(std::size_t n) {
    if (n <= capacity_) return data_;
    free();
    check(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T)), "taking memory");
    capacity_ = n;
    return data_;
  }
  /// Waits until it is there.
  void upload(std::span<const T> values) {
    if (values.empty()) return;
    check(cudaMemcpyAsync(reserve(values.size()), values.data(), values.size_bytes(),
                          cudaMemcpyHostToDevice, device_->stream()),
          "copying to it");
    device_->wait();
  }
  std::vector<T> download(std::size_t n) const {
    std::vector<T> values(n);
    check(cudaMemcpyAsync(values.data(), data_, n * sizeof(T), cudaMemcpyDeviceToHost,
                          device_->stream()),
          "copying from it");
    device_->wait();
    return values;
  }

 private:
  void free() {
    if (data_ != nullptr) cudaFree(data_);  // waits for what still reads it
    data_ = nullptr;
    capacity_ = 0;
  }
  GpuDevice* device_;
  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

/// An index of build_gpu_index(), for searches that stay on the device.
class GpuIndex : public VectorIndex {
 public:
  virtual GpuDevice& device() const = 0;
  /// Of device pointers, [batch, width] to [batch, k], k at most 2,048; ids are numbers of vectors.
  /// Within run().
  virtual void fetch(const float* queries, std::size_t batch, std::size_t k, std::int64_t* ids,
                     float* scores) const = 0;
  virtual bool complete() const = 0;  ///< Every vector is compared.
};

}  // namespace fovea::index
