// Claim: an index that knows no filters answers filtered searches as exact search does, however few
// a filter leaves and however little one fetch may hold; and what it asks for stays within the
// limits.
#include "index/widening.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <stdexcept>

#include "index/live_index.h"

namespace fovea::index {
namespace {

using testing::Each;
using testing::Ge;
using testing::IsEmpty;
using testing::Le;
using testing::SizeIs;

constexpr std::size_t kWidth = 8;

std::vector<float> random_values(std::size_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

// Row 3 i + 1 for vector number i.
std::vector<std::uint32_t> some_rows(std::size_t n) {
  std::vector<std::uint32_t> rows(n);
  for (std::size_t i = 0; i < n; ++i) rows[i] = static_cast<std::uint32_t>(3 * i + 1);
  return rows;
}

// Stands for an index on a GPU: exact search without filters within limits. With `lost` it returns
// one neighbour fewer than asked for, as inverted lists do that were not all read.
class WithoutFilters : public VectorIndex {
 public:
  WithoutFilters(std::vector<std::uint32_t> rows, const std::vector<float>& vectors,
                 std::size_t neighbours_max, std::size_t queries_max, std::size_t lost = 0)
      : rows_(std::move(rows)),
        exact_(build_index(rows_, vectors, kWidth, {.exact_items_max = rows_.size()})),
        neighbours_max_(neighbours_max),
        queries_max_(queries_max),
        lost_(lost) {}

  std::vector<Neighbour> search(std::span<const float> query, std::size_t k,
                                const RowSet* allow) const override {
    return search_batch(query, k, {&allow, std::size_t{1}}).front();
  }
  std::vector<std::vector<Neighbour>> search_batch(
      std::span<const float> queries, std::size_t k,
      std::span<const RowSet* const> allow) const override {
    const Unfiltered index{
        .fetch = [this](auto... arguments) { fetch(arguments...); },
        .width = kWidth,
        .rows = rows_,
        .complete = lost_ == 0,
        .neighbours_max = neighbours_max_,
        .queries_max = queries_max_,
    };
    return search_widening(index, *exact_, queries, k, allow);
  }
  std::size_t size() const override { return rows_.size(); }
  std::span<const std::uint32_t> rows() const override { return rows_; }
  std::size_t width() const override { return kWidth; }
  std::size_t compared() const override { return rows_.size() / 16; }
  std::string kind() const override { return "without filters"; }
  void save(const std::filesystem::path&) const override {}

  const VectorIndex& exact() const { return *exact_; }
  mutable std::vector<std::size_t> asked;  // neighbours of every fetch
  mutable std::vector<std::size_t> queries_at_once;

 private:
  void fetch(std::span<const float> queries, std::size_t k, std::span<std::int64_t> ids,
             std::span<float> scores) const {
    const std::size_t n = queries.size() / kWidth;
    asked.push_back(k);
    queries_at_once.push_back(n);
    ASSERT_EQ(ids.size(), n * k);
    ASSERT_EQ(scores.size(), n * k);
    for (std::size_t b = 0; b < n; ++b) {
      const auto found = exact_->search(queries.subspan(b * kWidth, kWidth), k, {});
      for (std::size_t i = 0; i < k; ++i) {
        const bool there = i + lost_ < found.size();
        ids[b * k + i] = there ? std::int64_t{found[i].row - 1} / 3 : -1;
        scores[b * k + i] = there ? found[i].score : 1e30F;
      }
    }
  }

  std::vector<std::uint32_t> rows_;
  std::unique_ptr<VectorIndex> exact_;
  std::size_t neighbours_max_;
  std::size_t queries_max_;
  std::size_t lost_;
};

void expect_equal(const std::vector<Neighbour>& found, const std::vector<Neighbour>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].row, expected[i].row) << "at " << i;
    EXPECT_FLOAT_EQ(found[i].score, expected[i].score) << "at " << i;
  }
}

struct Case {
  std::size_t items;
  std::size_t neighbours_max;
  std::size_t queries_max;
  std::size_t lost;
};
class WideningOf : public testing::TestWithParam<Case> {};

TEST_P(WideningOf, AnswersAsExactSearchDoesForEveryFilter) {
  const auto [items, neighbours_max, queries_max, lost] = GetParam();
  std::mt19937 random(static_cast<unsigned>(7 * items + lost));
  const WithoutFilters index(some_rows(items), random_values(items * kWidth, random),
                             neighbours_max, queries_max, lost);
  // Which of 1,000 rows a filter of each query lets through; the first has none.
  const std::array<std::uint32_t, 7> kPermille = {1000, 1000, 500, 100, 10, 1, 0};
  const auto rows_end = static_cast<std::uint32_t>(3 * items);
  std::vector<RowSet> sets(kPermille.size(), RowSet(rows_end));
  std::vector<const RowSet*> allow = {nullptr};
  for (std::size_t i = 1; i < kPermille.size(); ++i) {
    for (std::uint32_t row = 0; row < rows_end; ++row) {
      if ((row * 2654435761U + i) % 1000 < kPermille[i]) sets[i].insert(row);
    }
    allow.push_back(&sets[i]);
  }
  const auto queries = random_values(kPermille.size() * kWidth, random);
  for (const std::size_t k :
       {std::size_t{0}, std::size_t{1}, std::size_t{10}, std::size_t{100}, items, items + 5}) {
    const auto found = index.search_batch(queries, k, allow);
    ASSERT_THAT(found, SizeIs(allow.size()));
    for (std::size_t b = 0; b < allow.size(); ++b) {
      SCOPED_TRACE(testing::Message() << "k " << k << ", filter " << b);
      expect_equal(found[b], index.exact().search(std::span(queries).subspan(b * kWidth, kWidth), k,
                                                  allow[b]));
    }
  }
  EXPECT_THAT(index.asked, Each(testing::AllOf(Ge(1U), Le(neighbours_max), Le(items))));
  EXPECT_THAT(index.queries_at_once, Each(testing::AllOf(Ge(1U), Le(queries_max))));
}

