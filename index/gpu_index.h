// Indexes in a GPU's memory, behind the contract of index/vector_index.h. Owns what Faiss' GPU
// indexes leave open: they ignore filters, cannot remove, and stop the process where they fail.
// Without a build for GPUs open_gpu() says so and the rest is never reached.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "index/vector_index.h"

namespace fovea::index {

/// The device cannot go on: none there, out of memory, lost, or its driver does not fit. The
/// message is a sentence.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct GpuOptions {
  int device = 0;
  /// A cudaStream_t that everything runs on, which must outlive the device and its indexes; null:
  /// one of its own.
  void* stream = nullptr;
  // Performance.
  /// Reserved at once for what searches compute in between, MiB, at most 1,536; what needs more
  /// takes it for as long as the call lasts.
  std::size_t scratch_mib = 512;
};

/// One GPU with Faiss' resources on it. Calls on it and on its indexes wait for each other, so one
/// thread that owns the device is the best caller. The first failure is thrown as DeviceError; from
/// then on the device is not touched again, not even to free its memory, and its indexes answer on
/// the CPU.
class GpuDevice;

/// Throws DeviceError when this build or this machine has no such device.
std::shared_ptr<GpuDevice> open_gpu(const GpuOptions& options = {});

/// The sentence of the failure; empty while the device works. Any thread.
std::string failure(const GpuDevice& device);

enum class GpuKind {
  kExact,    ///< Every vector is compared, in fp32: "gpu-exact".
  kIvfFp16,  ///< Inverted lists of 16-bit floats: "gpu-ivf-fp16".
  kIvfPq,    ///< Inverted lists of product-quantized codes: "gpu-ivf-pq".
};

struct GpuIndexOptions {
  // Behaviour.
  GpuKind kind = GpuKind::kExact;  ///< Fewer than 1,024 items are exact whatever it says.
  // Performance, of inverted lists.
  std::size_t probes = 64;  ///< Lists read per query; more where many neighbours are asked for.
  std::uint64_t seed = 1;
};

/// As build_index(), on `device`. The lists are trained on the CPU with `threads` threads. Keeps
/// the vectors in the host's memory too, 4 bytes a channel, in an exact index that answers what the
/// device cannot: more than 2,048 neighbours, and filters that leave fewer than asked for among
/// that many. save() writes that index. Throws DeviceError where the device fails or the vectors
/// have 2^31 channels or more in all, std::invalid_argument where the sizes do not fit or IVF-PQ
/// has no code for the width.
std::unique_ptr<VectorIndex> build_gpu_index(std::shared_ptr<GpuDevice> device,
                                             std::span<const std::uint32_t> rows,
                                             std::span<const float> vectors, std::size_t width,
                                             const GpuIndexOptions& options = {}, int threads = 1);

}  // namespace fovea::index
