// Inverted lists of 8-bit codes: faiss::IndexIVFScalarQuantizer. A query reads the lists whose
// centres are nearest.
#include <faiss/IndexFlat.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>
#include <cmath>

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

}  // namespace

std::unique_ptr<faiss::Index> build_approximate(std::span<const float> vectors, std::size_t width,
                                                const IndexOptions& options) {
  const std::size_t n = vectors.size() / width;
  const auto lists = static_cast<std::size_t>(4 * std::sqrt(static_cast<double>(n)));
  auto centres = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(width));
  auto index = std::make_unique<faiss::IndexIVFScalarQuantizer>(
      centres.get(), width, std::clamp<std::size_t>(lists, 1, std::min(n, kListsMax)),
      faiss::ScalarQuantizer::QT_8bit, faiss::METRIC_INNER_PRODUCT);
  index->quantizer = centres.release();
  index->own_fields = true;
  index->cp.seed = static_cast<int>(options.seed & 0x7FFFFFFF);
  // Centres of unit length: a long one would draw vectors of every direction into its list.
  index->cp.spherical = true;
  index->cp.min_points_per_centroid = 1;  // no warning on stderr for few vectors
  index->cp.max_points_per_centroid = kTrainingPerList;
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