INSTANTIATE_TEST_SUITE_P(Shapes, WideningOf,
                         testing::Values(Case{1, 2048, 65'535, 0}, Case{300, 2048, 65'535, 0},
                                         Case{300, 64, 2, 0}, Case{5'000, 2048, 3, 0},
                                         Case{5'000, 2048, 65'535, 1}, Case{300, 2048, 1, 1}));

TEST(Widening, AsksOnceForExactlyKWithoutFilters) {
  std::mt19937 random(1);
  const WithoutFilters index(some_rows(1'000), random_values(1'000 * kWidth, random), 2048, 65'535);
  index.search_batch(random_values(5 * kWidth, random), 20, {});
  EXPECT_EQ(index.asked, std::vector<std::size_t>({20}));
  EXPECT_EQ(index.queries_at_once, std::vector<std::size_t>({5}));
}

TEST(Widening, RefusesQueriesAndFiltersThatDoNotFit) {
  std::mt19937 random(1);
  const WithoutFilters index(some_rows(10), random_values(10 * kWidth, random), 2048, 65'535);
  const std::vector<const RowSet*> two(2);
  EXPECT_THROW(index.search_batch(random_values(kWidth + 1, random), 3, {}), std::invalid_argument);
  EXPECT_THROW(index.search_batch(random_values(kWidth, random), 3, two), std::invalid_argument);
  EXPECT_THAT(index.search_batch({}, 3, {}), IsEmpty());
}

TEST(Widening, AsksMainForWhatRemovalsTakeAway) {
  for (const std::size_t k : {1U, 100U, 500U, 2048U}) {
    for (const std::size_t removed : {0U, 1U, 70U, 5'000U}) {
      for (const std::size_t size : {1U, 600U, 10'000U}) {
        if (removed > size) continue;
        SCOPED_TRACE(testing::Message() << k << " of " << size << " without " << removed);
        const Ask ask = ask_main(k, removed, size, true);
        EXPECT_GE(ask.fetch, std::min({k, size, kGpuNeighboursMax}));
        EXPECT_LE(ask.fetch, std::min(size, kGpuNeighboursMax));
        EXPECT_EQ(ask.complete, ask.fetch >= std::min(size, k + removed));
        EXPECT_FALSE(ask_main(k, removed, size, false).complete);
      }
    }
  }
}

TEST(Widening, ReadsListsThatHoldSixteenTimesWhatIsAskedFor) {
  EXPECT_EQ(lists_to_read(64, 500, 1024, 1'000'000), 64U);
  EXPECT_EQ(lists_to_read(8, 2'048, 1024, 1'000'000), 34U);
  EXPECT_EQ(lists_to_read(64, 164, 309, 6'000), 136U);
  EXPECT_EQ(lists_to_read(64, 2'048, 309, 6'000), 309U);
  EXPECT_EQ(lists_to_read(64, 1, 10, 100), 10U);
  EXPECT_EQ(lists_to_read(0, 1, 10, 1'000'000), 1U);
  EXPECT_EQ(lists_to_read(5'000, 1, 4'000, 1'000'000), 2'048U);
}

TEST(Widening, ServesALiveIndexThroughRemovalsAndReplacements) {
  std::mt19937 random(11);
  const std::size_t items = 800;
  const auto vectors = random_values(items * kWidth, random);
  LiveIndex over(std::make_unique<WithoutFilters>(some_rows(items), vectors, 128, 3), kWidth);
  LiveIndex plain(build_index(some_rows(items), vectors, kWidth), kWidth);
  std::set<std::uint32_t> removed;
  for (int step = 0; step < 60; ++step) {
    std::vector<std::uint32_t> rows;
    for (int i = 0; i < 12; ++i) rows.push_back(static_cast<std::uint32_t>(random() % (3 * items)));
    if (step % 3 == 2) {
      const auto fresh = random_values(rows.size() * kWidth, random);
      over.put(rows, fresh);
      plain.put(rows, fresh);
      for (const std::uint32_t row : rows) removed.erase(row);
    } else {
      over.remove(rows);
      plain.remove(rows);
      removed.insert(rows.begin(), rows.end());
    }
    const auto queries = random_values(4 * kWidth, random);
    RowSet third(3 * items);
    for (std::uint32_t row = 0; row < third.rows(); ++row) {
      if (row % 3 == 0 || row % 7 == 1) third.insert(row);
    }
    const std::vector<const RowSet*> allow = {nullptr, &third, nullptr, &third};
    const auto found = over.search_batch(queries, 50, allow);
    const auto unfiltered = over.search_batch(queries, 50);
    for (std::size_t b = 0; b < 4; ++b) {
      const auto query = std::span(queries).subspan(b * kWidth, kWidth);
      expect_equal(found[b], plain.search(query, 50, allow[b]));
      expect_equal(over.search(query, 50, allow[b]), found[b]);
      expect_equal(unfiltered[b], plain.search(query, 50));
      for (const auto& neighbour : unfiltered[b]) EXPECT_FALSE(removed.contains(neighbour.row));
    }
  }
}

}  // namespace
}  // namespace fovea::index
