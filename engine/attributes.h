// What filters, boosts and caps look at: the attributes of the present items in memory, by row.
// Owns which rows a filter leaves; the items themselves are storage's.
//
// Rows are cut into chunks of 4,096 and each chunk holds a column for each attribute and type that
// occurs in it. A put copies the columns of the chunks it touches and then swaps one pointer.
// Memory follows what the present items hold, but for one thing: names of attributes and texts stay
// known under their codes after the last item that had them, until the next start.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "engine/attribute_chunk.h"
#include "engine/filter.h"
#include "engine/text_codes.h"
#include "index/row_set.h"
#include "storage/catalog.h"

namespace fovea::engine {

/// One value of an attribute: equal where type and value are. Means something only beside others of
/// the same attribute and the same Attributes.
struct AttributeKey {
  enum class Type : std::uint8_t { kNumber, kFlag, kText };
  Type type = Type::kNumber;
  std::uint64_t bits = 0;

  friend auto operator<=>(const AttributeKey&, const AttributeKey&) = default;
};

/// Thread-safe: each call reads one immutable state and never waits for a writer; a put or a
/// removal is seen whole or not at all.
class Attributes {
 public:
  Attributes();
  ~Attributes();
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  /// The rows are present with these attributes and no others; of a row given twice the last
  /// counts. Items are as validate() lets them pass; one for each row. Costs a copy of the chunks
  /// of these rows, so that many rows at once are cheaper.
  void put(std::span<const std::uint32_t> rows, std::span<const storage::Item* const> items);
  /// The rows are not present any more; those that were not stay so.
  void remove(std::span<const std::uint32_t> rows);

  /// The present rows that match, of rows up to the highest ever put.
  index::RowSet matching(const Filter& filter) const;
  /// By row: 1 where it is present and matches. Cheaper than matching() for a few hundred rows.
  std::vector<std::uint8_t> matches(const Filter& filter,
                                    std::span<const std::uint32_t> rows) const;
  bool matches(const Filter& filter, std::uint32_t row) const;

  /// The row's values of one attribute, of a list each distinct text; empty: it has none.
  std::vector<AttributeKey> values(std::uint32_t row, std::string_view attribute) const;

  std::size_t bytes() const;  ///< Of memory, roughly. Walks everything: for reports.

 private:
  struct State;
  /// A row and what becomes of it.
  struct Change {
    std::uint32_t row = 0;
    std::size_t place = 0;                // among the changes of a call
    const storage::Item* item = nullptr;  // null: removed
  };

  void apply(std::vector<Change> changes);
  std::shared_ptr<const AttributeChunk> changed(const AttributeChunk* before,
                                                std::span<const Change> changes);
  void add_entries(const storage::Item& item, std::uint16_t offset, AttributeEntries& entries);
  TextCodes& texts_of(std::uint32_t attribute);
  std::shared_ptr<const State> state() const;

  TextCodes names_;                                // of attributes
  std::mutex writing_;                             // one writer at a time
  std::vector<std::unique_ptr<TextCodes>> texts_;  // by attribute, the writer's; null: never a text
  mutable std::mutex mutex_;                       // guards the pointer only
  std::shared_ptr<const State> state_;
};

/// Puts every item of the catalogue. To be called before the first other put: an item that is put
/// meanwhile may be overwritten by an older one.
void put_all(const storage::Catalog& catalog, Attributes& attributes);

}  // namespace fovea::engine
