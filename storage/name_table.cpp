#include "storage/name_table.h"

#include <functional>

namespace fovea::storage {
namespace {

constexpr std::uint32_t kFree = UINT32_MAX;
constexpr std::size_t kFirstSlots = 64;  // a power of two, as every size after it

}  // namespace

NameTable::NameTable() : slots_(kFirstSlots, kFree) {}

std::size_t NameTable::slot_of(std::string_view name) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(name)&mask;
  while (slots_[slot] != kFree && this->name(slots_[slot]) != name) slot = (slot + 1) & mask;
  return slot;
}

std::optional<std::uint32_t> NameTable::find(std::string_view name) const {
  const std::uint32_t row = slots_[slot_of(name)];
  if (row == kFree) return std::nullopt;
  return row;
}

std::string_view NameTable::name(std::uint32_t row) const {
  const std::uint64_t begin = row == 0 ? 0 : ends_[row - 1];
  return std::string_view(bytes_).substr(begin, ends_[row] - begin);
}

void NameTable::append(std::string_view name) {
  if ((ends_.size() + 1) * 2 > slots_.size()) {
    slots_.assign(slots_.size() * 2, kFree);
    for (std::uint32_t row = 0; row < size(); ++row) slots_[slot_of(this->name(row))] = row;
  }
  const std::size_t slot = slot_of(name);
  bytes_.append(name);
  ends_.push_back(bytes_.size());
  slots_[slot] = size() - 1;
}

}  // namespace fovea::storage
