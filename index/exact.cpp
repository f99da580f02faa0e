// Every vector is compared: faiss::IndexFlat with inner products.
#include <faiss/IndexFlat.h>

#include "index/faiss_index.h"

namespace fovea::index {
namespace {

class Exact final : public FaissIndex {
 public:
  using FaissIndex::FaissIndex;
  std::string kind() const override { return "exact"; }

 private:
  std::unique_ptr<faiss::SearchParameters> parameters() const override {
    return std::make_unique<faiss::SearchParameters>();
  }
};

}  // namespace

std::unique_ptr<faiss::Index> build_exact(std::span<const float> vectors, std::size_t width) {
  auto index = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(width));
  index->add(static_cast<std::int64_t>(vectors.size() / width), vectors.data());
  return index;
}

std::unique_ptr<VectorIndex> make_exact(std::unique_ptr<faiss::Index> index,
                                        std::vector<std::uint32_t> rows) {
  return std::make_unique<Exact>(std::move(index), std::move(rows));
}

}  // namespace fovea::index
