// The one thread that owns the GPU: whatever waits while it is busy is its next batch. Owns the
// queue, the memory budget and what happens when the device fails: it is not used again, the reason
// is logged once, and every request is ranked on the CPU.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine_figures.h"
#include "engine/gpu_model.h"
#include "engine/gpu_options.h"
#include "engine/live_model.h"

namespace fovea::engine {

/// Thread-safe.
class Gpu {
 public:
  /// Throws Unavailable with the reason where no GPU can be used.
  explicit Gpu(const GpuOptions& options);
  /// Waits for the batch under way, but for one that timed out.
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const std::string& name() const;  ///< "NVIDIA H200"
  std::size_t bytes_max() const;    ///< The budget.
  std::size_t bytes() const;        ///< Of it, what versions take now, by estimate.

  GpuBatches batches() const;  ///< Ranked so far.

  /// Puts what LiveModel::gpu_source() gave on the device, on the calling thread, beside the
  /// ranking of others. Throws Unavailable with a sentence where the budget, the device or its
  /// results forbid that.
  std::shared_ptr<GpuModel> load(const GpuSource& source, int threads);

  /// Waits for the answer of a version's GpuModel. Absent: the CPU is to rank.
  std::optional<GpuAnswer> rank(std::shared_ptr<const LiveModel> version, GpuQuestion question,
                                std::shared_ptr<const ranking::Transitions> since);

  /// Why the device is not used any more; empty while it is.
  std::string failure() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fovea::engine
