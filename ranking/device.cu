// See device.h and device_cuda.cuh.
#include <cstdint>
#include <limits>
#include <utility>

#include "ranking/cublas.cuh"
#include "ranking/device_cuda.cuh"

namespace fovea::ranking {
namespace {

std::string version(int number) {  // 13000: "13.0"
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

// cuBLAS is opened with its first call (cmake/cublas_on_demand.cpp); this one needs no device, so
// that what fails is that.
void find_cublas() {
  int version = 0;
  if (cublasGetProperty(MAJOR_VERSION, &version) == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError("the GPU cannot be used: libcublas.so." + std::to_string(CUBLAS_VER_MAJOR) +
                    " of the CUDA toolkit is not installed, or not where libraries are looked for");
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that can be gone on from is not told twice
  throw DeviceError(std::string("the GPU could not ") + what + ": " + cudaGetErrorString(status),
                    status == cudaErrorMemoryAllocation);
}

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(std::string("the GPU could not ") + what + ": cuBLAS error " +
                    std::to_string(static_cast<int>(status)));
}

DeviceCount device_count() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return {0, "no NVIDIA driver answers"};
  }
  if (driver / 1000 < CUDART_VERSION / 1000) {
    return {0, "the NVIDIA driver is for CUDA " + version(driver) + " and this build for CUDA " +
                   version(CUDART_VERSION)};
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    return {0, cudaGetErrorString(status)};
  }
  return count > 0 ? DeviceCount{count, ""} : DeviceCount{0, "no device is there"};
}

Device::Handles::Handles() {
  find_cublas();
  try {
    check(cudaSetDevice(0), "be chosen");
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, 0), "be asked for its properties");
    name = properties.name;
    int reads = 0;
    check(cudaDeviceGetAttribute(&reads, cudaDevAttrPageableMemoryAccess, 0), "be asked");
    reads_host_memory = reads != 0;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a stream");
    cudaMemPoolProps wanted{};
    wanted.allocType = cudaMemAllocationTypePinned;
    wanted.location.type = cudaMemLocationTypeDevice;
    wanted.location.id = 0;
    check(cudaMemPoolCreate(&pool, &wanted), "make a pool of memory");
    std::uint64_t kept = std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept),
          "keep a pool of memory");
    check(cublasCreate(&blas), "start cuBLAS");
    check(cublasSetStream(blas, stream), "give cuBLAS a stream");
  } catch (...) {
    close();
    throw;
  }
}

Device::Handles::~Handles() { close(); }

// A lost device refuses all of it, and there is nothing to be done about that here.
void Device::Handles::close() noexcept {
  if (stream != nullptr) cudaStreamSynchronize(stream);
  if (blas != nullptr) cublasDestroy(blas);
  if (pool != nullptr) cudaMemPoolDestroy(pool);
  if (stream != nullptr) cudaStreamDestroy(stream);
  cudaGetLastError();
}

std::unique_ptr<Device> Device::open() {
  const DeviceCount devices = device_count();
  if (devices.count == 0) throw DeviceError("no GPU can be used: " + devices.reason);
  return std::unique_ptr<Device>(new Device(std::make_unique<Handles>()));
}

Device::Device(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
Device::~Device() = default;
const std::string& Device::name() const { return handles_->name; }
void* Device::stream() const { return handles_->stream; }

Device::Memory Device::memory() const {
  Memory memory;
  check(cudaMemGetInfo(&memory.free, &memory.all), "be asked for its memory");
  return memory;
}

void* Device::allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* taken = nullptr;
  const cudaError_t status =
      cudaMallocFromPoolAsync(&taken, bytes, handles_->pool, handles_->stream);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    const auto [free, all] = memory();
    throw DeviceError("the GPU is out of memory: " + std::to_string(bytes >> 20) +
                          " MiB more were asked for, and " + std::to_string(free >> 20) + " of " +
                          std::to_string(all >> 20) + " are free",
                      true);
  }
  check(status, "allocate memory");
  return taken;
}

void Device::release(void* memory) noexcept {
  if (cudaFreeAsync(memory, handles_->stream) != cudaSuccess) cudaGetLastError();
}

void Device::upload(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, handles_->stream), "take values");
  // From memory that is not pinned this returns when `from` has been read, but where the device
  // reads such memory by itself.
  if (handles_->reads_host_memory) wait();
}

void Device::download(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, handles_->stream), "give values");
  wait();
}

void Device::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handles_->stream),
        "copy values");
}

void Device::zero(void* memory, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(memory, 0, bytes, handles_->stream), "set values to zero");
}

void Device::wait() { check(cudaStreamSynchronize(handles_->stream), "compute"); }

}  // namespace fovea::ranking
