// In the place of gpu_device.cpp and gpu_index.cpp in a program that was built without Faiss' GPU
// indexes.
#include "index/device_search.h"
#include "index/gpu_index.h"

namespace fovea::index {
namespace {

[[noreturn]] void none() {
  throw DeviceError(
      "this program was built without GPU indexes; `make faiss` builds them where "
      "CUDA's compiler is installed");
}

}  // namespace

class GpuDevice {};
class DeviceSearch::Impl {};

std::shared_ptr<GpuDevice> open_gpu(const GpuOptions&) { none(); }
std::string failure(const GpuDevice&) { none(); }
// NOLINTNEXTLINE(performance-unnecessary-value-param): the one with a GPU keeps it.
std::unique_ptr<VectorIndex> build_gpu_index(std::shared_ptr<GpuDevice>,
                                             std::span<const std::uint32_t>, std::span<const float>,
                                             std::size_t, const GpuIndexOptions&, int) {
  none();
}

DeviceSearch::DeviceSearch(const LiveIndex&, const VectorIndex&) { none(); }
DeviceSearch::~DeviceSearch() = default;
void DeviceSearch::search(const float*, std::size_t, std::size_t, std::uint32_t*, float*) {
  none();
}

}  // namespace fovea::index
