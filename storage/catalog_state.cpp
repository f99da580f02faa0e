// The catalogue in memory: loading it, and giving rows.
#include <fmt/format.h>

#include "storage/bytes.h"
#include "storage/state.h"

namespace fovea::storage {

Catalog::State::State(Rocks& store) : rocks(store) {
  load_names();
  load_actions();
  load_numbers();
}

void Catalog::State::load_names() {
  for (Scan scan(rocks, tag_begin(Tag::kName), tag_end(Tag::kName)); scan.valid(); scan.next()) {
    ByteReader reader(scan.value());
    const auto is_present = reader.number<std::uint8_t>();
    const std::string_view name = reader.take(reader.left());
    if (numbered_key(scan.key()) != names.size() || !reader.ok() || names.find(name)) {
      throw rocks.damaged(fmt::format("the name of item row {}", names.size()));
    }
    names.append(name);
    present.push_back(is_present != 0);
    items += is_present != 0 ? 1 : 0;
  }
}

void Catalog::State::load_actions() {
  for (Scan scan(rocks, tag_begin(Tag::kAction), tag_end(Tag::kAction)); scan.valid();
       scan.next()) {
    ByteReader reader(scan.value());
    Action action;
    action.weight = reader.number<double>();
    action.name = reader.take(reader.left());
    if (numbered_key(scan.key()) != actions.size() || !reader.ok()) {
      throw rocks.damaged(fmt::format("action {}", actions.size()));
    }
    action_indexes.emplace(action.name, static_cast<std::uint16_t>(actions.size()));
    actions.push_back(std::move(action));
  }
}

void Catalog::State::load_numbers() {
  rocksdb::PinnableSlice value;
  if (rocks.get(kRevisionKey, value)) {
    ByteReader reader(value.ToStringView());
    revision = reader.number<std::uint64_t>();
    if (!reader.ended_well()) throw rocks.damaged("the revision of its items");
  }
  if (rocks.get(kEmbeddingWidthKey, value)) {
    ByteReader reader(value.ToStringView());
    embedding_width = reader.number<std::uint32_t>();
    if (!reader.ended_well()) throw rocks.damaged("the width of its embeddings");
  }
}

std::optional<std::uint32_t> Catalog::State::row(std::string_view item_id) const {
  const std::shared_lock lock(published);
  return names.find(item_id);
}

void Catalog::State::await_row(std::uint32_t row) {
  {
    const std::shared_lock lock(published);
    if (row < names.size()) return;
  }
  {
    const std::lock_guard written(changing);
  }  // a change publishes before it lets go
  const std::shared_lock lock(published);
  if (row >= names.size()) throw rocks.damaged(fmt::format("item row {} has no name", row));
}

std::string Catalog::State::name_of_stored(std::uint32_t row) {
  await_row(row);
  const std::shared_lock lock(published);
  return std::string(names.name(row));
}

std::uint32_t NewRows::row(std::string_view item_id) {
  if (const auto known = catalog_.row(item_id)) return *known;
  const auto next = catalog_.names.size() + static_cast<std::uint32_t>(names_.size());
  const auto [given, is_new] = given_.try_emplace(std::string(item_id), next);
  if (is_new) names_.emplace_back(item_id);
  return given->second;
}

void NewRows::add_to(rocksdb::WriteBatch& batch, bool present) const {
  std::uint32_t row = catalog_.names.size();
  for (const std::string& name : names_) {
    std::string value;
    append_number(value, static_cast<std::uint8_t>(present));
    batch.Put(name_key(row++), value.append(name));
  }
}

void NewRows::publish() const {
  for (const std::string& name : names_) {
    catalog_.names.append(name);
    catalog_.present.push_back(false);
  }
}

}  // namespace fovea::storage
