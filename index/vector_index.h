// The contract of a nearest-neighbour index over item vectors, and the factory that picks one by
// size. Owns nothing of what a row means. Inner product, best first. Faiss stays inside the
// sources.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/row_set.h"

namespace fovea::index {

struct Neighbour {
  std::uint32_t row = 0;
  float score = 0;  ///< Inner product with the query.
};

/// Immutable once built; search is thread-safe. On the CPU it uses the calling thread only; on a
/// GPU searches wait for each other.
class VectorIndex {
 public:
  virtual ~VectorIndex() = default;
  /// At most k rows that are in `allow`, best first; null allows every row. `query` has width()
  /// finite floats, std::invalid_argument otherwise. An approximate kind reads wider the fewer rows
  /// of what is near are allowed, so that a filter costs time and not recall.
  virtual std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                        const RowSet* allow) const = 0;
  /// The same for B queries at once, [B, width()]; `allow` is empty or has a pointer for each
  /// query. Returns B lists. One after the other unless the kind does better.
  virtual std::vector<std::vector<Neighbour>> search_batch(
      std::span<const float> queries, std::size_t k, std::span<const RowSet* const> allow) const;
  virtual std::size_t size() const = 0;
  virtual std::span<const std::uint32_t> rows() const = 0;  ///< Those stored, in no order.
  virtual std::size_t width() const = 0;
  /// Vectors that a search without a filter compares, about: what a few rows are worth comparing
  /// one by one instead.
  virtual std::size_t compared() const = 0;
  virtual std::string kind() const = 0;  ///< "exact", "ivf-sq8" or a kind of index/gpu_index.h.
  /// Throws std::runtime_error naming the file.
  virtual void save(const std::filesystem::path& file) const = 0;
};

struct IndexOptions {
  // Behaviour.
  std::size_t exact_items_max = 50'000;  ///< Up to this many items the index is exact.
  // Performance, of the approximate index.
  std::size_t probes = 64;  ///< Inverted lists read per query.
  std::uint64_t seed = 1;
};

/// `rows` are distinct; `vectors` is [rows.size(), width], row-major, finite. Uses `threads`
/// threads while it builds. Throws std::invalid_argument where the sizes do not fit.
std::unique_ptr<VectorIndex> build_index(std::span<const std::uint32_t> rows,
                                         std::span<const float> vectors, std::size_t width,
                                         const IndexOptions& options = {}, int threads = 1);

/// Copies vectors of some rows into [rows.size(), width].
using VectorsOf =
    std::function<void(std::span<const std::uint32_t> rows, std::span<float> vectors)>;

/// The same index from vectors that lie elsewhere. They are asked for a block at a time, and once
/// for a sample of at most 65,536 to train lists on, so that never all of them are copied: memory
/// is that of the index and of this sample. `go_on` is asked between the blocks; null where it said
/// false.
std::unique_ptr<VectorIndex> build_index(std::span<const std::uint32_t> rows,
                                         const VectorsOf& vectors, std::size_t width,
                                         const IndexOptions& options, int threads,
                                         const std::function<bool()>& go_on);

/// Reads what save() wrote. Throws std::runtime_error naming the file and what is wrong with it.
/// Notices damage, not forgery: a file from elsewhere is to be compared with a known hash first.
std::unique_ptr<VectorIndex> load_index(const std::filesystem::path& file,
                                        const IndexOptions& options = {});

/// How many queries of `width` channels these are. Throws std::invalid_argument where they are not
/// whole, or where `filters` is neither 0 nor their number.
std::size_t batch_size(std::span<const float> queries, std::size_t width, std::size_t filters);

/// Which Faiss this program runs on, for people: "Faiss 1.7.3, Debian package (SSE2, CPU)".
std::string faiss_build();

}  // namespace fovea::index
