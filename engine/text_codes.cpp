// Texts as codes: a hash table that one thread fills while others look into it, and a sorted list
// with a short unsorted tail.
#include "engine/text_codes.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace fovea::engine {
namespace {

constexpr std::size_t kFirstSlots = 16;
/// Unsorted texts are looked at one by one, so there may be a few, and more where there are many to
/// sort them into.
constexpr std::size_t kUnsortedMin = 512;
constexpr std::size_t kUnsortedShare = 64;

}  // namespace

std::string* TextCodes::place(std::uint32_t code) const {
  const std::size_t shifted = (code - 1) / kFirstBlock + 1;
  const auto block = static_cast<std::size_t>(std::bit_width(shifted)) - 1;
  const std::size_t first = kFirstBlock * ((std::size_t{1} << block) - 1);
  return &blocks_[block][code - 1 - first];
}

std::optional<std::uint32_t> TextCodes::find(std::string_view text) const {
  const Table* const table = table_.load(std::memory_order_acquire);
  if (table == nullptr) return std::nullopt;
  for (std::size_t slot = std::hash<std::string_view>{}(text);; ++slot) {
    const std::uint32_t code = table->codes[slot & table->mask].load(std::memory_order_acquire);
    if (code == 0) return std::nullopt;
    if (*place(code) == text) return code;
  }
}

std::uint32_t TextCodes::add(std::string_view text) {
  if (const auto known = find(text)) return *known;
  const std::uint32_t code = size() + 1;
  const std::size_t shifted = (code - 1) / kFirstBlock + 1;
  if (const auto block = static_cast<std::size_t>(std::bit_width(shifted)) - 1; !blocks_[block]) {
    blocks_[block] = std::make_unique<std::string[]>(kFirstBlock << block);
  }
  *place(code) = text;
  if (table_count_ == 0 || 2 * code > tables_[table_count_ - 1]->codes.size()) grow_table();
  // Whoever sees the code in the table sees its text and a size that includes it.
  size_.store(code, std::memory_order_release);
  insert(*tables_[table_count_ - 1], code);
  return code;
}

void TextCodes::insert(Table& table, std::uint32_t code) const {
  std::size_t slot = std::hash<std::string_view>{}(*place(code));
  while (table.codes[slot & table.mask].load(std::memory_order_relaxed) != 0) ++slot;
  table.codes[slot & table.mask].store(code, std::memory_order_release);
}

void TextCodes::grow_table() {
  auto grown = std::make_unique<Table>(kFirstSlots << table_count_);
  for (std::uint32_t code = 1; code <= size(); ++code) insert(*grown, code);
  table_.store(grown.get(), std::memory_order_release);
  tables_[table_count_++] = std::move(grown);
}

std::shared_ptr<const TextCodes::Order> TextCodes::order() const {
  const std::lock_guard lock(mutex_);
  return order_;
}

void TextCodes::settle() {
  const auto sorted = order();
  const std::size_t unsorted = size() - sorted->size();
  if (unsorted <= kUnsortedMin + sorted->size() / kUnsortedShare) return;
  const auto before = [&](std::uint32_t a, std::uint32_t b) { return text(a) < text(b); };
  Order fresh(unsorted);
  for (std::size_t i = 0; i < unsorted; ++i) {
    fresh[i] = static_cast<std::uint32_t>(sorted->size() + i + 1);
  }
  std::sort(fresh.begin(), fresh.end(), before);
  auto merged = std::make_shared<Order>();
  merged->reserve(size());
  auto from = sorted->begin();
  for (const std::uint32_t code : fresh) {
    // By halving: few are new, and looking at a text is what costs.
    const auto to = std::lower_bound(from, sorted->end(), code, before);
    merged->insert(merged->end(), from, to);
    merged->push_back(code);
    from = to;
  }
  merged->insert(merged->end(), from, sorted->end());
  const std::lock_guard lock(mutex_);
  order_ = std::move(merged);
}

std::vector<std::uint8_t> TextCodes::matching(const Filter::Comparison& comparison) const {
  const auto sorted = order();  // first, so that what is not in it is within the size
  const std::uint32_t count = size();
  std::vector<std::uint8_t> verdicts(count + std::size_t{1}, 0);
  if (comparison.test == Filter::Test::kEqual) {
    for (const Filter::Value& value : comparison.values) {
      const auto* const wanted = std::get_if<std::string>(&value);
      const auto code = wanted == nullptr ? std::nullopt : find(*wanted);
      if (code && *code <= count) verdicts[*code] = 1;
    }
    return verdicts;
  }
  const bool low_half =
      comparison.test == Filter::Test::kLess || comparison.test == Filter::Test::kLessOrEqual;
  const auto middle = std::partition_point(sorted->begin(), sorted->end(), [&](std::uint32_t code) {
    return holds(comparison, std::string_view(text(code))) == low_half;
  });
  const bool few_before = middle - sorted->begin() < sorted->end() - middle;
  // The smaller part is written code by code, the other one at once.
  const std::uint8_t before = low_half ? 1 : 0;
  const std::uint8_t after = 1 - before;
  std::fill(verdicts.begin() + 1, verdicts.end(), few_before ? after : before);
  if (few_before) {
    for (auto code = sorted->begin(); code != middle; ++code) verdicts[*code] = before;
  } else {
    for (auto code = middle; code != sorted->end(); ++code) verdicts[*code] = after;
  }
  for (auto code = static_cast<std::uint32_t>(sorted->size()) + 1; code <= count; ++code) {
    verdicts[code] = holds(comparison, std::string_view(text(code))) ? 1 : 0;
  }
  return verdicts;
}

std::size_t TextCodes::bytes() const {
  std::size_t sum = sizeof(*this) + order()->capacity() * sizeof(std::uint32_t);
  for (std::uint32_t code = 1; code <= size(); ++code) {
    const std::string& held = text(code);
    const bool in_place = held.capacity() <= std::string().capacity();
    sum += sizeof(std::string) + (in_place ? 0 : held.capacity() + 1);
  }
  const Table* const table = table_.load(std::memory_order_acquire);
  if (table != nullptr) sum += 2 * table->codes.size() * sizeof(std::uint32_t);
  return sum;
}

}  // namespace fovea::engine
