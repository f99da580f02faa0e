// Faiss' GPU indexes, trained on the CPU and copied to the device.
#include "index/gpu_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/GpuIndexIVFPQ.h>
#include <faiss/gpu/GpuIndexIVFScalarQuantizer.h>

#include <algorithm>
#include <type_traits>

#include "index/faiss_index.h"
#include "index/gpu_device.h"
#include "index/widening.h"

namespace fovea::index {
namespace {

using Id = decltype(faiss::Index::ntotal);
static_assert(std::is_same_v<Id, std::int64_t>);

// Fewer vectors than this are no work for the device, and too few to train codes on.
constexpr std::size_t kListsWorthIt = 1'000;
// Faiss counts values in 32 bits.
constexpr std::size_t kValuesMax = (std::size_t{1} << 31) - 1;
// Of one search of lists, 128 MiB.
constexpr std::size_t kListValuesMax = std::size_t{1} << 24;
// A table of 256 floats per byte of a code must fit into 48 KiB of shared memory.
constexpr std::size_t kFloatTablesMax = 48;

class OnDevice final : public GpuIndex {
 public:
  OnDevice(std::shared_ptr<GpuDevice> device, std::unique_ptr<faiss::gpu::GpuIndex> index,
           std::unique_ptr<VectorIndex> exact, GpuKind kind, std::size_t probes)
      : device_(std::move(device)),
        index_(std::move(index)),
        exact_(std::move(exact)),
        kind_(kind),
        probes_(probes) {}
  ~OnDevice() override { drop_on(*device_, index_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowSet* allow) const override {
    if (query.size() != width()) return exact_->search(query, k, allow);  // says what is wrong
    return search_batch(query, k, {&allow, std::size_t{1}}).front();
  }

  std::vector<std::vector<Neighbour>> search_batch(
      std::span<const float> queries, std::size_t k,
      std::span<const RowSet* const> allow) const override {
    if (!device_->works()) return exact_->search_batch(queries, k, allow);
    const Unfiltered unfiltered{
        .fetch =
            [this](std::span<const float> some, std::size_t most, std::span<std::int64_t> ids,
                   std::span<float> scores) {
              device_->run([&] {
                fetch(some.data(), some.size() / width(), most, ids.data(), scores.data());
                device_->wait();
              });
            },
        .width = width(),
        .rows = rows(),
        .complete = complete(),
        .neighbours_max = kGpuNeighboursMax,
        .queries_max = kGpuQueriesMax,
    };
    return search_widening(unfiltered, *exact_, queries, k, allow);
  }

  std::size_t size() const override { return exact_->size(); }
  std::span<const std::uint32_t> rows() const override { return exact_->rows(); }
  std::size_t width() const override { return exact_->width(); }
  // Of fewer, the 2,048 neighbours that a fetch returns leave no hundred after a filter, and the
  // host would look at all vectors.
  std::size_t compared() const override { return size() / 16; }
  std::string kind() const override {
    switch (kind_) {
      case GpuKind::kExact:
        return "gpu-exact";
      case GpuKind::kIvfFp16:
        return "gpu-ivf-fp16";
      case GpuKind::kIvfPq:
        break;
    }
    return "gpu-ivf-pq";
  }
  void save(const std::filesystem::path& file) const override { exact_->save(file); }

  GpuDevice& device() const override { return *device_; }
  bool complete() const override { return kind_ == GpuKind::kExact; }
  void fetch(const float* queries, std::size_t batch, std::size_t k, std::int64_t* ids,
             float* scores) const override {
    faiss::SearchParametersIVF lists;
    if (const auto* inverted = dynamic_cast<const faiss::gpu::GpuIndexIVF*>(index_.get())) {
      lists.nprobe =
          lists_to_read(probes_, k, static_cast<std::size_t>(inverted->getNumLists()), size());
    }
    // Faiss holds what lists of 16-bit floats give in one array, of all queries, lists and
    // neighbours, and counts it in 32 bits.
    std::size_t together = kGpuQueriesMax;
    if (!complete()) {
      together = std::clamp(kListValuesMax / (lists.nprobe * std::max(k, width())), std::size_t{1},
                            kGpuQueriesMax);
    }
    for (std::size_t begin = 0; begin < batch; begin += together) {
      index_->search(static_cast<Id>(std::min(batch - begin, together)), queries + begin * width(),
                     static_cast<Id>(k), scores + begin * k, ids + begin * k,
                     complete() ? nullptr : &lists);
    }
  }

 private:
  std::shared_ptr<GpuDevice> device_;
  std::unique_ptr<faiss::gpu::GpuIndex> index_;
  std::unique_ptr<VectorIndex> exact_;
  GpuKind kind_;
  std::size_t probes_;
};

template <typename Config>
Config on(const GpuDevice& device) {
  Config config;
  config.device = device.number();
  return config;
}

// Within run(). `trained` is of the kind's CPU class.
std::unique_ptr<faiss::gpu::GpuIndex> copy_to(GpuDevice& device, const faiss::Index& trained) {
  namespace gpu = faiss::gpu;
  if (const auto* flat = dynamic_cast<const faiss::IndexFlat*>(&trained)) {
    return std::make_unique<gpu::GpuIndexFlat>(&device.resources(), flat,
                                               on<gpu::GpuIndexFlatConfig>(device));
  }
  if (const auto* pq = dynamic_cast<const faiss::IndexIVFPQ*>(&trained)) {
    auto config = on<gpu::GpuIndexIVFPQConfig>(device);
    config.useFloat16LookupTables = pq->pq.M > kFloatTablesMax;
    return std::make_unique<gpu::GpuIndexIVFPQ>(&device.resources(), pq, config);
  }
  return std::make_unique<gpu::GpuIndexIVFScalarQuantizer>(
      &device.resources(), &dynamic_cast<const faiss::IndexIVFScalarQuantizer&>(trained),
      on<gpu::GpuIndexIVFScalarQuantizerConfig>(device));
}

}  // namespace

std::unique_ptr<VectorIndex> build_gpu_index(std::shared_ptr<GpuDevice> device,
                                             std::span<const std::uint32_t> rows,
                                             std::span<const float> vectors, std::size_t width,
                                             const GpuIndexOptions& options, int threads) {
  auto exact = build_index(rows, vectors, width, {.exact_items_max = rows.size()}, threads);
  if (vectors.size() > kValuesMax) {
    throw DeviceError(std::to_string(rows.size()) + " vectors of " + std::to_string(width) +
                      " channels are too many for one GPU index, which holds up to 2^31 values");
  }
  const GpuKind kind = rows.size() < kListsWorthIt ? GpuKind::kExact : options.kind;
  std::unique_ptr<faiss::Index> trained;
  {
    const ThreadWidth wide(threads);
    const BuildSource source = source_of(vectors, width);
    trained = kind == GpuKind::kExact
                  ? build_exact(source)
                  : build_lists(kind == GpuKind::kIvfPq ? Code::kPq : Code::kFp16, source,
                                {.seed = options.seed});
  }
  std::unique_ptr<faiss::gpu::GpuIndex> index;
  device->run([&] {
    index = copy_to(*device, *trained);
    device->wait();
  });
  return std::make_unique<OnDevice>(std::move(device), std::move(index), std::move(exact), kind,
                                    options.probes);
}

}  // namespace fovea::index
