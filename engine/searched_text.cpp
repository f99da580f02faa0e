#include "engine/searched_text.h"

#include <string_view>
#include <variant>

namespace fovea::engine {
namespace {

/// Items put together while the catalogue is read.
constexpr std::size_t kBatch = 8192;

}  // namespace

std::string SearchedText::text_of(const storage::Item& item) const {
  std::string text = item.text.value_or("");
  const auto add = [&](const std::string& value) {
    text += '\n';
    text += value;
  };
  for (const auto& name : attributes_) {
    const auto attribute = item.attributes.find(name);
    if (attribute == item.attributes.end()) continue;
    if (const auto* one = std::get_if<std::string>(&attribute->second)) add(*one);
    if (const auto* many = std::get_if<std::vector<std::string>>(&attribute->second)) {
      for (const auto& value : *many) add(value);
    }
  }
  return text;
}

void SearchedText::put(std::span<const std::uint32_t> rows,
                       std::span<const storage::Item* const> items) {
  std::vector<std::string> texts;
  texts.reserve(items.size());
  for (const storage::Item* item : items) texts.push_back(text_of(*item));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  words_.put(rows, views);
}

void put_all(const storage::Catalog& catalog, SearchedText& text) {
  std::vector<std::uint32_t> rows;
  std::vector<storage::StoredItem> items;
  const auto put = [&] {
    std::vector<const storage::Item*> pointers;
    for (const storage::StoredItem& item : items) pointers.push_back(&item);
    text.put(rows, pointers);
    rows.clear();
    items.clear();
  };
  catalog.for_each([&](const storage::StoredItem& item) {
    rows.push_back(item.row);
    items.push_back(item);
    if (items.size() == kBatch) put();
  });
  put();
}

}  // namespace fovea::engine
