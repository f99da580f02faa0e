// Every vector is compared: faiss::IndexFlat with inner products.
#include <faiss/IndexFlat.h>
#include <faiss/impl/IDSelector.h>

#include "index/faiss_index.h"

namespace fovea::index {
namespace {

class Allowed final : public faiss::IDSelector {
 public:
  Allowed(std::span<const std::uint32_t> rows, const RowSet& allow) : rows_(rows), allow_(allow) {}
  bool is_member(FaissId id) const override {
    return allow_.contains(rows_[static_cast<std::size_t>(id)]);
  }

 private:
  std::span<const std::uint32_t> rows_;
  const RowSet& allow_;
};

class Exact final : public FaissIndex {
 public:
  Exact(std::unique_ptr<faiss::Index> index, std::vector<std::uint32_t> rows)
      : FaissIndex(std::move(rows)), index_(std::move(index)) {}
  std::size_t compared() const override { return size(); }
  std::string kind() const override { return "exact"; }

 private:
  const faiss::Index& faiss() const override { return *index_; }
  void find(std::span<const float> query, const RowSet* allow, std::span<FaissId> ids,
            std::span<float> scores) const override {
    faiss::SearchParameters parameters;
    static const RowSet kNone;
    Allowed allowed(rows(), allow == nullptr ? kNone : *allow);
    if (allow != nullptr) parameters.sel = &allowed;
    index_->search(1, query.data(), static_cast<FaissId>(ids.size()), scores.data(), ids.data(),
                   &parameters);
  }

  std::unique_ptr<faiss::Index> index_;
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
  return std::make_unique<Exact>(std::move(index), std::move(rows));
}

}  // namespace fovea::index
