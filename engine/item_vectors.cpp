#include "engine/item_vectors.h"

#include <algorithm>

namespace fovea::engine {

ItemVectors::ItemVectors(std::vector<float> texts, std::size_t text_width, std::vector<float> items,
                         std::size_t item_width)
    : text_width_(text_width),
      item_width_(item_width),
      texts_(std::move(texts)),
      items_(std::move(items)),
      fresh_(std::make_shared<const Snapshot>()) {}

std::shared_ptr<const ItemVectors::Snapshot> ItemVectors::fresh() const {
  const std::lock_guard lock(mutex_);
  return fresh_;
}

void ItemVectors::put(std::span<const std::uint32_t> rows, std::span<const float> texts,
                      std::span<const float> items) {
  Snapshot added;
  added.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<float> both;
    both.reserve(text_width_ + item_width_);
    const auto text = texts.subspan(i * text_width_, text_width_);
    const auto item = items.subspan(i * item_width_, item_width_);
    both.insert(both.end(), text.begin(), text.end());
    both.insert(both.end(), item.begin(), item.end());
    added.emplace_back(rows[i], std::make_shared<const std::vector<float>>(std::move(both)));
  }
  std::ranges::sort(added, {}, &Fresh::first);

  const std::lock_guard lock(mutex_);
  auto merged = std::make_shared<Snapshot>();
  merged->reserve(fresh_->size() + added.size());
  // Of equal rows set_union takes the one of the first range, which is the newer.
  std::ranges::set_union(added, *fresh_, std::back_inserter(*merged), {}, &Fresh::first,
                         &Fresh::first);
  fresh_ = std::move(merged);
}

GatheredVectors ItemVectors::gather(std::span<const std::uint32_t> rows) const {
  const auto fresh = this->fresh();
  GatheredVectors out{std::vector<float>(rows.size() * text_width_),
                      std::vector<float>(rows.size() * item_width_)};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    float* text = out.texts.data() + i * text_width_;
    float* item = out.items.data() + i * item_width_;
    const auto found = std::ranges::lower_bound(*fresh, rows[i], {}, &Fresh::first);
    if (found != fresh->end() && found->first == rows[i]) {
      const float* both = found->second->data();
      std::copy_n(both, text_width_, text);
      std::copy_n(both + text_width_, item_width_, item);
      continue;
    }
    const std::size_t row = rows[i];
    if ((row + 1) * text_width_ <= texts_.size()) {
      std::copy_n(texts_.data() + row * text_width_, text_width_, text);
    }
    if ((row + 1) * item_width_ <= items_.size()) {
      std::copy_n(items_.data() + row * item_width_, item_width_, item);
    }
  }
  return out;
}

}  // namespace fovea::engine
