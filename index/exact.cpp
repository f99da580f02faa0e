// Every vector is compared, as faiss::IndexFlatIP holds them. Its own search keeps the k best in
// heaps, which for k of a few hundred takes several times as long as comparing.
#include <faiss/IndexFlat.h>

#include "index/exact_scan.h"
#include "index/faiss_index.h"

namespace fovea::index {
namespace {

class Exact final : public FaissIndex {
 public:
  Exact(std::unique_ptr<faiss::IndexFlat> index, std::vector<std::uint32_t> rows)
      : FaissIndex(std::move(rows)), index_(std::move(index)) {}
  std::size_t compared() const override { return size(); }
  std::string kind() const override { return "exact"; }

 private:
  const faiss::Index& faiss() const override { return *index_; }
  void find(std::span<const float> query, const RowSet* allow, Nearest& nearest) const override {
    const float* vectors = index_->get_xb();
    for (std::uint32_t i = 0; i < size(); ++i) {
      if (allow != nullptr && !allow->contains(rows()[i])) continue;
      nearest.add(i, inner_product(query, vectors + i * query.size()));
    }
  }

  std::unique_ptr<faiss::IndexFlat> index_;
};

}  // namespace

std::unique_ptr<faiss::Index> build_exact(const BuildSource& source) {
  auto index = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(source.width));
  // Growing by doubling would take as much again beside it.
  index->codes.reserve(source.count * index->code_size);
  if (!add_all(*index, source)) return nullptr;
  return index;
}

std::unique_ptr<VectorIndex> make_exact(std::unique_ptr<faiss::Index> index,
                                        std::vector<std::uint32_t> rows) {
  std::unique_ptr<faiss::IndexFlat> flat(&dynamic_cast<faiss::IndexFlat&>(*index));
  static_cast<void>(index.release());
  return std::make_unique<Exact>(std::move(flat), std::move(rows));
}

}  // namespace fovea::index
