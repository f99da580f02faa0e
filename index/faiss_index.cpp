#include "index/faiss_index.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "index/exact_scan.h"
#include "index/index_file.h"

// Of the OpenMP runtime that Faiss brings, declared here because omp.h comes only with compilers of
// OpenMP: our own sources need none.
extern "C" {
int omp_get_max_threads();
void omp_set_num_threads(int threads);
}

namespace fovea::index {
namespace {

/// Vectors that are copied at once.
constexpr std::size_t kBlock = 4'096;

}  // namespace

ThreadWidth::ThreadWidth(int threads) : before_(omp_get_max_threads()) {
  omp_set_num_threads(threads);
}
ThreadWidth::~ThreadWidth() { omp_set_num_threads(before_); }

std::vector<Neighbour> FaissIndex::search(std::span<const float> query, std::size_t k,
                                          const RowSet* allow) const {
  if (query.size() != width()) {
    throw std::invalid_argument("a query has " + std::to_string(query.size()) + " channels; " +
                                std::to_string(width()) + " are right here");
  }
  k = std::min(k, size());
  if (k == 0) return {};
  const ThreadWidth one(1);
  Nearest nearest(k);
  find(query, allow, nearest);
  auto found = nearest.take();
  for (Neighbour& near : found) near.row = rows_[near.row];
  return found;
}

void FaissIndex::save(const std::filesystem::path& file) const { write_file(file, faiss(), rows_); }

BuildSource source_of(std::span<const float> vectors, std::size_t width) {
  const auto copy = [=](std::span<const std::uint32_t> numbers, std::span<float> out) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      std::ranges::copy(vectors.subspan(numbers[i] * width, width), out.begin() + i * width);
    }
  };
  return {vectors.size() / width, width, copy, {}};
}

bool add_all(faiss::Index& index, const BuildSource& source) {
  std::vector<std::uint32_t> numbers;
  std::vector<float> vectors;
  for (std::size_t begin = 0; begin < source.count; begin += kBlock) {
    if (source.go_on && !source.go_on()) return false;
    numbers.resize(std::min(kBlock, source.count - begin));
    std::iota(numbers.begin(), numbers.end(), static_cast<std::uint32_t>(begin));
    vectors.resize(numbers.size() * source.width);
    source.copy(numbers, vectors);
    index.add(static_cast<FaissId>(numbers.size()), vectors.data());
  }
  return true;
}

}  // namespace fovea::index
