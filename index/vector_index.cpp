#include "index/vector_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexScalarQuantizer.h>

#include <stdexcept>
#include <string>

#include "index/faiss_index.h"
#include "index/index_file.h"

namespace fovea::index {

std::unique_ptr<VectorIndex> build_index(std::span<const std::uint32_t> rows,
                                         std::span<const float> vectors, std::size_t width,
                                         const IndexOptions& options, int threads) {
  if (width == 0 || vectors.size() != rows.size() * width) {
    throw std::invalid_argument(std::to_string(rows.size()) + " rows of " + std::to_string(width) +
                                " channels need another number of values than " +
                                std::to_string(vectors.size()));
  }
  const ThreadWidth wide(threads);
  std::vector<std::uint32_t> kept(rows.begin(), rows.end());
  if (rows.size() <= options.exact_items_max) {
    return make_exact(build_exact(vectors, width), std::move(kept));
  }
  return make_approximate(build_approximate(vectors, width, options), std::move(kept), options);
}

std::unique_ptr<VectorIndex> load_index(const std::filesystem::path& file,
                                        const IndexOptions& options) try {
  StoredIndex stored = read_file(file);
  if (dynamic_cast<faiss::IndexFlat*>(stored.index.get()) != nullptr) {
    return make_exact(std::move(stored.index), std::move(stored.rows));
  }
  if (dynamic_cast<faiss::IndexIVFScalarQuantizer*>(stored.index.get()) != nullptr) {
    return make_approximate(std::move(stored.index), std::move(stored.rows), options);
  }
  throw std::runtime_error("it is of a kind that this program does not write");
} catch (const std::exception& error) {
  throw std::runtime_error(file.string() + " is not an index that can be used: " + error.what());
}

std::string faiss_build() {
  return "Faiss " + std::to_string(FAISS_VERSION_MAJOR) + "." +
         std::to_string(FAISS_VERSION_MINOR) + "." + std::to_string(FAISS_VERSION_PATCH) + ", " +
         FOVEA_FAISS_BUILD;
}

}  // namespace fovea::index
