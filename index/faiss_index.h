// What the exact and the approximate index share: a Faiss index whose vectors stand for rows, and
// its file. Private to index/: Faiss stays out of the headers that others include.
#pragma once

#include <faiss/Index.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "index/exact_scan.h"
#include "index/vector_index.h"

namespace fovea::index {

/// idx_t, wherever this version of Faiss declares it.
using FaissId = decltype(faiss::Index::ntotal);

/// Vector number i of the Faiss index belongs to rows[i].
class FaissIndex : public VectorIndex {
 public:
  explicit FaissIndex(std::vector<std::uint32_t> rows) : rows_(std::move(rows)) {}

  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowSet* allow) const final;
  std::size_t size() const final { return rows_.size(); }
  std::span<const std::uint32_t> rows() const final { return rows_; }
  std::size_t width() const final { return static_cast<std::size_t>(faiss().d); }
  void save(const std::filesystem::path& file) const final;

 private:
  virtual const faiss::Index& faiss() const = 0;
  /// Shows `nearest` those of the allowed vectors that it compares, by number in place of a row.
  virtual void find(std::span<const float> query, const RowSet* allow, Nearest& nearest) const = 0;

  std::vector<std::uint32_t> rows_;
};

/// Each takes over a Faiss index of its kind.
std::unique_ptr<VectorIndex> make_exact(std::unique_ptr<faiss::Index> index,
                                        std::vector<std::uint32_t> rows);
std::unique_ptr<VectorIndex> make_approximate(std::unique_ptr<faiss::Index> index,
                                              std::vector<std::uint32_t> rows,
                                              const IndexOptions& options);

/// Vectors to be indexed, wherever they lie.
struct BuildSource {
  std::size_t count = 0;
  std::size_t width = 0;
  /// Copies those of some numbers below `count` into [numbers.size(), width].
  std::function<void(std::span<const std::uint32_t> numbers, std::span<float> vectors)> copy;
  std::function<bool()> go_on;  ///< Asked between blocks; empty: always.
};
/// Of [n, width], which must outlive it.
BuildSource source_of(std::span<const float> vectors, std::size_t width);

/// All vectors in a faiss::IndexFlatIP; null where `go_on` said false.
std::unique_ptr<faiss::Index> build_exact(const BuildSource& source);
/// How the vectors of inverted lists are stored: 8 bits or 16 bits a channel, or product-quantized.
enum class Code { kSq8, kFp16, kPq };
/// A trained faiss::IndexIVF over all vectors, whose lists' centres are an IndexFlatIP; null where
/// `go_on` said false.
std::unique_ptr<faiss::Index> build_lists(Code code, const BuildSource& source,
                                          const IndexOptions& options);
/// Adds all vectors, block after block. False where `go_on` said so.
bool add_all(faiss::Index& index, const BuildSource& source);
/// Bytes that a product-quantized vector takes: the longest code that Faiss' GPU kernels read and
/// that leaves a byte at least two and at most eight channels. Nothing where no code does.
std::optional<std::size_t> pq_bytes(std::size_t width);

/// The calling thread's OpenMP width for as long as this lives.
class ThreadWidth {
 public:
  explicit ThreadWidth(int threads);
  ~ThreadWidth();
  ThreadWidth(const ThreadWidth&) = delete;
  ThreadWidth& operator=(const ThreadWidth&) = delete;

 private:
  int before_;
};

}  // namespace fovea::index
