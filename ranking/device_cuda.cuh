// What the .cu files share: the handles of a device, launches on its stream, errors as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "ranking/context.h"
#include "ranking/device.h"

struct cublasContext;

namespace fovea::ranking {

/// Throws DeviceError with a sentence unless `status` is success. `what` was being done: "compute".
void check(cudaError_t status, const char* what);

struct Device::Handles {
  Handles();
  ~Handles();
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

  std::string name;
  bool reads_host_memory = false;  // also such as is not pinned
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;
  cublasContext* blas = nullptr;

 private:
  void close() noexcept;
};

inline cudaStream_t stream_of(const Context& context) { return context.device->handles().stream; }

/// Runs a kernel on the context's stream; nothing where there is no block to run.
template <typename... Parameters, typename... Arguments>
void launch(const Context& context, void (*kernel)(Parameters...), dim3 blocks, dim3 threads,
            Arguments... arguments) {
  if (blocks.x == 0 || blocks.y == 0) return;
  kernel<<<blocks, threads, 0, stream_of(context)>>>(arguments...);
  check(cudaGetLastError(), "start a kernel");
}

/// Memory for as long as an op is asked for; what runs later may still use it.
class Scratch {
 public:
  Scratch(const Context& context, std::size_t bytes)
      : device_(*context.device), memory_(device_.allocate(bytes)) {}
  ~Scratch() {
    if (memory_ != nullptr) device_.release(memory_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  Device& device_;
  void* memory_;
};

}  // namespace fovea::ranking
