#include "index/fresh_vectors.h"

#include <algorithm>
#include <unordered_map>

namespace fovea::index {

/// The pages that one call changes, each copied once: older copies go on reading the others.
class FreshVectors::Pages {
 public:
  explicit Pages(FreshVectors& of) : of_(of) {}

  std::uint32_t& place(std::uint32_t row) {
    const std::size_t number = row / kPage;
    Page*& page = changed_[number];
    if (page == nullptr) {
      if (number >= of_.pages_.size()) of_.pages_.resize(number + 1);
      const auto& before = of_.pages_[number];
      auto copy = before ? std::make_shared<Page>(*before) : std::make_shared<Page>();
      if (!before) copy->fill(kNowhere);
      page = copy.get();
      of_.pages_[number] = std::move(copy);
    }
    return (*page)[row % kPage];
  }

 private:
  FreshVectors& of_;
  std::unordered_map<std::size_t, Page*> changed_;
};

void FreshVectors::put(std::span<const std::uint32_t> rows, std::span<const float> vectors) {
  Pages pages(*this);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (used_ == blocks_.size() * kBlock) {
      auto block = std::make_shared<Block>();
      block->vectors = std::make_unique_for_overwrite<float[]>(kBlock * width_);
      blocks_.push_back(std::move(block));
    }
    Block& block = *blocks_.back();
    block.rows[used_ % kBlock] = rows[i];
    std::ranges::copy(vectors.subspan(i * width_, width_),
                      block.vectors.get() + used_ % kBlock * width_);
    std::uint32_t& place = pages.place(rows[i]);
    if (place == kNowhere) ++size_;
    place = used_++;
    rows_end_ = std::max(rows_end_, rows[i] + std::size_t{1});
  }
  pack();
}

void FreshVectors::remove(std::span<const std::uint32_t> rows) {
  Pages pages(*this);
  for (const std::uint32_t row : rows) {
    if (place_of(row) == kNowhere) continue;
    pages.place(row) = kNowhere;
    --size_;
  }
  pack();
}

void FreshVectors::pack() {
  if (used_ <= 2 * size_ + kBlock) return;
  std::vector<std::uint32_t> rows;
  std::vector<float> vectors;
  rows.reserve(size_);
  vectors.reserve(size_ * width_);
  for_each([&](std::uint32_t row, const float* vector) {
    rows.push_back(row);
    vectors.insert(vectors.end(), vector, vector + width_);
  });
  FreshVectors packed(width_);
  packed.put(rows, vectors);
  packed.rows_end_ = rows_end_;
  *this = std::move(packed);
}

}  // namespace fovea::index
