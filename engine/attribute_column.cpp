// Columns: how entries become one, and the loops over it.
#include "engine/attribute_column.h"

#include <span>
#include <utility>

namespace fovea::engine {
namespace {

/// A quarter: below it a column by offset would be mostly empty.
constexpr std::size_t kByOffsetMin = kChunkRows / 4;
/// So many rows that share a code are hardly larger as a set than as entries.
constexpr std::size_t kSharedMin = 128;
/// With fewer entries, who has one is read from their offsets.
constexpr std::size_t kPresentMin = 128;
/// Only codes below may be shared: counting them must cost little, and texts that many rows share
/// mostly came early. It is a matter of speed only.
constexpr std::uint32_t kShareableCodes = 16'384;

void add(const ChunkBits& rows, ChunkBits& out) {
  for (std::size_t w = 0; w < rows.words.size(); ++w) out.words[w] |= rows.words[w];
}

/// By offset, those of one row in the order they came.
template <typename Entry>
std::vector<Entry> sorted(const std::vector<Entry>& entries) {
  std::vector<std::uint32_t> starts(kChunkRows + 1, 0);
  for (const Entry& entry : entries) ++starts[entry.offset + std::size_t{1}];
  for (std::size_t i = 0; i < kChunkRows; ++i) starts[i + 1] += starts[i];
  std::vector<Entry> result(entries.size());
  for (const Entry& entry : entries) result[starts[entry.offset]++] = entry;
  return result;
}

}  // namespace

template <typename Value>
std::shared_ptr<const Column<Value>> Column<Value>::make(std::vector<Entry> entries) {
  if (entries.empty()) return nullptr;
  auto column = std::make_shared<Column>();
  ChunkBits present;
  for (const Entry& entry : entries) present.insert(entry.offset);
  if (entries.size() >= kPresentMin) column->present_.push_back(present);
  const bool one_each = present.count() == entries.size() &&
                        std::none_of(entries.begin(), entries.end(),
                                     [](const Entry& entry) { return is_absent(entry.value); });
  column->by_offset_ = one_each && entries.size() >= kByOffsetMin;
  if (!one_each && entries.size() >= kSharedMin) column->share(entries);
  column->store(column->by_offset_ ? std::move(entries) : sorted(entries));
  return column;
}

template <typename Value>
void Column<Value>::share(std::vector<Entry>& entries) {
  if constexpr (!kNumbers) {
    std::vector<std::uint32_t> counts(kShareableCodes);
    for (const Entry& entry : entries) {
      if (entry.value < kShareableCodes) ++counts[entry.value];
    }
    std::vector<Shared*> places(kShareableCodes);
    const auto is_shared = [](std::uint32_t count) { return count >= kSharedMin; };
    shared_.reserve(
        static_cast<std::size_t>(std::count_if(counts.begin(), counts.end(), is_shared)));
    for (std::size_t code = 0; code < kShareableCodes; ++code) {
      if (!is_shared(counts[code])) continue;
      places[code] = &shared_.emplace_back(Shared{.value = static_cast<Value>(code)});
    }
    std::erase_if(entries, [&](const Entry& entry) {
      if (entry.value >= kShareableCodes || places[entry.value] == nullptr) return false;
      places[entry.value]->rows.insert(entry.offset);
      return true;
    });
  }
}

template <typename Value>
void Column<Value>::store(const std::vector<Entry>& entries) {
  if constexpr (!kNumbers) {
    Value largest = 0;
    for (const Entry& entry : entries) largest = std::max(largest, entry.value);
    if (largest > 0xFFFF) {
      values_.template emplace<std::vector<std::uint32_t>>();
    } else if (largest > 0xFF) {
      values_.template emplace<std::vector<std::uint16_t>>();
    }
  }
  if (!by_offset_) offsets_.reserve(entries.size());
  std::visit(
      [&](auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        values.assign(by_offset_ ? kChunkRows : entries.size(), static_cast<T>(kAbsent));
        for (std::size_t i = 0; i < entries.size(); ++i) {
          values[by_offset_ ? entries[i].offset : i] = static_cast<T>(entries[i].value);
          if (!by_offset_) offsets_.push_back(entries[i].offset);
        }
      },
      values_);
}

template <typename Value>
auto Column<Value>::entries(const ChunkBits& without) const -> std::vector<Entry> {
  std::vector<Entry> result;
  const auto keep = [&](std::size_t offset, Value value) {
    if (!without.contains(offset)) result.push_back({static_cast<std::uint16_t>(offset), value});
  };
  std::visit(
      [&](const auto& values) {
        result.reserve(values.size());
        for (std::size_t i = 0; i < offsets_.size(); ++i) keep(offsets_[i], values[i]);
        if (!by_offset_) return;
        for (std::size_t i = 0; i < values.size(); ++i) {
          if (!is_absent(values[i])) keep(i, values[i]);
        }
      },
      values_);
  for (const Shared& shared : shared_) {
    shared.rows.for_each([&](std::size_t offset) { keep(offset, shared.value); });
  }
  return result;
}

template <typename Value>
void Column<Value>::select(const Test& test, ChunkBits& out) const {
  if constexpr (!kNumbers) {
    for (const Shared& shared : shared_) {
      if (test.holds(shared.value)) add(shared.rows, out);
    }
  }
  std::visit(
      [&](const auto& stored) {
        const std::span values(stored);
        for (std::size_t i = 0; i < values.size(); i += kChunkRows) {
          const ChunkBits places =
              passing(values.subspan(i, std::min(kChunkRows, values.size() - i)), test);
          if (by_offset_) {
            add(places, out);
          } else {
            places.for_each([&](std::size_t place) { out.insert(offsets_[i + place]); });
          }
        }
      },
      values_);
}

template <typename Value>
void Column<Value>::select_present(ChunkBits& out) const {
  for (const ChunkBits& present : present_) add(present, out);
  if (!present_.empty()) return;
  for (const std::uint16_t offset : offsets_) out.insert(offset);
}

template <typename Value>
bool Column<Value>::has(std::uint16_t offset) const {
  if (!present_.empty()) return present_.front().contains(offset);
  return std::binary_search(offsets_.begin(), offsets_.end(), offset);
}

template <typename Value>
std::size_t Column<Value>::bytes() const {
  const std::size_t values =
      std::visit([](const auto& stored) { return stored.capacity() * sizeof(stored[0]); }, values_);
  return sizeof(*this) + values + offsets_.capacity() * sizeof(offsets_[0]) +
         shared_.capacity() * sizeof(Shared) + present_.capacity() * sizeof(ChunkBits);
}

template class Column<double>;
template class Column<std::uint32_t>;

}  // namespace fovea::engine
