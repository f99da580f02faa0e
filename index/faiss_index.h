// What the exact and the approximate index share: a Faiss index whose vectors stand for rows, and
// its file. Private to index/: Faiss stays out of the headers that others include.
#pragma once

#include <faiss/Index.h>
#include <faiss/impl/IDSelector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "index/vector_index.h"

namespace fovea::index {

/// Vector number i of the Faiss index belongs to rows[i]. `parameters` hands over a search's
/// settings.
class FaissIndex : public VectorIndex {
 public:
  FaissIndex(std::unique_ptr<faiss::Index> index, std::vector<std::uint32_t> rows)
      : index_(std::move(index)), rows_(std::move(rows)) {}

  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowFilter& allow) const final;
  std::size_t size() const final { return rows_.size(); }
  std::span<const std::uint32_t> rows() const final { return rows_; }
  std::size_t width() const final { return static_cast<std::size_t>(index_->d); }
  void save(const std::filesystem::path& file) const final;

 private:
  /// How this kind searches, to be completed with what one search allows.
  virtual std::unique_ptr<faiss::SearchParameters> parameters() const = 0;

  std::unique_ptr<faiss::Index> index_;
  std::vector<std::uint32_t> rows_;
};

/// Each takes over a Faiss index of its kind.
std::unique_ptr<VectorIndex> make_exact(std::unique_ptr<faiss::Index> index,
                                        std::vector<std::uint32_t> rows);
std::unique_ptr<VectorIndex> make_approximate(std::unique_ptr<faiss::Index> index,
                                              std::vector<std::uint32_t> rows,
                                              const IndexOptions& options);

std::unique_ptr<faiss::Index> build_exact(std::span<const float> vectors, std::size_t width);

/// How the vectors of inverted lists are stored: 8 bits or 16 bits a channel, or product-quantized.
enum class Code { kSq8, kFp16, kPq };
/// A trained faiss::IndexIVF over all vectors, whose lists' centres are an IndexFlatIP.
std::unique_ptr<faiss::Index> build_lists(Code code, std::span<const float> vectors,
                                          std::size_t width, const IndexOptions& options);
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
