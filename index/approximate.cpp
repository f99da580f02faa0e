// Inverted lists of codes, and the index of 8-bit ones: faiss::IndexIVFScalarQuantizer. A query
// reads the lists whose centres are nearest.
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/utils/distances.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>

#include "index/exact_scan.h"
#include "index/faiss_index.h"
#include "index/sq8_query.h"

namespace fovea::index {
namespace {

// About 4 sqrt(n) lists, so that finding the nearest ones costs no more than reading them; beyond
// this many, training takes long and the default number of probes would read too small a share.
constexpr std::size_t kListsMax = 1024;
// More vectors than this per list do not move a list's centre.
constexpr int kTrainingPerList = 64;
// Vectors of a list that a filter looks at together.
constexpr std::size_t kTogether = 128;

/// The lists of an index, those with the nearest centres first. Ordered as they are asked for: a
/// filter may need all of them, and mostly does not.
class Order {
 public:
  struct List {
    float centre;  // its inner product with the query
    FaissId number;
  };

  Order(const faiss::IndexIVF& index, std::span<const float> query) : lists_(index.nlist) {
    std::vector<float> centres(index.nlist);
    faiss::fvec_inner_products_ny(centres.data(), query.data(),
                                  dynamic_cast<const faiss::IndexFlat&>(*index.quantizer).get_xb(),
                                  query.size(), index.nlist);
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      lists_[i] = {centres[i], static_cast<FaissId>(i)};
    }
    std::ranges::make_heap(lists_, {}, &List::centre);
  }

  bool empty() const { return lists_.empty(); }
  List next() {
    std::ranges::pop_heap(lists_, {}, &List::centre);
    const List list = lists_.back();
    lists_.pop_back();
    return list;
  }

 private:
  std::vector<List> lists_;
};

class Approximate final : public FaissIndex {
 public:
  /// Of residuals and 8-bit codes.
  Approximate(std::unique_ptr<faiss::IndexIVFScalarQuantizer> index,
              std::vector<std::uint32_t> rows, std::size_t probes)
      : FaissIndex(std::move(rows)),
        index_(std::move(index)),
        probes_(std::clamp<std::size_t>(probes, 1, index_->nlist)) {}
  std::size_t compared() const override { return probes_ * size() / index_->nlist; }
  std::string kind() const override { return "ivf-sq8"; }

 private:
  const faiss::Index& faiss() const override { return *index_; }

  // With a filter lists are read until as many allowed vectors have been compared as a search
  // without one compares: a tenth at random takes ten times as many lists, and a filter that leaves
  // what lies together takes few more where the query is near and what it needs where it is far.
  void find(std::span<const float> query, const RowSet* allow, Nearest& nearest) const override {
    Order order(*index_, query);
    const Sq8Query products(query, index_->sq.trained);
    const std::size_t enough = compared();
    std::size_t seen = 0;
    for (std::size_t read = 0; !order.empty() && (read < probes_ || seen < enough); ++read) {
      const Order::List list = order.next();
      seen +=
          allow == nullptr ? scan(products, list, nearest) : scan(products, list, *allow, nearest);
    }
  }

  std::size_t scan(const Sq8Query& products, const Order::List& list, Nearest& nearest) const {
    const auto number = static_cast<std::size_t>(list.number);
    faiss::InvertedLists::ScopedIds ids(index_->invlists, number);
    faiss::InvertedLists::ScopedCodes codes(index_->invlists, number);
    const std::size_t size = index_->invlists->list_size(number);
    std::array<float, kTogether> scores;
    for (std::size_t begin = 0; begin < size; begin += kTogether) {
      const std::size_t count = std::min(size - begin, kTogether);
      products.products(count, codes.get() + begin * index_->code_size, list.centre, scores.data());
      for (std::size_t i = 0; i < count; ++i) {
        nearest.add(static_cast<std::uint32_t>(ids.get()[begin + i]), scores[i]);
      }
    }
    return size;
  }

  // Returns how many were allowed.
  std::size_t scan(const Sq8Query& products, const Order::List& list, const RowSet& allow,
                   Nearest& nearest) const {
    const auto number = static_cast<std::size_t>(list.number);
    faiss::InvertedLists::ScopedIds ids(index_->invlists, number);
    faiss::InvertedLists::ScopedCodes codes(index_->invlists, number);
    const std::size_t size = index_->invlists->list_size(number);
    const auto rows = this->rows();
    // Whether a row is allowed cannot be foretold, so that a branch on it would often be taken
    // wrong.
    std::array<std::uint32_t, kTogether> allowed;
    std::size_t seen = 0;
    for (std::size_t begin = 0; begin < size; begin += kTogether) {
      const std::size_t end = std::min(size, begin + kTogether);
      std::size_t count = 0;
      for (std::size_t i = begin; i < end; ++i) {
        allowed[count] = static_cast<std::uint32_t>(i);
        count += allow.contains(rows[static_cast<std::size_t>(ids.get()[i])]) ? 1 : 0;
      }
      for (std::size_t i = 0; i < count; ++i) {
        nearest.add(static_cast<std::uint32_t>(ids.get()[allowed[i]]),
                    list.centre + products.product(codes.get() + allowed[i] * index_->code_size));
      }
      seen += count;
    }
    return seen;
  }

