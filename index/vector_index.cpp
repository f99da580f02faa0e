#include "index/vector_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>

#include <cassert>
#include <stdexcept>
#include <string>

#include "index/faiss_index.h"

namespace fovea::index {

std::unique_ptr<VectorIndex> build_index(std::span<const std::uint32_t> rows,
                                         std::span<const float> vectors, std::size_t width,
                                         const IndexOptions& options, int threads) {
  assert(width > 0 && vectors.size() == rows.size() * width);
  const ThreadWidth wide(threads);
  std::vector<std::uint32_t> kept(rows.begin(), rows.end());
  if (rows.size() <= options.exact_items_max) {
    return make_exact(build_exact(vectors, width), std::move(kept));
  }
  return make_approximate(build_approximate(vectors, width, options), std::move(kept), options);
}

std::unique_ptr<VectorIndex> load_index(const std::filesystem::path& file,
                                        const IndexOptions& options) try {
  // Faiss trusts the sizes that its files claim, so whoever publishes an index keeps a checksum of
  // it and compares before calling this; what is cheap to bound is bounded here.
  const std::uint64_t bytes = std::filesystem::file_size(file);
  faiss::FileIOReader reader(file.c_str());
  std::uint64_t n = 0;
  if (reader(&n, sizeof n, 1) != 1 || n > bytes / sizeof(std::uint32_t)) {
    throw std::runtime_error("it names more rows than it can hold");
  }
  std::vector<std::uint32_t> rows(n);
  if (n > 0 && reader(rows.data(), sizeof(std::uint32_t), n) != n) {
    throw std::runtime_error("it ends within its rows");
  }
  std::unique_ptr<faiss::Index> index(faiss::read_index(&reader));
  if (static_cast<std::uint64_t>(index->ntotal) != n || index->d <= 0 ||
      index->metric_type != faiss::METRIC_INNER_PRODUCT) {
    throw std::runtime_error("its vectors do not belong to its rows");
  }
  if (dynamic_cast<faiss::IndexFlat*>(index.get()) != nullptr) {
    return make_exact(std::move(index), std::move(rows));
  }
  if (dynamic_cast<faiss::IndexIVFScalarQuantizer*>(index.get()) != nullptr) {
    return make_approximate(std::move(index), std::move(rows), options);
  }
  throw std::runtime_error("it is of a kind that this program does not write");
} catch (const std::exception& error) {
  throw std::runtime_error(file.string() + " is not an index: " + error.what());
}

std::string faiss_build() {
  return "Faiss " + std::to_string(FAISS_VERSION_MAJOR) + "." +
         std::to_string(FAISS_VERSION_MINOR) + "." + std::to_string(FAISS_VERSION_PATCH) + ", " +
         FOVEA_FAISS_BUILD;
}

}  // namespace fovea::index
