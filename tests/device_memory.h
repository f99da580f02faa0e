// Addresses in the memory of device_on_host.cpp's device: the host's, shifted to where nothing is
// mapped. What stands in for a kernel there shifts them back.
#pragma once

#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace fovea::ranking::device_memory {

inline constexpr std::uintptr_t kShift = std::uintptr_t{1} << 46;  // beyond a program's addresses

template <typename T>
T* shifted(T* address, std::uintptr_t by) {
  if (address == nullptr) return nullptr;
  return std::bit_cast<T*>(std::bit_cast<std::uintptr_t>(address) + by);
}
/// The device's address of what lies at `host`.
template <typename T>
T* there(T* host) {
  return shifted(host, kShift);
}
/// Where the host has what `device` points to.
template <typename T>
T* back(T* device) {
  return shifted(device, -kShift);
}

// What a test wants of the device, and asks it.
inline std::atomic<bool> lost = false;  ///< Whatever goes there or back fails.
inline std::atomic<std::chrono::milliseconds> searching{std::chrono::milliseconds(0)};  ///< Slowly.
inline std::atomic<bool> held = false;         ///< A search waits until this is over.
inline std::atomic<std::size_t> searches = 0;  ///< Of whole batches, so far.

}  // namespace fovea::ranking::device_memory
