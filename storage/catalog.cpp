#include "storage/catalog.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <unordered_set>

#include "storage/bytes.h"
#include "storage/keys.h"
#include "storage/state.h"
#include "storage/values.h"

namespace fovea::storage {
namespace {

constexpr std::size_t kActionsMax = 1000;

std::string name_value(bool present, std::string_view item_id) {
  std::string value;
  append_number(value, static_cast<std::uint8_t>(present));
  return value.append(item_id);
}

/// The width of the store's embeddings once these items are in it.
std::optional<std::size_t> check_items(std::span<const Item> items,
                                       std::optional<std::size_t> width) {
  for (const Item& item : items) {
    check_id(item.item_id, "item id");
    if (!item.embedding) continue;
    if (!width) width = item.embedding->size();
    if (item.embedding->size() == *width && *width > 0) continue;
    throw std::invalid_argument(
        *width == 0 ? fmt::format("the embedding of item {} is empty", item.item_id)
                    : fmt::format("the embedding of item {} has {} numbers; those of this store "
                                  "have {}",
                                  item.item_id, item.embedding->size(), *width));
  }
  return width;
}

}  // namespace

Catalog::PutResult Catalog::put(std::span<const Item> items) {
  const std::lock_guard changing(state_.changing);
  const auto width = check_items(items, embedding_width());
  PutResult result;
  result.revision = revision();
  if (items.empty()) return result;

  NewRows rows(state_);
  rocksdb::WriteBatch batch;
  for (const Item& item : items) {
    const std::uint32_t row = rows.row(item.item_id);
    result.rows.push_back(row);
    batch.Put(item_key(row), encode_item(item, ++result.revision));
    if (!present(row)) batch.Put(name_key(row), name_value(true, item.item_id));
  }
  std::string newest;
  append_number(newest, result.revision);
  batch.Put(std::string(kRevisionKey), newest);
  if (width && !embedding_width()) {
    std::string bytes;
    append_number(bytes, static_cast<std::uint32_t>(*width));
    batch.Put(std::string(kEmbeddingWidthKey), bytes);
  }
  state_.rocks.write(batch);
  {
    const std::unique_lock published(state_.published);
    rows.publish();
    for (const std::uint32_t row : result.rows) {
      if (!state_.present[row]) ++state_.items;
      state_.present[row] = true;
    }
    state_.revision = result.revision;
    state_.embedding_width = width;
  }
  state_.rocks.sync();
  return result;
}

std::vector<std::uint32_t> Catalog::remove(std::span<const std::string_view> item_ids) {
  const std::lock_guard changing(state_.changing);
  std::vector<std::uint32_t> removed;
  std::unordered_set<std::uint32_t> seen;
  rocksdb::WriteBatch batch;
  for (const std::string_view item_id : item_ids) {
    const auto known = row(item_id);
    if (!known || !present(*known) || !seen.insert(*known).second) continue;
    removed.push_back(*known);
    batch.Delete(item_key(*known));
    batch.Put(name_key(*known), name_value(false, item_id));
  }
  if (removed.empty()) {
    state_.rocks.check_not_failed();
    return removed;
  }
  state_.rocks.write(batch);
  {
    const std::unique_lock published(state_.published);
    for (const std::uint32_t row : removed) state_.present[row] = false;
    state_.items -= static_cast<std::int64_t>(removed.size());
  }
  state_.rocks.sync();
  return removed;
}

std::optional<std::uint32_t> Catalog::row(std::string_view item_id) const {
  return state_.row(item_id);
}

std::string Catalog::item_id(std::uint32_t row) const {
  const std::shared_lock published(state_.published);
  if (row >= state_.names.size()) {
    throw std::logic_error(
        fmt::format("item row {} was asked for; there are {}", row, state_.names.size()));
  }
  return std::string(state_.names.name(row));
}

std::vector<bool> Catalog::present() const {
  const std::shared_lock published(state_.published);
  return state_.present;
}

bool Catalog::present(std::uint32_t row) const {
  const std::shared_lock published(state_.published);
  return row < state_.present.size() && state_.present[row];
}

std::vector<std::uint32_t> Catalog::rows_with_prefix(std::string_view prefix,
                                                     std::size_t limit) const {
  std::vector<std::uint32_t> rows;
  const std::shared_lock published(state_.published);
  for (std::uint32_t row = 0; row < state_.names.size() && rows.size() < limit; ++row) {
    if (state_.present[row] && state_.names.name(row).starts_with(prefix)) rows.push_back(row);
  }
  return rows;
}

std::optional<StoredItem> Catalog::get(std::uint32_t row) const {
  if (!present(row)) return std::nullopt;
  rocksdb::PinnableSlice value;
  if (!state_.rocks.get(item_key(row), value)) return std::nullopt;  // removed just now
  auto item = decode_item(value.ToStringView());
  if (!item) throw state_.rocks.damaged(fmt::format("item {}", item_id(row)));
  item->item_id = item_id(row);
  item->row = row;
  return item;
}

void Catalog::for_each(const std::function<void(const StoredItem&)>& visit,
                       std::uint64_t after_revision) const {
  for (Scan scan(state_.rocks, tag_begin(Tag::kItem), tag_end(Tag::kItem)); scan.valid();
       scan.next()) {
    const auto row = numbered_key(scan.key());
    const auto revision = decode_revision(scan.value());
    if (revision && *revision <= after_revision) continue;
    auto item = decode_item(scan.value());
    if (!row || !item) throw state_.rocks.damaged("an item");
    item->item_id = state_.name_of_stored(*row);
    item->row = *row;
    visit(*item);
  }
}

std::uint32_t Catalog::rows() const {
  const std::shared_lock published(state_.published);
  return state_.names.size();
}

std::int64_t Catalog::size() const {
  const std::shared_lock published(state_.published);
  return state_.items;
}

std::uint64_t Catalog::revision() const {
  const std::shared_lock published(state_.published);
  return state_.revision;
}

std::optional<std::size_t> Catalog::embedding_width() const {
  const std::shared_lock published(state_.published);
  return state_.embedding_width;
}

std::uint16_t Catalog::declare_action(std::string_view name, double weight) {
  check_id(name, "action");
  if (!std::isfinite(weight)) {
    throw std::invalid_argument(
        fmt::format("the weight of action \"{}\" is {}; it must be a finite number", name, weight));
  }
  const std::lock_guard changing(state_.changing);
  const auto known = action(name);
  const auto declared = actions();
  if (known && declared[*known].weight == weight) return *known;
  if (!known && declared.size() == kActionsMax) {
    throw std::length_error(
        fmt::format("the action \"{}\" is one too many: {} are allowed", name, kActionsMax));
  }
  const auto index = known.value_or(static_cast<std::uint16_t>(declared.size()));
  std::string value;
  append_number(value, weight);
  rocksdb::WriteBatch batch;
  batch.Put(action_key(index), value.append(name));
  state_.rocks.write(batch);
  {
    const std::unique_lock published(state_.published);
    if (known) {
      state_.actions[index].weight = weight;
    } else {
      state_.actions.push_back({std::string(name), weight});
      state_.action_indexes.emplace(name, index);
    }
  }
  state_.rocks.sync();
  return index;
}

std::optional<std::uint16_t> Catalog::action(std::string_view name) const {
  const std::shared_lock published(state_.published);
  const auto found = state_.action_indexes.find(name);
  if (found == state_.action_indexes.end()) return std::nullopt;
  return found->second;
}

std::vector<Action> Catalog::actions() const {
  const std::shared_lock published(state_.published);
  return state_.actions;
}

}  // namespace fovea::storage
