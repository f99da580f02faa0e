// Attributes: a writer makes new chunks and publishes them, readers walk what is published.
#include "engine/attributes.h"

#include <algorithm>
#include <bit>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>

namespace fovea::engine {
namespace {

constexpr std::uint32_t kFalseCode = 1;
constexpr std::uint32_t kTrueCode = 2;
/// Comparing with so many codes is faster than looking up a verdict for each row.
constexpr std::size_t kCodesComparedMax = 8;

std::uint32_t flag_code(bool flag) { return flag ? kTrueCode : kFalseCode; }

/// Postfix over whatever stands for a verdict: `compare` makes one, the others change the first of
/// theirs in place.
template <typename Verdict, typename Compare, typename Not, typename And, typename Or>
void walk(const Filter& filter, std::vector<Verdict>& stack, const Compare& compare,
          const Not& negate, const And& both, const Or& either) {
  std::size_t size = 0;
  std::size_t comparison = 0;
  for (const Filter::Step step : filter.steps()) {
    switch (step) {
      case Filter::Step::kCompare:
        compare(comparison++, stack[size++]);
        break;
      case Filter::Step::kNot:
        negate(stack[size - 1]);
        break;
      case Filter::Step::kAnd:
        --size;
        both(stack[size - 1], stack[size]);
        break;
      case Filter::Step::kOr:
        --size;
        either(stack[size - 1], stack[size]);
        break;
    }
  }
}

}  // namespace

/// What one call reads.
struct Attributes::State {
  std::size_t rows = 0;                                       // the highest ever put + 1
  std::vector<std::shared_ptr<const AttributeChunk>> chunks;  // null: no row of it is present
  /// By attribute, those that were there when it was made; null: it had no text.
  std::shared_ptr<const std::vector<const TextCodes*>> texts =
      std::make_shared<const std::vector<const TextCodes*>>();

  /// Null: the row is not present.
  const AttributeChunk* chunk_of(std::uint32_t row) const {
    const std::size_t at = row / kChunkRows;
    const AttributeChunk* const chunk = at < chunks.size() ? chunks[at].get() : nullptr;
    return chunk != nullptr && chunk->present.contains(row % kChunkRows) ? chunk : nullptr;
  }
  const TextCodes* texts_of(std::uint32_t attribute) const {
    return attribute < texts->size() ? (*texts)[attribute] : nullptr;
  }
};

Attributes::Attributes() : state_(std::make_shared<const State>()) {}
Attributes::~Attributes() = default;

std::shared_ptr<const Attributes::State> Attributes::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void Attributes::put(std::span<const std::uint32_t> rows,
                     std::span<const storage::Item* const> items) {
  if (rows.size() != items.size()) throw std::logic_error("put: one item for each row is expected");
  std::vector<Change> changes;
  for (std::size_t i = 0; i < rows.size(); ++i) changes.push_back({rows[i], i, items[i]});
  apply(std::move(changes));
}

void Attributes::remove(std::span<const std::uint32_t> rows) {
  std::vector<Change> changes;
  for (const std::uint32_t row : rows) changes.push_back({.row = row});
  apply(std::move(changes));
}

void Attributes::apply(std::vector<Change> changes) {
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return std::tie(a.row, a.place) < std::tie(b.row, b.place);
  });
  const std::lock_guard lock(writing_);
  auto next = std::make_shared<State>(*state());
  for (auto first = changes.begin(); first != changes.end();) {
    const std::size_t chunk = first->row / kChunkRows;
    auto last = first;
    for (; last != changes.end() && last->row / kChunkRows == chunk; ++last) {
      if (last->item) next->rows = std::max(next->rows, std::size_t{last->row} + 1);
    }
    next->chunks.resize(std::max(next->chunks.size(), (next->rows + kChunkRows - 1) / kChunkRows));
    if (chunk < next->chunks.size()) {
      next->chunks[chunk] = changed(next->chunks[chunk].get(), {first, last});
    }
    first = last;
  }
  const auto is_known = [](const TextCodes* known, const auto& held) {
    return known == held.get();
  };
  if (!std::equal(next->texts->begin(), next->texts->end(), texts_.begin(), texts_.end(),
                  is_known)) {
    std::vector<const TextCodes*> texts;
    for (const auto& held : texts_) texts.push_back(held.get());
    next->texts = std::make_shared<const std::vector<const TextCodes*>>(std::move(texts));
  }
  for (const auto& held : texts_) {
    if (held) held->settle();
  }
  std::shared_ptr<const State> published = std::move(next);
  const std::lock_guard swap(mutex_);
  state_.swap(published);
}

