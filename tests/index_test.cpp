// Claim: an index returns the nearest allowed rows, exactly or nearly so, and its file is whole or
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "index/exact_scan.h"
#include "index/vector_index.h"

namespace fovea::index {
namespace {

using testing::HasSubstr;

struct Vectors {
  std::size_t width = 0;
  std::vector<std::uint32_t> rows;
  std::vector<float> values;
  std::span<const float> at(std::size_t i) const {
    return std::span(values).subspan(i * width, width);
  }
};

// Points about centres, as item vectors lie; rows are spread out and out of order.
Vectors clustered(std::size_t n, std::size_t width, std::size_t clusters, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> centres(clusters * width);
  for (float& value : centres) value = normal(random);
  Vectors result;
  result.width = width;
  for (std::size_t i = 0; i < n; ++i) {
    result.rows.push_back(static_cast<std::uint32_t>((n - i) * 3));
    const std::size_t centre = random() % clusters;
    for (std::size_t k = 0; k < width; ++k) {
      result.values.push_back(centres[centre * width + k] + 0.4F * normal(random));
    }
  }
  return result;
}

std::vector<Neighbour> nearest(const Vectors& vectors, std::span<const float> query, std::size_t k,
                               const RowSet* allow = nullptr) {
  std::vector<Neighbour> all;
  for (std::size_t i = 0; i < vectors.rows.size(); ++i) {
    if (allow != nullptr && !allow->contains(vectors.rows[i])) continue;
    const auto v = vectors.at(i);
    all.push_back({vectors.rows[i], std::inner_product(v.begin(), v.end(), query.begin(), 0.0F)});
  }
  std::ranges::sort(all, std::ranges::greater{}, &Neighbour::score);
  all.resize(std::min(k, all.size()));
  return all;
}

template <typename Allowed>
RowSet rows_below(std::uint32_t end, const Allowed& allowed) {
  RowSet rows(end);
  for (std::uint32_t row = 0; row < end; ++row) {
    if (allowed(row)) rows.insert(row);
  }
  return rows;
}

std::unique_ptr<VectorIndex> exact(const Vectors& v) {
  return build_index(v.rows, v.values, v.width);
}
std::unique_ptr<VectorIndex> approximate(const Vectors& v) {
  return build_index(v.rows, v.values, v.width, {.exact_items_max = 0});
}

void expect_same(const std::vector<Neighbour>& got, const std::vector<Neighbour>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].row, expected[i].row);
    EXPECT_NEAR(got[i].score, expected[i].score, 1e-3);
  }
}

double recall(const VectorIndex& index, const Vectors& data, const Vectors& queries,
              std::size_t k) {
  std::size_t found = 0;
  for (std::size_t q = 0; q < queries.rows.size(); ++q) {
    std::set<std::uint32_t> rows;
    for (const auto& n : index.search(queries.at(q), k, {})) rows.insert(n.row);
    for (const auto& n : nearest(data, queries.at(q), k)) found += rows.count(n.row);
  }
  return static_cast<double>(found) / static_cast<double>(queries.rows.size() * k);
}

TEST(Nearest, KeepsTheBestOfWhatItIsShownTiesByRow) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t n : {0, 5, 127, 128, 700, 6000}) {
    for (const float step : {0.0F, 0.25F}) {  // many that are equal
      std::vector<Neighbour> all;
      for (std::uint32_t row = 0; row < n; ++row) {
        const float score = normal(random) * (row % 7 == 0 ? 1e20F : 1);
        all.push_back({row, step == 0 ? score : step * std::round(score / step)});  // -0 too
      }
      std::ranges::shuffle(all, random);
      auto sorted = all;
      std::ranges::sort(sorted, {},
                        [](const Neighbour& one) { return std::pair(-one.score, one.row); });
      for (const std::size_t k : {0, 1, 60, 500, 10'000}) {
        Nearest nearest(k);
        for (const Neighbour& one : all) nearest.add(one.row, one.score);
        const auto found = nearest.take();
        ASSERT_EQ(found.size(), std::min(n, k));
        for (std::size_t i = 0; i < found.size(); ++i) {
          ASSERT_EQ(found[i].row, sorted[i].row) << n << ' ' << step << ' ' << k << ' ' << i;
          ASSERT_EQ(found[i].score, sorted[i].score);
        }
      }
    }
  }
}

TEST(ExactIndex, ReturnsTheNearestRowsBestFirst) {
  const Vectors data = clustered(700, 16, 10, 1);
  const auto index = exact(data);
  EXPECT_EQ(index->kind(), "exact");
  EXPECT_EQ(index->size(), 700U);
  EXPECT_EQ(index->width(), 16U);
  for (const std::size_t k : {1, 10, 300, 700}) {
    expect_same(index->search(data.at(k - 1), k, {}), nearest(data, data.at(k - 1), k));
  }
  EXPECT_EQ(index->search(data.at(0), 5000, {}).size(), 700U);
  EXPECT_TRUE(index->search(data.at(0), 0, {}).empty());
}

