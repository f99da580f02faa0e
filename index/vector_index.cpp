#include "index/vector_index.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexScalarQuantizer.h>

#include <stdexcept>
#include <string>

#include "index/faiss_index.h"
#include "index/index_file.h"

namespace fovea::index {

std::size_t batch_size(std::span<const float> queries, std::size_t width, std::size_t filters) {
  if (width == 0 || queries.size() % width != 0) {
    throw std::invalid_argument("queries have " + std::to_string(queries.size()) +
                                " channels in all; a multiple of " + std::to_string(width) +
                                " is right here");
  }
  const std::size_t batch = queries.size() / width;
  if (filters != 0 && filters != batch) {
    throw std::invalid_argument(std::to_string(filters) + " filters cannot belong to " +
                                std::to_string(batch) + " queries");
  }
  return batch;
}

std::vector<std::vector<Neighbour>> VectorIndex::search_batch(
    std::span<const float> queries, std::size_t k, std::span<const RowSet* const> allow) const {
  const std::size_t batch = batch_size(queries, width(), allow.size());
  std::vector<std::vector<Neighbour>> found(batch);
  for (std::size_t b = 0; b < batch; ++b) {
    found[b] = search(queries.subspan(b * width(), width()), k, allow.empty() ? nullptr : allow[b]);
  }
  return found;
}

namespace {

std::unique_ptr<VectorIndex> build(std::span<const std::uint32_t> rows, const BuildSource& source,
                                   const IndexOptions& options, int threads) {
  const ThreadWidth wide(threads);
  const bool exact = rows.size() <= options.exact_items_max;
  auto index = exact ? build_exact(source) : build_lists(Code::kSq8, source, options);
  if (!index) return nullptr;
  std::vector<std::uint32_t> kept(rows.begin(), rows.end());
  return exact ? make_exact(std::move(index), std::move(kept))
               : make_approximate(std::move(index), std::move(kept), options);
}

}  // namespace

std::unique_ptr<VectorIndex> build_index(std::span<const std::uint32_t> rows,
                                         std::span<const float> vectors, std::size_t width,
                                         const IndexOptions& options, int threads) {
  if (width == 0 || vectors.size() != rows.size() * width) {
    throw std::invalid_argument(std::to_string(rows.size()) + " rows of " + std::to_string(width) +
                                " channels need another number of values than " +
                                std::to_string(vectors.size()));
  }
  return build(rows, source_of(vectors, width), options, threads);
}

std::unique_ptr<VectorIndex> build_index(std::span<const std::uint32_t> rows,
                                         const VectorsOf& vectors, std::size_t width,
                                         const IndexOptions& options, int threads,
                                         const std::function<bool()>& go_on) {
  std::vector<std::uint32_t> some;
  const auto copy = [&](std::span<const std::uint32_t> numbers, std::span<float> out) {
    some.clear();
    for (const std::uint32_t number : numbers) some.push_back(rows[number]);
    vectors(some, out);
  };
  return build(rows, {rows.size(), width, copy, go_on}, options, threads);
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