std::shared_ptr<const AttributeChunk> Attributes::changed(const AttributeChunk* before,
                                                          std::span<const Change> changes) {
  ChunkBits removed;
  ChunkBits put;
  AttributeEntries entries;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const Change& change = changes[i];
    if (i + 1 < changes.size() && changes[i + 1].row == change.row) continue;  // the last counts
    const auto offset = static_cast<std::uint16_t>(change.row % kChunkRows);
    (change.item ? put : removed).insert(offset);
    if (change.item) add_entries(*change.item, offset, entries);
  }
  return replace(before, removed, put, std::move(entries));
}

void Attributes::add_entries(const storage::Item& item, std::uint16_t offset,
                             AttributeEntries& entries) {
  for (const auto& [name, value] : item.attributes) {
    const std::uint32_t attribute = names_.add(name);
    if (const auto* number = std::get_if<double>(&value)) {
      entries.numbers.push_back({attribute, {offset, *number + 0.0}});  // -0 as the 0 it equals
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      entries.flags.push_back({attribute, {offset, flag_code(*flag)}});
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      entries.texts.push_back({attribute, {offset, texts_of(attribute).add(*text)}});
    } else {
      std::set<std::uint32_t> codes;
      for (const auto& each : std::get<std::vector<std::string>>(value)) {
        codes.insert(texts_of(attribute).add(each));
      }
      if (codes.empty()) codes.insert(0);
      for (const std::uint32_t code : codes) entries.texts.push_back({attribute, {offset, code}});
    }
  }
}

TextCodes& Attributes::texts_of(std::uint32_t attribute) {
  if (attribute >= texts_.size()) texts_.resize(attribute + std::size_t{1});
  if (!texts_[attribute]) texts_[attribute] = std::make_unique<TextCodes>();
  return *texts_[attribute];
}

namespace {

/// A comparison in the terms of columns. Made after the state was taken: what is found in the
/// dictionaries then includes every text of the state.
struct Resolved {
  Filter::Test test = Filter::Test::kHas;
  std::uint32_t attribute = 0;  // 0: no item ever had it
  NumberTest numbers;
  CodeTest flags;
  CodeTest texts;

  Resolved(const Filter::Comparison& comparison, std::uint32_t of_attribute, const TextCodes* known)
      : test(comparison.test), attribute(of_attribute), numbers(comparison) {
    std::size_t text_count = 0;
    for (const Filter::Value& value : comparison.values) {
      if (const auto* flag = std::get_if<bool>(&value)) flags.codes.push_back(flag_code(*flag));
      if (std::holds_alternative<std::string>(value)) ++text_count;
    }
    if (text_count == 0 || known == nullptr) return;
    if (test != Filter::Test::kEqual || text_count > kCodesComparedMax) {
      texts.verdicts = known->matching(comparison);
      return;
    }
    for (const Filter::Value& value : comparison.values) {
      const auto* const text = std::get_if<std::string>(&value);
      if (const auto code = text ? known->find(*text) : std::nullopt) texts.codes.push_back(*code);
    }
  }

  void select(const AttributeChunk& chunk, ChunkBits& out) const {
    out = {};
    select_in(chunk.numbers, numbers, out);
    select_in(chunk.flags, flags, out);
    select_in(chunk.texts, texts, out);
  }

  template <typename C>
  void select_in(const Columns<C>& columns, const typename C::Test& values, ChunkBits& out) const {
    const C* const column = find(columns, attribute);
    if (column == nullptr) return;
    test == Filter::Test::kHas ? column->select_present(out) : column->select(values, out);
  }
};

/// Whether the comparison holds for one row. `known` has the texts of the attribute.
bool holds_in(const AttributeChunk& chunk, std::uint16_t offset, std::uint32_t attribute,
              const Filter::Comparison& comparison, const TextCodes* known) {
  const bool asks_presence = comparison.test == Filter::Test::kHas;
  bool held = false;
  if (const auto* column = find(chunk.numbers, attribute)) {
    column->visit(offset, [&](double x) { held |= asks_presence || holds(comparison, x); });
  }
  if (const auto* column = find(chunk.flags, attribute)) {
    column->visit(offset, [&](std::uint32_t code) {
      held |= asks_presence || holds(comparison, code == kTrueCode);
    });
  }
  if (const auto* column = find(chunk.texts, attribute)) {
    if (asks_presence) return held || column->has(offset);
    column->visit(offset, [&](std::uint32_t code) {
      held = held || holds(comparison, std::string_view(known->text(code)));
    });
  }
  return held;
}

}  // namespace

