// Filter expressions: whatever the bytes, they are refused with a sentence, or they are a filter
// whose text parses to the same text, and whose matches among a few items are those of the plain
// evaluator. The items' attributes are named as those of the seeds.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/attributes.h"
#include "engine/filter.h"
#include "engine/request.h"
#include "tests/plain_filter.h"

namespace {

using fovea::engine::Attributes;
using fovea::engine::Filter;
using fovea::engine::InvalidRequest;
using fovea::storage::Item;
using Texts = std::vector<std::string>;

const std::array<Item, 8> kItems = {{
    {.attributes = {{"n", 1.0}, {"t", "a"}, {"flag", true}, {"tags", Texts{"short", "b"}}}},
    {.attributes = {{"n", -1500.0}, {"t", "b"}, {"flag", false}, {"tags", Texts{}}}},
    {.attributes = {{"n", 0.0}, {"t", ""}, {"a", "it's \"so\""}, {"year", 1990.0}}},
    {.attributes = {{"n", "1"}, {"t", 1.0}, {"genre", "Comedy"}, {"award", true}}},
    {.attributes = {{"genre", Texts{"Comedy", "Drama"}}, {"year", 1989.5}, {"größe", "x"}}},
    {.attributes = {{"a`b c", "it"}, {"n", Texts{"1", "2"}}, {"a", -1.5e3}}},
    {},
    {.attributes = {{"n", 1e300}, {"t", "ä"}, {"tags", Texts{"silent"}}}},
}};

/// Every item once, with a chunk's border between them.
struct Filled {
  Attributes attributes;
  std::array<std::uint32_t, 8> rows = {0, 1, 2, 63, 64, 4095, 4096, 5000};
  Filled() {
    std::vector<const Item*> items;
    for (const Item& item : kItems) items.push_back(&item);
    attributes.put(rows, items);
  }
};

void check(const Filter& filter) {
  static const Filled kFilled;
  const auto matching = kFilled.attributes.matching(filter);
  std::size_t count = 0;
  for (std::size_t i = 0; i < kItems.size(); ++i) {
    const bool expected = fovea::engine::plain_matches(filter, kItems[i].attributes);
    if (matching.contains(kFilled.rows[i]) != expected) std::abort();
    if (kFilled.attributes.matches(filter, kFilled.rows[i]) != expected) std::abort();
    if (expected) ++count;
  }
  if (matching.count() != count) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto filter = Filter::parse(text, "filter");
    check(filter);
    const std::string canonical = filter.to_string();
    // With spaces and exponents it may have become longer than what is parsed.
    if (canonical.size() > fovea::engine::kFilterBytesMax) return 0;
    try {
      const auto again = Filter::parse(canonical, "filter");
      if (again.to_string() != canonical) std::abort();
      check(again);
    } catch (const InvalidRequest&) {
      std::abort();
    }
  } catch (const InvalidRequest& invalid) {
    if (invalid.field != "filter" || !std::string_view(invalid.what()).starts_with("filter: ")) {
      std::abort();
    }
  }
  return 0;
}
