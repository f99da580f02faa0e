#include "index/gpu_device.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <stdexcept>

namespace fovea::index {
namespace {

[[noreturn]] void no_device(int number, const std::string& reason) {
  throw DeviceError("GPU " + std::to_string(number) + " cannot be used: " + reason);
}

}  // namespace

void check(cudaError_t result, const char* doing) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // what is not for ever must not be found again by the next call
  throw std::runtime_error(std::string(doing) + " failed: " + cudaGetErrorString(result));
}

std::shared_ptr<GpuDevice> open_gpu(const GpuOptions& options) {
  return std::make_shared<GpuDevice>(options);
}

std::string failure(const GpuDevice& device) { return device.failure(); }

GpuDevice::GpuDevice(const GpuOptions& options) : number_(options.device) {
  int devices = 0;
  const cudaError_t result = cudaGetDeviceCount(&devices);
  if (result != cudaSuccess) no_device(number_, cudaGetErrorString(result));
  if (number_ < 0 || number_ >= devices) {
    no_device(number_, "this machine has " + std::to_string(devices));
  }
  int version = 0;
  if (cublasGetProperty(MAJOR_VERSION, &version) != CUBLAS_STATUS_SUCCESS) {
    no_device(number_, "cuBLAS " + std::to_string(CUBLAS_VER_MAJOR) + " is not installed");
  }
  run([&] {
    resources_ = std::make_unique<faiss::gpu::StandardGpuResources>();
    resources_->setTempMemory(options.scratch_mib << 20);
    resources_->setPinnedMemory(0);  // of use to calls with 256 MiB of queries only
    if (options.stream != nullptr) {
      resources_->setDefaultStream(number_, static_cast<cudaStream_t>(options.stream));
    }
    stream_ = resources_->getDefaultStream(number_);
  });
}

GpuDevice::~GpuDevice() { drop_on(*this, resources_); }

void GpuDevice::run(const std::function<void()>& work) {
  const std::lock_guard alone(running_);
  if (std::string before = failure(); !before.empty()) throw DeviceError(before);
  try {
    check(cudaSetDevice(number_), "choosing it");
    work();
  } catch (const std::exception& error) {
    std::string what = error.what();
    // An error that CUDA still reports after it was asked for is one that ends the context.
    cudaGetLastError();
    if (const cudaError_t lasting = cudaGetLastError(); lasting != cudaSuccess) {
      what += std::string(" (") + cudaGetErrorString(lasting) + ")";
    }
    const std::lock_guard lock(mutex_);
    failure_ = "GPU " + std::to_string(number_) + " failed: " + what;
    throw DeviceError(failure_);
  }
}

void GpuDevice::wait() { check(cudaStreamSynchronize(stream_), "waiting for it"); }

std::string GpuDevice::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace fovea::index
