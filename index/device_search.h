// A live index searched with everything staying in the GPU's memory: queries come from the device,
// neighbours stay there for whoever ranks them. Fresh items, removed items and the main index
// together, as LiveIndex::search has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "index/live_index.h"

namespace fovea::index {

/// Stands in a list after its last neighbour.
inline constexpr std::uint32_t kNoRow = 0xFFFFFFFF;

/// One thread at a time. Fresh and removed items go to the device with the first search after they
/// changed, on the thread that searches.
class DeviceSearch {
 public:
  /// Both must outlive this. `main` was built by build_gpu_index() of the rows that the main index
  /// of `live` has: std::invalid_argument otherwise. They may be one and the same.
  DeviceSearch(const LiveIndex& live, const VectorIndex& main);
  ~DeviceSearch();
  DeviceSearch(const DeviceSearch&) = delete;
  DeviceSearch& operator=(const DeviceSearch&) = delete;

  /// `queries` [batch, width], `rows` and `scores` [batch, k], all in the device's memory, k from 1
  /// to 2,048. Lists are best first; kNoRow and minus infinity stand where there are no more.
  /// Returns when the work is queued on the device's stream, or later: where more of main is
  /// removed than can be asked for beside k, and with inverted lists, short lists are looked for
  /// and filled on the host. Throws DeviceError where the device fails or has failed,
  /// std::invalid_argument for another k.
  void search(const float* queries, std::size_t batch, std::size_t k, std::uint32_t* rows,
              float* scores);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea::index
