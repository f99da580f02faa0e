// GPU indexes for programs with device_on_host.cpp's Device: an index on the CPU under a kind of
// the GPU's name, and searches that read and write that device's memory.
#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "index/device_search.h"
#include "index/gpu_index.h"
#include "tests/device_memory.h"

namespace fovea::index {
namespace {

using ranking::device_memory::back;

class Exact final : public VectorIndex {
 public:
  explicit Exact(std::unique_ptr<VectorIndex> index) : index_(std::move(index)) {}
  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowSet* allow) const override {
    return index_->search(query, k, allow);
  }
  std::size_t size() const override { return index_->size(); }
  std::span<const std::uint32_t> rows() const override { return index_->rows(); }
  std::size_t width() const override { return index_->width(); }
  std::size_t compared() const override { return index_->compared(); }
  std::string kind() const override { return "gpu-exact"; }
  void save(const std::filesystem::path& file) const override { index_->save(file); }

 private:
  std::unique_ptr<VectorIndex> index_;
};

}  // namespace

class GpuDevice {};
class DeviceSearch::Impl {
 public:
  const LiveIndex& live;
};

std::shared_ptr<GpuDevice> open_gpu(const GpuOptions&) { return std::make_shared<GpuDevice>(); }
std::string failure(const GpuDevice&) { return ""; }

// NOLINTNEXTLINE(performance-unnecessary-value-param): the one with a GPU keeps it.
std::unique_ptr<VectorIndex> build_gpu_index(std::shared_ptr<GpuDevice>,
                                             std::span<const std::uint32_t> rows,
                                             std::span<const float> vectors, std::size_t width,
                                             const GpuIndexOptions&, int threads) {
  return std::make_unique<Exact>(
      build_index(rows, vectors, width, {.exact_items_max = rows.size()}, threads));
}

DeviceSearch::DeviceSearch(const LiveIndex& live, const VectorIndex& main) : impl_(new Impl{live}) {
  if (main.kind() != "gpu-exact") throw std::invalid_argument(main.kind() + " is not on a GPU");
}
DeviceSearch::~DeviceSearch() = default;

void DeviceSearch::search(const float* queries, std::size_t batch, std::size_t k,
                          std::uint32_t* rows, float* scores) {
  std::this_thread::sleep_for(ranking::device_memory::searching.load());
  while (ranking::device_memory::held) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ++ranking::device_memory::searches;
  const std::size_t width = impl_->live.width();
  const auto found = impl_->live.search_batch({back(queries), batch * width}, k);
  std::fill_n(back(rows), batch * k, kNoRow);
  std::fill_n(back(scores), batch * k, -std::numeric_limits<float>::infinity());
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t i = 0; i < found[b].size(); ++i) {
      back(rows)[b * k + i] = found[b][i].row;
      back(scores)[b * k + i] = found[b][i].score;
    }
  }
}

}  // namespace fovea::index
