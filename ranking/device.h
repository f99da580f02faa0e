// One GPU: its stream, its memory and the handles that its ops need. No header of CUDA is seen from
// here, so that everything but the .cu files compiles without it. A build without CUDA has the same
// calls and no device (device_none.cpp).
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

namespace fovea::ranking {

/// The device cannot be used or can no longer be: none there, driver too old, out of memory, lost.
/// The message is a sentence for people. After any of them but "out of memory" the device is gone.
class DeviceError : public std::runtime_error {
 public:
  explicit DeviceError(const std::string& what, bool out_of_memory = false)
      : std::runtime_error(what), out_of_memory_(out_of_memory) {}
  bool out_of_memory() const { return out_of_memory_; }

 private:
  bool out_of_memory_;
};

struct DeviceCount {
  int count = 0;
  std::string reason;  ///< Why there is none; empty where there is one.
};
/// Starts nothing and allocates nothing on a device. Never throws for lack of one.
DeviceCount device_count();

/// For one thread at a time. Whatever is asked of it happens in order, on one stream; only
/// download() and wait() wait for it, so that an error of an op surfaces at the latest there.
class Device {
 public:
  /// The first device. Throws DeviceError with the reason where there is none.
  static std::unique_ptr<Device> open();
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const;  ///< As the vendor has it: "NVIDIA H200".

  /// A cudaStream_t, for what shares the device; null where there is no CUDA.
  void* stream() const;

  /// Bytes of the whole GPU. Free is what nobody holds, other programs included; what release()
  /// keeps for the next allocation is held.
  struct Memory {
    std::size_t free = 0, all = 0;
  };
  Memory memory() const;

  /// Memory of the device, aligned to 256 bytes, contents undefined; null for 0 bytes. What is
  /// released is kept for the next allocation. Throws DeviceError when it is out of memory.
  void* allocate(std::size_t bytes);
  void release(void* memory) noexcept;  ///< Once every op asked for so far has run.

  void upload(void* to, const void* from, std::size_t bytes);  ///< `from` is free on return.
  void download(void* to, const void* from, std::size_t bytes);
  void copy(void* to, const void* from, std::size_t bytes);  ///< Within the device.
  void zero(void* memory, std::size_t bytes);
  void wait();

  struct Handles;  ///< device_cuda.h
  const Handles& handles() const { return *handles_; }

 private:
  explicit Device(std::unique_ptr<Handles> handles);
  std::unique_ptr<Handles> handles_;
};

}  // namespace fovea::ranking