index::RowSet Attributes::matching(const Filter& filter) const {
  const auto seen = state();
  std::vector<Resolved> resolved;
  for (const Filter::Comparison& comparison : filter.comparisons()) {
    const std::uint32_t attribute = names_.find(comparison.attribute).value_or(0);
    resolved.emplace_back(comparison, attribute, seen->texts_of(attribute));
  }
  index::RowSet rows(seen->rows);
  std::vector<ChunkBits> stack(filter.stack_max());
  for (std::size_t c = 0; c < seen->chunks.size(); ++c) {
    const AttributeChunk* const chunk = seen->chunks[c].get();
    if (chunk == nullptr) continue;
    walk(
        filter, stack,
        [&](std::size_t comparison, ChunkBits& out) { resolved[comparison].select(*chunk, out); },
        [](ChunkBits& a) {
          for (std::uint64_t& word : a.words) word = ~word;
        },
        [](ChunkBits& a, const ChunkBits& b) {
          for (std::size_t w = 0; w < a.words.size(); ++w) a.words[w] &= b.words[w];
        },
        [](ChunkBits& a, const ChunkBits& b) {
          for (std::size_t w = 0; w < a.words.size(); ++w) a.words[w] |= b.words[w];
        });
    const auto words = rows.words().subspan(c * (kChunkRows / 64));
    for (std::size_t w = 0; w < std::min(words.size(), kChunkRows / 64); ++w) {
      words[w] = stack.front().words[w] & chunk->present.words[w];
    }
  }
  return rows;
}

std::vector<std::uint8_t> Attributes::matches(const Filter& filter,
                                              std::span<const std::uint32_t> rows) const {
  const auto seen = state();
  std::vector<std::uint32_t> attributes;
  for (const Filter::Comparison& comparison : filter.comparisons()) {
    attributes.push_back(names_.find(comparison.attribute).value_or(0));
  }
  std::vector<std::uint8_t> result(rows.size(), 0);
  std::vector<std::uint8_t> stack(filter.stack_max());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const AttributeChunk* const chunk = seen->chunk_of(rows[i]);
    if (chunk == nullptr) continue;
    const auto offset = static_cast<std::uint16_t>(rows[i] % kChunkRows);
    walk(
        filter, stack,
        [&](std::size_t at, std::uint8_t& out) {
          out = holds_in(*chunk, offset, attributes[at], filter.comparisons()[at],
                         seen->texts_of(attributes[at]));
        },
        [](std::uint8_t& a) { a ^= 1; }, [](std::uint8_t& a, std::uint8_t b) { a &= b; },
        [](std::uint8_t& a, std::uint8_t b) { a |= b; });
    result[i] = stack.front();
  }
  return result;
}

bool Attributes::matches(const Filter& filter, std::uint32_t row) const {
  return matches(filter, std::span(&row, 1)).front() != 0;
}

std::vector<AttributeKey> Attributes::values(std::uint32_t row, std::string_view attribute) const {
  const auto seen = state();
  std::vector<AttributeKey> keys;
  const AttributeChunk* const chunk = seen->chunk_of(row);
  const auto known = names_.find(attribute);
  if (chunk == nullptr || !known) return keys;
  const auto offset = static_cast<std::uint16_t>(row % kChunkRows);
  using Type = AttributeKey::Type;
  const auto add = [&](const auto* column, Type type) {
    if (column == nullptr) return;
    column->visit(offset, [&](auto value) {
      if constexpr (std::is_same_v<decltype(value), double>) {
        keys.push_back({type, std::bit_cast<std::uint64_t>(value)});
      } else {
        keys.push_back({type, value});
      }
    });
  };
  add(find(chunk->numbers, *known), Type::kNumber);
  add(find(chunk->flags, *known), Type::kFlag);
  add(find(chunk->texts, *known), Type::kText);
  return keys;
}

std::size_t Attributes::bytes() const {
  const auto seen = state();
  std::size_t sum = sizeof(*this) + names_.bytes();
  for (const TextCodes* texts : *seen->texts) {
    sum += sizeof(TextCodes*) + (texts ? texts->bytes() : 0);
  }
  for (const auto& chunk : seen->chunks) sum += sizeof(chunk) + (chunk ? chunk->bytes() : 0);
  return sum;
}

void put_all(const storage::Catalog& catalog, Attributes& attributes) {
  std::vector<std::uint32_t> rows;
  std::vector<storage::Item> items;
  const auto put = [&] {
    std::vector<const storage::Item*> pointers;
    for (const storage::Item& item : items) pointers.push_back(&item);
    attributes.put(rows, pointers);
    rows.clear();
    items.clear();
  };
  catalog.for_each([&](const storage::StoredItem& item) {
    // Rows come in order: a chunk at a time is made once.
    if (!rows.empty() && rows.front() / kChunkRows != item.row / kChunkRows) put();
    rows.push_back(item.row);
    items.push_back({.attributes = item.attributes});
  });
  put();
}

}  // namespace fovea::engine
