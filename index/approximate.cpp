// Inverted lists of codes, and the index of 8-bit ones: faiss::IndexIVFScalarQuantizer. A query
// reads the lists whose centres are nearest.
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

#include "index/faiss_index.h"

namespace fovea::index {
namespace {

// About 4 sqrt(n) lists, so that finding the nearest ones costs no more than reading them; beyond
// this many, training takes long and the default number of probes would read too small a share.
constexpr std::size_t kListsMax = 1024;
// More vectors than this per list do not move a list's centre.
constexpr int kTrainingPerList = 64;

class Approximate final : public FaissIndex {
 public:
  Approximate(std::unique_ptr<faiss::Index> index, std::vector<std::uint32_t> rows,
              std::size_t probes)
      : FaissIndex(std::move(index), std::move(rows)), probes_(probes) {}
  std::string kind() const override { return "ivf-sq8"; }

 private:
  std::unique_ptr<faiss::SearchParameters> parameters() const override {
    auto parameters = std::make_unique<faiss::SearchParametersIVF>();
    parameters->nprobe = probes_;
    return parameters;
  }
  std::size_t probes_;
};

std::unique_ptr<faiss::IndexIVF> untrained(Code code, faiss::Index* centres, std::size_t width,
                                           std::size_t lists) {
  if (code == Code::kPq) {
    const auto bytes = pq_bytes(width);
    if (!bytes) {
      throw std::invalid_argument("vectors of " + std::to_string(width) +
                                  " channels have no product-quantized code");
    }
    return std::make_unique<faiss::IndexIVFPQ>(centres, width, lists, *bytes, 8,
                                               faiss::METRIC_INNER_PRODUCT);
  }
  // 16 bits are enough for a vector itself; 8 bits are spent on what its list's centre leaves.
  const bool residual = code == Code::kSq8;
  return std::make_unique<faiss::IndexIVFScalarQuantizer>(
      centres, width, lists,
      residual ? faiss::ScalarQuantizer::QT_8bit : faiss::ScalarQuantizer::QT_fp16,
      faiss::METRIC_INNER_PRODUCT, residual);
}

}  // namespace

std::optional<std::size_t> pq_bytes(std::size_t width) {
  constexpr std::array<std::size_t, 15> kLengths = {96, 64, 56, 48, 40, 32, 28, 24,
                                                    20, 16, 12, 8,  4,  3,  2};
  for (const std::size_t bytes : kLengths) {
    if (width % bytes == 0 && width >= 2 * bytes && width <= 8 * bytes) return bytes;
  }
  return std::nullopt;
}

std::unique_ptr<faiss::Index> build_lists(Code code, std::span<const float> vectors,
                                          std::size_t width, const IndexOptions& options) {
  const std::size_t n = vectors.size() / width;
  const auto lists = static_cast<std::size_t>(4 * std::sqrt(static_cast<double>(n)));
  auto centres = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(width));
  auto index = untrained(code, centres.get(), width,
                         std::clamp<std::size_t>(lists, 1, std::min(n, kListsMax)));
  index->quantizer = centres.release();
  index->own_fields = true;
  index->cp.seed = static_cast<int>(options.seed & 0x7FFFFFFF);
  // Centres of unit length: a long one would draw vectors of every direction into its list.
  index->cp.spherical = true;
  index->cp.min_points_per_centroid = 1;  // no warning on stderr for few vectors
  index->cp.max_points_per_centroid = kTrainingPerList;
  if (auto* pq = dynamic_cast<faiss::IndexIVFPQ*>(index.get())) {
    pq->pq.cp.seed = index->cp.seed;
    pq->pq.cp.min_points_per_centroid = 1;
  }
  index->train(static_cast<std::int64_t>(n), vectors.data());
  index->add(static_cast<std::int64_t>(n), vectors.data());
  return index;
}

std::unique_ptr<VectorIndex> make_approximate(std::unique_ptr<faiss::Index> index,
                                              std::vector<std::uint32_t> rows,
                                              const IndexOptions& options) {
  return std::make_unique<Approximate>(std::move(index), std::move(rows), options.probes);
}

}  // namespace fovea::index
