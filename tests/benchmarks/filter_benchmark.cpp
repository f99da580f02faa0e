// What a filter costs over a catalogue of 200,000 items with 8 attributes each, on one core: the
// median and the 99th percentile of Attributes::matching() for each shape, the share of items it
// leaves, what a put costs, and the memory of an item. Prints a table.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "engine/attributes.h"

namespace {

using fovea::engine::Attributes;
using fovea::engine::Filter;
using fovea::storage::Item;

constexpr std::uint32_t kItems = 200'000;
constexpr std::uint64_t kSeed = 1;
constexpr int kRepetitions = 2'000;

/// Three numbers, a text of few and two of many values (one sorted like dates), a flag, a list.
Item made(std::uint32_t row, std::mt19937_64& random) {
  static constexpr std::array kGenres = {"Action",   "Comedy",  "Crime",    "Drama", "Fantasy",
                                         "Horror",   "Mystery", "Romance",  "SciFi", "Sport",
                                         "Thriller", "Western", "Animation"};
  const auto below = [&](std::uint64_t n) { return random() % n; };
  std::vector<std::string> tags;
  // Half of the tags are of twenty that are everywhere, half of a thousand.
  for (auto n = below(6); n > 0; --n) {
    tags.push_back("tag" + std::to_string(below(2) == 0 ? below(20) : 20 + below(1000)));
  }
  char released[16];
  std::snprintf(released, sizeof(released), "%04d-%02d-%02d", 1980 + static_cast<int>(below(45)),
                1 + static_cast<int>(below(12)), 1 + static_cast<int>(below(28)));
  return {.attributes = {{"year", 1950.0 + static_cast<double>(below(75))},
                         {"price", static_cast<double>(below(100'000)) / 100},
                         {"rating", static_cast<double>(below(50)) / 10},
                         {"genre", std::string(kGenres[below(kGenres.size())])},
                         {"sku", "sku-" + std::to_string(1'000'000 + row)},
                         {"released", std::string(released)},
                         {"available", below(10) != 0},
                         {"tags", tags}}};
}

struct Shape {
  const char* name;
  std::string filter;
};

std::string many(const char* attribute, const char* prefix, int count, int step) {
  std::string text = std::string(attribute) + " in (";
  for (int i = 0; i < count; ++i) {
    text +=
        (i == 0 ? "'" : ",'") + std::string(prefix) + std::to_string(1'000'000 + i * step) + "'";
  }
  return text + ")";
}

std::vector<Shape> shapes() {
  const std::string numbers =
      "year in (1950, 1955, 1960, 1965, 1970, 1975, 1980, 1985, 1990, 1995, 2000, 2005, 2010, 2015,"
      " 2020, 2021, 2022, 2023, 2024, 2025)";
  return {
      {"1: number range", "year >= 1990"},
      {"1: number = value", "year = 1999"},
      {"1: text of few values", "genre = 'Comedy'"},
      {"1: text of many values", "sku = 'sku-1123456'"},
      {"1: flag", "available = true"},
      {"1: list, common tag", "tags = 'tag7'"},
      {"1: list, rare tag", "tags = 'tag777'"},
      {"1: has", "has(tags)"},
      {"1: order of few texts", "genre < 'Drama'"},
      {"1: order of dates", "released >= '2010-01-01'"},
      {"1: order of many texts", "sku < 'sku-1100000'"},
      {"1: order of a list", "tags < 'tag5'"},
      {"1: in, 20 numbers", numbers},
      {"1: in, 5 tags", "tags in ('tag1', 'tag5', 'tag50', 'tag500', 'tag1000')"},
      {"1: in, 200 texts", many("sku", "sku-", 200, 997)},
      {"2: text and number", "genre = 'Comedy' and year >= 1990"},
      {"2: text or not number", "genre = 'Comedy' or not price < 100"},
      {"3: number range and flag", "price >= 10 and price < 50 and available = true"},
      {"4: of each type",
       "genre in ('Comedy', 'Drama') and year >= 1990 and tags = 'tag3' and available = true"},
      {"4: numbers", "year >= 1990 and year < 2000 and price < 500 and rating > 2.5"},
      {"4: orders of many texts",
       "sku >= 'sku-1050000' and sku < 'sku-1150000' and released >= '1990-01-01' and "
       "released < '2010-01-01'"},
      {"4: lists", "tags = 'tag1' or tags = 'tag2' or tags = 'tag300' or tags = 'tag900'"},
      {"4: lists, in",
       "tags in ('tag1','tag2','tag30','tag31','tag32','tag33') or "
       "tags in ('tag3','tag4','tag40','tag41','tag42','tag43') or "
       "tags in ('tag5','tag6','tag50','tag51','tag52','tag53') or "
       "tags in ('tag7','tag8','tag60','tag61','tag62','tag63')"},
  };
}

struct Times {
  double p50_us = 0;
  double p99_us = 0;
};

/// Of this thread, so that other programs on the machine do not count.
double processor_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

template <typename Call>
Times measure(int repetitions, const Call& call) {
  std::vector<double> us;
  for (int i = 0; i < repetitions + repetitions / 10; ++i) {
    const double start = processor_us();
    call(i);
    const double taken = processor_us() - start;
    if (i >= repetitions / 10) us.push_back(taken);  // the first tenth warms up
  }
  std::sort(us.begin(), us.end());
  return {us[us.size() / 2], us[us.size() * 99 / 100]};
}

}  // namespace

int main() {
  std::mt19937_64 random(kSeed);
  std::vector<std::uint32_t> rows;
  std::vector<Item> items;
  for (std::uint32_t row = 0; row < kItems; ++row) {
    rows.push_back(row);
    items.push_back(made(row, random));
  }
  std::vector<const Item*> pointers;
  for (const Item& item : items) pointers.push_back(&item);
  Attributes attributes;
  const double start = processor_us();
  attributes.put(rows, pointers);
  const double filled_us = processor_us() - start;
  std::printf("%u items of 8 attributes, seed %llu: %.2f s to fill, %.1f bytes per item\n", kItems,
              static_cast<unsigned long long>(kSeed), 1e-6 * filled_us,
              static_cast<double>(attributes.bytes()) / kItems);

  std::printf("%-28s %10s %10s %9s\n", "comparisons: filter", "p50, us", "p99, us", "leaves");
  for (const Shape& shape : shapes()) {
    const auto filter = Filter::parse(shape.filter, "filter");
    std::size_t count = 0;
    const Times times =
        measure(kRepetitions, [&](int) { count = attributes.matching(filter).rows(); });
    count = attributes.matching(filter).count();
    std::printf("%-28s %10.1f %10.1f %8.2f%%\n", shape.name, times.p50_us, times.p99_us,
                100.0 * static_cast<double>(count) / kItems);
  }

  const auto filter = Filter::parse(shapes()[18].filter, "filter");
  std::vector<std::uint32_t> asked(500);
  for (std::uint32_t& row : asked) row = static_cast<std::uint32_t>(random() % kItems);
  const auto print = [](const char* name, const Times& times) {
    std::printf("%-28s %10.1f %10.1f\n", name, times.p50_us, times.p99_us);
  };
  print("parse, 4 comparisons", measure(kRepetitions, [&](int i) {
          Filter::parse(shapes()[18 + static_cast<std::size_t>(i) % 2].filter, "filter");
        }));
  print("matches, 4 of 500 rows",
        measure(kRepetitions, [&](int) { attributes.matches(filter, asked); }));
  print("values, tags of 500 rows", measure(kRepetitions, [&](int) {
          for (const std::uint32_t row : asked) attributes.values(row, "tags");
        }));
  print("put of one item", measure(kRepetitions / 4, [&](int) {
          const auto at = static_cast<std::uint32_t>(random() % kItems);
          attributes.put({&at, 1}, {&pointers[random() % kItems], 1});
        }));
}