  std::unique_ptr<faiss::IndexIVFScalarQuantizer> index_;
  std::size_t probes_;
};

std::unique_ptr<faiss::IndexIVF> untrained(Code code, faiss::Index* centres, std::size_t width,
                                           std::size_t lists) {
  if (code == Code::kPq) {
    const auto bytes = pq_bytes(width);
    if (!bytes) {
      throw std::invalid_argument("vectors of " + std::to_string(width) +
                                  " channels have no product-quantized code");
    }
    return std::make_unique<faiss::IndexIVFPQ>(centres, width, lists, *bytes, 8,
                                               faiss::METRIC_INNER_PRODUCT);
  }
  // 16 bits are enough for a vector itself; 8 bits are spent on what its list's centre leaves.
  const bool residual = code == Code::kSq8;
  return std::make_unique<faiss::IndexIVFScalarQuantizer>(
      centres, width, lists,
      residual ? faiss::ScalarQuantizer::QT_8bit : faiss::ScalarQuantizer::QT_fp16,
      faiss::METRIC_INNER_PRODUCT, residual);
}

}  // namespace

std::optional<std::size_t> pq_bytes(std::size_t width) {
  constexpr std::array<std::size_t, 15> kLengths = {96, 64, 56, 48, 40, 32, 28, 24,
                                                    20, 16, 12, 8,  4,  3,  2};
  for (const std::size_t bytes : kLengths) {
    if (width % bytes == 0 && width >= 2 * bytes && width <= 8 * bytes) return bytes;
  }
  return std::nullopt;
}

namespace {

/// What lists are trained on: all vectors, or some of them.
std::vector<float> training_vectors(const BuildSource& source, std::size_t lists,
                                    std::uint64_t seed) {
  std::vector<std::uint32_t> numbers(source.count);
  std::iota(numbers.begin(), numbers.end(), 0U);
  const std::size_t wanted = lists * kTrainingPerList;
  if (wanted < source.count) {
    std::vector<std::uint32_t> sample;
    std::ranges::sample(numbers, std::back_inserter(sample), static_cast<std::ptrdiff_t>(wanted),
                        std::mt19937_64(seed));
    numbers = std::move(sample);
  }
  std::vector<float> vectors(numbers.size() * source.width);
  source.copy(numbers, vectors);
  return vectors;
}

}  // namespace

std::unique_ptr<faiss::Index> build_lists(Code code, const BuildSource& source,
                                          const IndexOptions& options) {
  const std::size_t n = source.count;
  const auto lists = std::clamp<std::size_t>(
      static_cast<std::size_t>(4 * std::sqrt(static_cast<double>(n))), 1, std::min(n, kListsMax));
  auto centres = std::make_unique<faiss::IndexFlatIP>(static_cast<std::int64_t>(source.width));
  auto index = untrained(code, centres.get(), source.width, lists);
  index->quantizer = centres.release();
  index->own_fields = true;
  index->cp.seed = static_cast<int>(options.seed & 0x7FFFFFFF);
  // Centres of unit length: a long one would draw vectors of every direction into its list.
  index->cp.spherical = true;
  index->cp.min_points_per_centroid = 1;  // no warning on stderr for few vectors
  index->cp.max_points_per_centroid = kTrainingPerList;
  if (auto* pq = dynamic_cast<faiss::IndexIVFPQ*>(index.get())) {
    pq->pq.cp.seed = index->cp.seed;
    pq->pq.cp.min_points_per_centroid = 1;
  }
  if (source.go_on && !source.go_on()) return nullptr;
  {
    const auto vectors = training_vectors(source, lists, options.seed);
    index->train(static_cast<FaissId>(vectors.size() / source.width), vectors.data());
  }
  if (!add_all(*index, source)) return nullptr;
  return index;
}

std::unique_ptr<VectorIndex> make_approximate(std::unique_ptr<faiss::Index> index,
                                              std::vector<std::uint32_t> rows,
                                              const IndexOptions& options) {
  auto& coded = dynamic_cast<faiss::IndexIVFScalarQuantizer&>(*index);
  if (coded.sq.qtype != faiss::ScalarQuantizer::QT_8bit || !coded.by_residual ||
      coded.sq.trained.size() != 2 * static_cast<std::size_t>(coded.d)) {
    throw std::invalid_argument("these lists are not of 8-bit codes of residuals");
  }
  std::unique_ptr<faiss::IndexIVFScalarQuantizer> lists(&coded);
  static_cast<void>(index.release());
  return std::make_unique<Approximate>(std::move(lists), std::move(rows), options.probes);
}

}  // namespace fovea::index
