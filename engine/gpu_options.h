// How the GPU is used; apart from engine/gpu.h, so that the engine's door needs none of its parts.
#pragma once

#include <chrono>
#include <cstddef>

namespace fovea::engine {

/// What ranks, or what an encoder is trained on.
enum class DeviceChoice {
  kCpu,
  kAuto,  ///< The first GPU where one can be used, else the CPU.
  kGpu,   ///< The first GPU; an error where none can be used.
};

struct GpuOptions {
  // Behaviour.
  /// Of the device's memory, MiB, for all versions together; 0: nine tenths of what is free.
  std::size_t memory_mib_max = 0;
  /// A batch that takes longer counts as a lost device.
  std::chrono::milliseconds answer_timeout{2000};
  // Performance.
  std::size_t batch_max = 64;     ///< Users that are ranked together.
  std::size_t waiting_max = 512;  ///< Users that wait; further ones are ranked on the CPU.
};

}  // namespace fovea::engine
