#include "index/faiss_index.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "index/index_file.h"

// Of the OpenMP runtime that Faiss brings, declared here because omp.h comes only with compilers of
// OpenMP: our own sources need none.
extern "C" {
int omp_get_max_threads();
void omp_set_num_threads(int threads);
}

namespace fovea::index {
namespace {

using Id = decltype(faiss::Index::ntotal);  // idx_t, wherever this version of Faiss declares it

class Allowed : public faiss::IDSelector {
 public:
  Allowed(const std::vector<std::uint32_t>& rows, const RowFilter& allow)
      : rows_(rows), allow_(allow) {}
  bool is_member(Id id) const override { return allow_(rows_[static_cast<std::size_t>(id)]); }

 private:
  const std::vector<std::uint32_t>& rows_;
  const RowFilter& allow_;
};

}  // namespace

ThreadWidth::ThreadWidth(int threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(threads);
}
ThreadWidth::~ThreadWidth() { omp_set_num_threads(before_); }

std::vector<Neighbour> FaissIndex::search(std::span<const float> query, std::size_t k,
                                          const RowFilter& allow) const {
  if (query.size() != width()) {
    throw std::invalid_argument("a query has " + std::to_string(query.size()) + " channels; " +
                                std::to_string(width()) + " are right here");
  }
  k = std::min(k, size());
  if (k == 0) return {};
  const ThreadWidth one(1);
  std::vector<float> scores(k);
  std::vector<Id> ids(k);
  const auto settings = parameters();
  Allowed allowed(rows_, allow);
  if (allow) settings->sel = &allowed;
  index_->search(1, query.data(), static_cast<Id>(k), scores.data(), ids.data(), settings.get());
  std::vector<Neighbour> found;
  found.reserve(k);
  for (std::size_t i = 0; i < k && ids[i] >= 0; ++i) {
    found.push_back({rows_[static_cast<std::size_t>(ids[i])], scores[i]});
  }
  return found;
}

void FaissIndex::save(const std::filesystem::path& file) const { write_file(file, *index_, rows_); }

}  // namespace fovea::index
