#include "ranking/metrics.h"

#include <algorithm>
#include <cmath>

namespace fovea::ranking {

double discount(std::size_t rank) { return 1 / std::log2(static_cast<double>(rank) + 2); }

void MetricsCollector::add(std::optional<std::size_t> rank, std::span<const std::uint32_t> top) {
  ++sums_.users;
  if (rank) {
    const double gain = discount(*rank);
    if (*rank < 5) {
      sums_.hr_5 += 1;
      sums_.ndcg_5 += gain;
    }
    if (*rank < 10) {
      sums_.hr_10 += 1;
      sums_.ndcg_10 += gain;
    }
    sums_.mrr += 1 / (static_cast<double>(*rank) + 1);
  }
  const auto shown = top.first(std::min<std::size_t>(top.size(), 10));
  shown_.insert(shown.begin(), shown.end());
}

Metrics MetricsCollector::metrics(std::size_t catalogue_items) const {
  Metrics mean = sums_;
  if (mean.users == 0) return mean;
  const auto users = static_cast<double>(mean.users);
  for (double* sum : {&mean.hr_5, &mean.hr_10, &mean.ndcg_5, &mean.ndcg_10, &mean.mrr}) {
    *sum /= users;
  }
  if (catalogue_items > 0) {
    mean.coverage_10 = static_cast<double>(shown_.size()) / static_cast<double>(catalogue_items);
  }
  return mean;
}

}  // namespace fovea::ranking