TEST(ExactIndex, ReturnsOnlyAllowedRows) {
  const Vectors data = clustered(700, 16, 10, 2);
  const auto index = exact(data);
  // Smaller than the greatest row: what lies beyond is not in it.
  const RowSet even = rows_below(1'500, [](std::uint32_t row) { return row % 2 == 0; });
  for (const std::size_t k : {5, 300, 700}) {
    expect_same(index->search(data.at(0), k, &even), nearest(data, data.at(0), k, &even));
  }
  const RowSet none;
  EXPECT_TRUE(index->search(data.at(0), 10, &none).empty());
}

TEST(ExactIndex, OfNothingFindsNothing) {
  const auto index = build_index({}, {}, 8);
  EXPECT_EQ(index->size(), 0U);
  EXPECT_TRUE(index->search(std::vector<float>(8), 10, {}).empty());
}

TEST(ApproximateIndex, FindsNearlyAllOfTheNearestHundred) {
  const Vectors data = clustered(40'000, 32, 400, 3);
  const Vectors queries = clustered(50, 32, 400, 3);
  IndexOptions options;
  options.exact_items_max = 39'999;
  const auto index = build_index(data.rows, data.values, data.width, options);
  ASSERT_EQ(index->kind(), "ivf-sq8");
  EXPECT_EQ(index->size(), 40'000U);
  const double found = recall(*index, data, queries, 100);
  RecordProperty("recall@100", std::to_string(found));
  EXPECT_GE(found, 0.95);

  const auto file = testing::TempDir() + "recall.faiss";
  index->save(file);
  options.probes = 1;
  EXPECT_LT(recall(*load_index(file, options), data, queries, 100), found)
      << "the number of probes has no effect";
  std::filesystem::remove(file);
}

TEST(ApproximateIndex, ReturnsOnlyAllowedRows) {
  const Vectors data = clustered(2000, 16, 20, 4);
  const auto index = approximate(data);
  const RowSet fifth = rows_below(6'001, [](std::uint32_t row) { return row % 5 == 0; });
  const auto found = index->search(data.at(5), 100, &fifth);
  EXPECT_EQ(found.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(found, std::ranges::greater{}, &Neighbour::score));
  for (const auto& n : found) EXPECT_EQ(n.row % 5, 0U);
  const RowSet none;
  EXPECT_TRUE(index->search(data.at(0), 10, &none).empty());
  // Fewer than asked for: what there is, wherever it lies, and nothing made up.
  for (const std::uint32_t only : data.rows) {
    const RowSet one = rows_below(6'001, [&](std::uint32_t row) { return row == only; });
    ASSERT_EQ(index->search(data.at(0), 100, &one).size(), 1U);
  }
}

TEST(ApproximateIndex, IsTheSameForTheSameSeed) {
  const Vectors data = clustered(3000, 16, 30, 5);
  const auto a = approximate(data), b = approximate(data);
  for (std::size_t q = 0; q < 20; ++q) {
    const auto x = a->search(data.at(q), 20, {}), y = b->search(data.at(q), 20, {});
    ASSERT_EQ(x.size(), y.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(x[i].row, y[i].row);
      EXPECT_EQ(x[i].score, y[i].score);
    }
  }
}

TEST(ApproximateIndex, OfFewOrEqualVectorsWorks) {
  for (const std::size_t n : {1, 2, 17}) {
    const Vectors few = clustered(n, 4, 1, 6);
    EXPECT_EQ(approximate(few)->search(few.at(0), 50, {}).size(), n);
  }
  Vectors equal = clustered(300, 4, 1, 7);
  std::ranges::fill(equal.values, 1.0F);
  const auto found = approximate(equal)->search(equal.at(0), 10, {});
  ASSERT_EQ(found.size(), 10U);
  EXPECT_NEAR(found[0].score, 4, 0.05);
  std::ranges::fill(equal.values, 0.0F);
  EXPECT_EQ(approximate(equal)->search(equal.at(0), 10, {}).size(), 10U);
}

TEST(VectorIndex, IsSearchedByManyThreadsAtOnce) {
  const Vectors data = clustered(2000, 16, 20, 8);
  for (const auto& index : {exact(data), approximate(data)}) {
    std::vector<std::vector<Neighbour>> expected;
    for (std::size_t q = 0; q < 20; ++q) expected.push_back(index->search(data.at(q), 10, {}));
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (std::size_t q = 0; q < 20; ++q)
          expect_same(index->search(data.at(q), 10, {}), expected[q]);
      });
    }
  }
}

TEST(VectorIndex, RefusesSizesThatDoNotFit) {
  const std::vector<std::uint32_t> rows = {1, 2};
  EXPECT_THROW(build_index(rows, std::vector<float>(7), 4), std::invalid_argument);
  EXPECT_THROW(build_index(rows, {}, 0), std::invalid_argument);
  const auto index = build_index(rows, std::vector<float>(8), 4);
  EXPECT_THROW(index->search(std::vector<float>(3), 1, {}), std::invalid_argument);
}

// From vectors that lie elsewhere: the same index, from never more than a sample at once.
TEST(VectorIndex, IsBuiltFromCopiesOfSomeVectorsAtATime) {
  const Vectors data = clustered(20'000, 8, 40, 11);
  std::map<std::uint32_t, std::size_t> number;
  for (std::size_t i = 0; i < data.rows.size(); ++i) number[data.rows[i]] = i;
  std::size_t most = 0;
  const VectorsOf copy = [&](std::span<const std::uint32_t> rows, std::span<float> out) {
    most = std::max(most, rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::ranges::copy(data.at(number.at(rows[i])),
                        out.begin() + static_cast<std::ptrdiff_t>(8 * i));
    }
  };
  for (const std::size_t exact_items_max : {0U, 50'000U}) {
    const IndexOptions options{.exact_items_max = exact_items_max};
    most = 0;
    const auto index = build_index(data.rows, copy, 8, options, 1, {});
    EXPECT_LE(most, exact_items_max == 0 ? 20'000U : 4'096U);
    const auto expected = build_index(data.rows, data.values, 8, options);
    EXPECT_EQ(index->kind(), expected->kind());
    for (std::size_t q = 0; q < 20; ++q) {
      expect_same(index->search(data.at(q), 50, {}), expected->search(data.at(q), 50, {}));
    }
  }
  int blocks = 0;
  EXPECT_EQ(build_index(data.rows, copy, 8, {}, 1, [&] { return ++blocks < 3; }), nullptr);
  EXPECT_EQ(blocks, 3);
}

TEST(VectorIndex, NamesTheFaissItRunsOn) {
  EXPECT_THAT(faiss_build(), testing::MatchesRegex("Faiss [0-9]+\\.[0-9]+\\.[0-9]+, .+\\(.+\\)"));
}

class IndexFile : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { std::filesystem::remove(file_); }
  void TearDown() override { std::filesystem::remove(file_); }
  std::unique_ptr<VectorIndex> build(const Vectors& data) const {
    return GetParam() ? approximate(data) : exact(data);
  }
  std::string read() const {
    std::ifstream in(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& bytes) const {
    std::filesystem::remove(file_);  // faster than truncating, which waits for the disk
    std::ofstream(file_, std::ios::binary) << bytes;
  }
  void expect_refused() const {
    try {
      load_index(file_);
      ADD_FAILURE() << "was not refused";
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr(file_.string()));
    }
  }
  std::filesystem::path file_ =
      testing::TempDir() + (GetParam() ? "approximate" : "exact") + ".faiss";
};

TEST_P(IndexFile, GivesTheSameIndexBack) {
  const Vectors data = clustered(1500, 16, 20, 9);
  const auto index = build(data);
  index->save(file_);
  const auto back = load_index(file_);
  EXPECT_EQ(back->kind(), index->kind());
  EXPECT_EQ(back->size(), index->size());
  EXPECT_EQ(back->width(), index->width());
  EXPECT_TRUE(std::ranges::equal(back->rows(), index->rows()));
  for (std::size_t q = 0; q < 20; ++q) {
    expect_same(back->search(data.at(q), 30, {}), index->search(data.at(q), 30, {}));
  }
}

TEST_P(IndexFile, IsRefusedWhereverItIsCutOrChanged) {
  build(clustered(20, 3, 2, 10))->save(file_);
  const std::string whole = read();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    write(whole.substr(0, at));
    expect_refused();
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    write(changed);
    expect_refused();
  }
  write(whole + "x");
  expect_refused();
}

TEST_P(IndexFile, IsRefusedWhenItIsAnotherThing) {
  expect_refused();
  write("");
  expect_refused();
  write("IxFI, and then nothing that an index has");
  expect_refused();
  write(std::string(4096, '\xFF'));
  expect_refused();
  EXPECT_THROW(exact(clustered(5, 3, 1, 1))->save(file_ / "below_a_file"), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(, IndexFile, testing::Bool(), [](const auto& instance) {
  return instance.param ? "Approximate" : "Exact";
});

}  // namespace
}  // namespace fovea::index
