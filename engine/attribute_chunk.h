// The attributes of one chunk of rows: which of them are present, and a column for each attribute
// and type. Owns how a put makes a new chunk from an old one; what codes mean is
// engine/attributes'.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/attribute_column.h"

namespace fovea::engine {

using NumberColumn = Column<double>;
using CodeColumn = Column<std::uint32_t>;

/// By attribute, ascending.
template <typename C>
using Columns = std::vector<std::pair<std::uint32_t, std::shared_ptr<const C>>>;

/// Null: no row of the chunk has the attribute in this type.
template <typename C>
const C* find(const Columns<C>& columns, std::uint32_t attribute) {
  const auto at = std::lower_bound(
      columns.begin(), columns.end(), attribute,
      [](const auto& column, std::uint32_t wanted) { return column.first < wanted; });
  return at != columns.end() && at->first == attribute ? at->second.get() : nullptr;
}

/// Values of some rows: (attribute, entry), in any order.
struct AttributeEntries {
  template <typename C>
  using Of = std::vector<std::pair<std::uint32_t, typename C::Entry>>;

  Of<NumberColumn> numbers;
  Of<CodeColumn> flags;
  Of<CodeColumn> texts;  ///< Lists have an entry for each element; an empty one has code 0.
};

/// Immutable once it is made.
struct AttributeChunk {
  ChunkBits present;
  Columns<NumberColumn> numbers;
  Columns<CodeColumn> flags;
  Columns<CodeColumn> texts;

  std::size_t bytes() const;  ///< Of memory.
};

/// A chunk in which the rows of `removed` are not present, those of `put` are, and either have the
/// `entries` only; columns that none of them touches are shared. `before` may be null: nothing was
/// present; so may the result.
std::shared_ptr<const AttributeChunk> replace(const AttributeChunk* before,
                                              const ChunkBits& removed, const ChunkBits& put,
                                              AttributeEntries entries);

}  // namespace fovea::engine
