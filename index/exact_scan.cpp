#include "index/exact_scan.h"

#include <faiss/utils/distances.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

namespace fovea::index {
namespace {

// No function, which sorting would call through a pointer.
constexpr auto kBetter = [](const Neighbour& a, const Neighbour& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
};

/// A number that is the smaller, the better the score.
std::uint32_t key_of(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 is 0
  return (bits & 0x80000000) != 0 ? bits : ~bits & 0x7FFFFFFF;
}

/// Fewer are compared sooner than the digits' places are counted up.
constexpr std::size_t kCompared = 128;

/// Best first. By the digits of the score, last digit first: comparing would take as often the
/// wrong branch as the right one, and for a thousand five times as long.
void sort_best_first(std::vector<Neighbour>& found) {
  if (found.size() < kCompared) {
    std::ranges::sort(found, kBetter);
    return;
  }
  constexpr unsigned kBits = 11;
  constexpr std::uint32_t kMask = (1U << kBits) - 1;
  constexpr std::size_t kDigits = 3;                                   // of 32 bits
  std::array<std::array<std::uint32_t, kMask + 1>, kDigits> places{};  // counts, then begins
  for (const Neighbour& one : found) {
    std::uint32_t digits = key_of(one.score);
    for (auto& count : places) {
      ++count[digits & kMask];
      digits >>= kBits;
    }
  }
  std::vector<Neighbour> ordered(found.size());
  unsigned shift = 0;
  for (auto& place : places) {
    std::exclusive_scan(place.begin(), place.end(), place.begin(), 0U);
    for (const Neighbour& one : found) {
      ordered[place[key_of(one.score) >> shift & kMask]++] = one;
    }
    found.swap(ordered);
    shift += kBits;
  }
  // Among equals by row.
  for (auto same = found.begin(); same != found.end();) {
    const auto end = std::find_if(same + 1, found.end(),
                                  [&](const auto& one) { return one.score != same->score; });
    if (end - same > 1) std::sort(same, end, kBetter);
    same = end;
  }
}

}  // namespace

float inner_product(std::span<const float> query, const float* other) {
  return faiss::fvec_inner_product(query.data(), other, query.size());
}

void Nearest::cut() {
  const auto last = found_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
  std::ranges::nth_element(found_, last, kBetter);
  worst_ = last->score;
  found_.resize(k_);
}

std::vector<Neighbour> Nearest::take() {
  sort_best_first(found_);
  found_.resize(std::min(found_.size(), k_));
  return std::move(found_);
}

}  // namespace fovea::index
