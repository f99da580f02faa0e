#include "engine/item_vectors.h"

#include <algorithm>
#include <array>
#include <utility>

#include "index/exact_scan.h"

namespace fovea::engine {
namespace {

constexpr std::size_t kFloatsPerLine = 16;  // of the processor's cache
constexpr std::size_t kTogether = 16;

}  // namespace

ItemVectors::ItemVectors(std::vector<float> texts, std::size_t text_width, std::vector<float> items,
                         std::size_t item_width)
    : text_width_(text_width),
      item_width_(item_width),
      texts_(std::move(texts)),
      items_(std::move(items)),
      fresh_(std::make_shared<const index::FreshVectors>(text_width + item_width)) {}

std::shared_ptr<const index::FreshVectors> ItemVectors::fresh() const {
  const std::lock_guard lock(mutex_);
  return fresh_;
}

std::size_t ItemVectors::rows_end() const {
  const std::size_t given = text_width_ > 0 ? texts_.size() / text_width_ : 0;
  return std::max(given, fresh()->rows_end());
}

void ItemVectors::put(std::span<const std::uint32_t> rows, std::span<const float> texts,
                      std::span<const float> items) {
  std::vector<float> both;
  both.reserve(rows.size() * (text_width_ + item_width_));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto text = texts.subspan(i * text_width_, text_width_);
    const auto item = items.subspan(i * item_width_, item_width_);
    both.insert(both.end(), text.begin(), text.end());
    both.insert(both.end(), item.begin(), item.end());
  }
  const std::lock_guard writing(writing_);
  auto next = std::make_shared<index::FreshVectors>(*fresh());
  next->put(rows, both);
  const std::lock_guard lock(mutex_);
  fresh_ = std::move(next);
}

const float* ItemVectors::find(const index::FreshVectors& fresh, Part part,
                               std::uint32_t row) const {
  const bool text = part == Part::kText;
  if (const float* both = fresh.find(row)) return text ? both : both + text_width_;
  const std::vector<float>& all = text ? texts_ : items_;
  const std::size_t begin = row * width(part);
  return begin + width(part) <= all.size() ? all.data() + begin : nullptr;
}

GatheredVectors ItemVectors::gather(std::span<const std::uint32_t> rows) const {
  const auto fresh = this->fresh();
  const auto part = [&](Part which) {
    std::vector<float> vectors;
    vectors.reserve(rows.size() * width(which));  // not zeros, to be written over: it is a lot
    for (const std::uint32_t row : rows) {
      if (const float* vector = find(*fresh, which, row)) {
        vectors.insert(vectors.end(), vector, vector + width(which));
      } else {
        vectors.resize(vectors.size() + width(which));
      }
    }
    return vectors;
  };
  return {part(Part::kText), part(Part::kItem)};
}

void ItemVectors::gather(Part part, std::span<const std::uint32_t> rows,
                         std::span<float> vectors) const {
  const auto fresh = this->fresh();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto out = vectors.subspan(i * width(part), width(part));
    if (const float* vector = find(*fresh, part, rows[i])) {
      std::copy_n(vector, out.size(), out.data());
    } else {
      std::ranges::fill(out, 0.0F);
    }
  }
}

std::vector<index::Neighbour> ItemVectors::nearest(Part part, const index::RowSet& rows,
                                                   std::span<const float> query,
                                                   std::size_t k) const {
  const auto fresh = this->fresh();
  index::Nearest nearest(k);
  // Some at once, so that they come from memory together: one by one each would be waited for.
  std::array<std::pair<std::uint32_t, const float*>, kTogether> some;
  std::size_t held = 0;
  const auto compare = [&] {
    for (std::size_t i = 0; i < held; ++i) {
      nearest.add(some[i].first, index::inner_product(query, some[i].second));
    }
    held = 0;
  };
  rows.for_each([&](std::uint32_t row) {
    const float* vector = find(*fresh, part, row);
    if (vector == nullptr) return;
    for (std::size_t i = 0; i < query.size(); i += kFloatsPerLine) __builtin_prefetch(vector + i);
    some[held++] = {row, vector};
    if (held == kTogether) compare();
  });
  compare();
  return nearest.take();
}

}  // namespace fovea::engine
