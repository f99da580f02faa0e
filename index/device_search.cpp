#include "index/device_search.h"

#include <cuda_runtime_api.h>
#include <faiss/gpu/GpuIndexFlat.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "index/device_merge.h"
#include "index/gpu_device.h"
#include "index/widening.h"

namespace fovea::index {

class DeviceSearch::Impl {
 public:
  Impl(const LiveIndex& live, const GpuIndex& main)
      : live_(live),
        main_(main),
        main_rows_(main.device()),
        removed_(main.device()),
        fresh_rows_(main.device()),
        ids_(main.device()),
        fresh_ids_(main.device()),
        scores_(main.device()),
        fresh_scores_(main.device()),
        found_(main.device()) {}

  GpuDevice& device() const { return main_.device(); }
  void search(const float* queries, std::size_t batch, std::size_t k, std::uint32_t* rows,
              float* scores);

 private:
  void mirror(std::shared_ptr<const LiveIndex::State> now);
  void fill_on_host(const float* query, std::size_t k, std::uint32_t* rows, float* scores);

  const LiveIndex& live_;
  const GpuIndex& main_;
  std::shared_ptr<const LiveIndex::State> mirrored_;  // what the device knows; null: nothing yet
  std::unique_ptr<faiss::gpu::GpuIndexFlat> fresh_;
  DeviceArray<std::uint32_t> main_rows_;
  DeviceArray<std::uint32_t> removed_;  // ascending
  DeviceArray<std::uint32_t> fresh_rows_;
  DeviceArray<std::int64_t> ids_;
  DeviceArray<std::int64_t> fresh_ids_;
  DeviceArray<float> scores_;
  DeviceArray<float> fresh_scores_;
  DeviceArray<std::uint32_t> found_;
};

void DeviceSearch::Impl::mirror(std::shared_ptr<const LiveIndex::State> now) {
  if (now == mirrored_) return;
  if (!mirrored_) main_rows_.upload(main_.rows());
  removed_.upload(live_.out_of_main(*now));
  std::vector<std::uint32_t> rows;
  std::vector<float> vectors;
  now->fresh.for_each([&](std::uint32_t row, const float* vector) {
    rows.push_back(row);
    vectors.insert(vectors.end(), vector, vector + live_.width());
  });
  fresh_rows_.upload(rows);
  if (!fresh_) {
    faiss::gpu::GpuIndexFlatConfig config;
    config.device = device().number();
    fresh_ = std::make_unique<faiss::gpu::GpuIndexFlat>(&device().resources(),
                                                        static_cast<int>(live_.width()),
                                                        faiss::METRIC_INNER_PRODUCT, config);
  }
  fresh_->reset();
  if (!rows.empty()) fresh_->add(static_cast<std::int64_t>(rows.size()), vectors.data());
  device().wait();  // the host's arrays have been read
  mirrored_ = std::move(now);
}

void DeviceSearch::Impl::search(const float* queries, std::size_t batch, std::size_t k,
                                std::uint32_t* rows, float* scores) {
  const auto now = live_.state();
  const Ask ask = ask_main(k, now->out_of_main, main_.size(), main_.complete());
  const std::size_t fresh = std::min(k, now->fresh.size());
  std::vector<std::uint32_t> found;
  device().run([&] {
    mirror(now);
    if (ask.fetch > 0) {
      main_.fetch(queries, batch, ask.fetch, ids_.reserve(batch * ask.fetch),
                  scores_.reserve(batch * ask.fetch));
    }
    for (std::size_t begin = 0; fresh > 0 && begin < batch; begin += kGpuQueriesMax) {
      fresh_->search(static_cast<std::int64_t>(std::min(batch - begin, kGpuQueriesMax)),
                     queries + begin * live_.width(), static_cast<std::int64_t>(fresh),
                     fresh_scores_.reserve(batch * fresh) + begin * fresh,
                     fresh_ids_.reserve(batch * fresh) + begin * fresh);
    }
    const Merge merge{.ids = ids_.data(),
                      .scores = scores_.data(),
                      .fetched = ask.fetch,
                      .main_rows = main_rows_.data(),
                      .removed = removed_.data(),
                      .removed_count = now->out_of_main,
                      .fresh_ids = fresh_ids_.data(),
                      .fresh_scores = fresh_scores_.data(),
                      .fresh_fetched = fresh,
                      .fresh_rows = fresh_rows_.data(),
                      .k = k,
                      .no_row = kNoRow,
                      .rows_out = rows,
                      .scores_out = scores,
                      .found_out = found_.reserve(batch)};
    check(static_cast<cudaError_t>(launch_merge(merge, batch, device().stream())),
          "merging neighbours");
    if (!ask.complete) found = found_.download(batch);
  });
  const std::size_t left = main_.size() - now->out_of_main;
  for (std::size_t b = 0; b < found.size(); ++b) {
    if (found[b] >= std::min(k, left)) continue;
    fill_on_host(queries + b * live_.width(), k, rows + b * k, scores + b * k);
  }
}

// Outside run(): the live index enters it by itself.
void DeviceSearch::Impl::fill_on_host(const float* query, std::size_t k, std::uint32_t* rows,
                                      float* scores) {
  std::vector<float> on_host(live_.width());
  const auto copy = [&](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    device().run([&] {
      check(cudaMemcpyAsync(to, from, bytes, kind, device().stream()), "copying");
      device().wait();
    });
  };
  copy(on_host.data(), query, on_host.size() * sizeof(float), cudaMemcpyDeviceToHost);
  std::vector<std::uint32_t> rows_found(k, kNoRow);
  std::vector<float> scores_found(k, -std::numeric_limits<float>::infinity());
  const auto found = live_.search(on_host, k);
  for (std::size_t i = 0; i < found.size(); ++i) {
    rows_found[i] = found[i].row;
    scores_found[i] = found[i].score;
  }
  copy(rows, rows_found.data(), k * sizeof(std::uint32_t), cudaMemcpyHostToDevice);
  copy(scores, scores_found.data(), k * sizeof(float), cudaMemcpyHostToDevice);
}

DeviceSearch::DeviceSearch(const LiveIndex& live, const VectorIndex& main) {
  const auto* on_gpu = dynamic_cast<const GpuIndex*>(&main);
  if (on_gpu == nullptr) {
    throw std::invalid_argument("an index of kind " + main.kind() + " is not on a GPU");
  }
  if (live.main() == nullptr || live.main()->size() != main.size()) {
    throw std::invalid_argument("the index on the GPU is not of the live index' rows");
  }
  impl_ = std::make_unique<Impl>(live, *on_gpu);
}

DeviceSearch::~DeviceSearch() { drop_on(impl_->device(), impl_); }

void DeviceSearch::search(const float* queries, std::size_t batch, std::size_t k,
                          std::uint32_t* rows, float* scores) {
  if (k == 0 || k > kGpuNeighboursMax) {
    throw std::invalid_argument(std::to_string(k) + " neighbours cannot be searched on the GPU; " +
                                "1 to " + std::to_string(kGpuNeighboursMax) + " can");
  }
  if (batch > 0) impl_->search(queries, batch, k, rows, scores);
}

}  // namespace fovea::index
