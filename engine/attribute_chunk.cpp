// Chunks: a merge of the old columns with the new entries, by attribute.
#include "engine/attribute_chunk.h"

namespace fovea::engine {
namespace {

bool meet(const ChunkBits& a, const ChunkBits& b) {
  for (std::size_t w = 0; w < a.words.size(); ++w) {
    if ((a.words[w] & b.words[w]) != 0) return true;
  }
  return false;
}

template <typename C>
Columns<C> replace(const Columns<C>& before, const ChunkBits& touched,
                   AttributeEntries::Of<C> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Columns<C> after;
  auto old = before.begin();
  auto fresh = entries.begin();
  while (old != before.end() || fresh != entries.end()) {
    const bool is_old =
        fresh == entries.end() || (old != before.end() && old->first <= fresh->first);
    const std::uint32_t attribute = is_old ? old->first : fresh->first;
    std::shared_ptr<const C> column = is_old ? (old++)->second : nullptr;
    ChunkBits present;
    if (column) column->select_present(present);
    if (!column || meet(present, touched) ||
        (fresh != entries.end() && fresh->first == attribute)) {
      auto merged = column ? column->entries(touched) : std::vector<typename C::Entry>{};
      for (; fresh != entries.end() && fresh->first == attribute; ++fresh) {
        merged.push_back(fresh->second);
      }
      column = C::make(std::move(merged));
    }
    if (column) after.emplace_back(attribute, std::move(column));
  }
  after.shrink_to_fit();
  return after;
}

template <typename C>
std::size_t bytes_of(const Columns<C>& columns) {
  std::size_t sum = columns.capacity() * sizeof(columns[0]);
  for (const auto& [attribute, column] : columns) sum += column->bytes();
  return sum;
}

}  // namespace

std::size_t AttributeChunk::bytes() const {
  return sizeof(*this) + bytes_of(numbers) + bytes_of(flags) + bytes_of(texts);
}

std::shared_ptr<const AttributeChunk> replace(const AttributeChunk* before,
                                              const ChunkBits& removed, const ChunkBits& put,
                                              AttributeEntries entries) {
  static const AttributeChunk kEmpty;
  if (before == nullptr) before = &kEmpty;
  ChunkBits touched;
  auto after = std::make_shared<AttributeChunk>();
  std::uint64_t any = 0;
  for (std::size_t w = 0; w < touched.words.size(); ++w) {
    touched.words[w] = removed.words[w] | put.words[w];
    after->present.words[w] = (before->present.words[w] & ~removed.words[w]) | put.words[w];
    any |= after->present.words[w];
  }
  if (any == 0) return nullptr;
  after->numbers = replace(before->numbers, touched, std::move(entries.numbers));
  after->flags = replace(before->flags, touched, std::move(entries.flags));
  after->texts = replace(before->texts, touched, std::move(entries.texts));
  return after;
}

}  // namespace fovea::engine
