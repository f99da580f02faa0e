#include "engine/encoded_items.h"

#include <algorithm>
#include <utility>

namespace fovea::engine {

void EncodedItems::encode(const std::shared_ptr<const LiveModel>& model) {
  Version& version = of(model);
  std::vector<std::size_t> missing;
  std::vector<const storage::Item*> items;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (version.encoded[i] || take_known(version, i)) continue;
    missing.push_back(i);
    items.push_back(&items_[i]);
  }
  const std::vector<float> texts = model->encode(context_, items);
  const std::size_t width = model->text_space().width();
  for (std::size_t k = 0; k < missing.size(); ++k) {
    std::copy_n(texts.data() + k * width, width, version.texts.data() + missing[k] * width);
    version.encoded[missing[k]] = true;
  }
}

bool EncodedItems::settle(const std::shared_ptr<const LiveModel>& model) {
  Version& version = of(model);
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (!version.encoded[i] && !take_known(version, i)) return false;
  }
  return true;
}

std::span<const float> EncodedItems::texts(const LiveModel& model) const {
  return std::ranges::find_if(versions_,
                              [&](const Version& version) { return version.model.get() == &model; })
      ->texts;
}

EncodedItems::Version& EncodedItems::of(const std::shared_ptr<const LiveModel>& model) {
  const auto found = std::ranges::find(versions_, model, &Version::model);
  if (found != versions_.end()) return *found;
  return versions_.emplace_back(
      Version{model, std::vector<float>(items_.size() * model->text_space().width()),
              std::vector<bool>(items_.size())});
}

// Whether the version has item i's vector, which is then copied. One of zeros says nothing, or that
// the version has never seen the item; encoding a text without a word costs nothing.
bool EncodedItems::take_known(Version& version, std::size_t i) const {
  if (version.model->text_space().sentences() == nullptr) return false;  // faster than this
  const auto row = catalog_.row(items_[i].item_id);
  const auto stored = row ? catalog_.get(*row) : std::nullopt;
  if (!stored || stored->text != items_[i].text || stored->embedding != items_[i].embedding) {
    return false;
  }
  const std::size_t width = version.model->text_space().width();
  const auto vector = std::span(version.texts).subspan(i * width, width);
  version.model->vectors().gather(ItemVectors::Part::kText, {&*row, 1}, vector);
  return std::ranges::any_of(vector, [](float value) { return value != 0; });
}

}  // namespace fovea::engine
