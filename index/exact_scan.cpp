#include "index/exact_scan.h"

#include <faiss/utils/distances.h>

#include <algorithm>

namespace fovea::index {
namespace {

bool better(const Neighbour& a, const Neighbour& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

}  // namespace

float inner_product(std::span<const float> query, const float* other) {
  return faiss::fvec_inner_product(query.data(), other, query.size());
}

void Nearest::cut() {
  const auto last = found_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
  std::ranges::nth_element(found_, last, better);
  worst_ = last->score;
  found_.resize(k_);
}

std::vector<Neighbour> Nearest::take() {
  if (found_.size() > k_) cut();
  std::ranges::sort(found_, better);
  return std::move(found_);
}

}  // namespace fovea::index
