// Device where the build has no CUDA: there is none, and it says so.
#include <cstdlib>

#include "ranking/device.h"

namespace fovea::ranking {

struct Device::Handles {};

DeviceCount device_count() { return {0, "this build has no CUDA"}; }

std::unique_ptr<Device> Device::open() {
  throw DeviceError("no GPU can be used: " + device_count().reason);
}

// Nothing below is reached: nobody has a Device.
Device::Device(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
Device::~Device() = default;
const std::string& Device::name() const { std::abort(); }
void* Device::stream() const { return nullptr; }
Device::Memory Device::memory() const { std::abort(); }
void* Device::allocate(std::size_t) { std::abort(); }
void Device::release(void*) noexcept { std::abort(); }
void Device::upload(void*, const void*, std::size_t) { std::abort(); }
void Device::download(void*, const void*, std::size_t) { std::abort(); }
void Device::copy(void*, const void*, std::size_t) { std::abort(); }
void Device::zero(void*, std::size_t) { std::abort(); }
void Device::wait() { std::abort(); }

}  // namespace fovea::ranking
