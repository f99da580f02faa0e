// Claim: whatever filter, whatever has come and gone, before, while and after an index is built
// anew, a search finds what exact search finds, nothing that is not allowed or gone, and nothing
// twice.
#include "index/generational_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "index/exact_scan.h"

namespace fovea::index {
namespace {

constexpr std::size_t kWidth = 16;
constexpr std::uint32_t kRows = 6'000;
constexpr std::size_t kClusters = 60;

/// Vectors of rows, as engine/item_vectors has them; and what of them is live.
class Items {
 public:
  explicit Items(std::uint32_t seed) : random(seed), centres_(kClusters * kWidth) {
    std::normal_distribution<float> normal;
    for (float& x : centres_) x = normal(random);
  }

  std::vector<float> around(std::size_t cluster) {
    std::normal_distribution<float> normal;
    std::vector<float> vector(kWidth);
    for (std::size_t d = 0; d < kWidth; ++d) {
      vector[d] = centres_[cluster * kWidth + d] + 0.4F * normal(random);
    }
    return vector;
  }
  static std::size_t cluster(std::uint32_t row) { return row * 7 % kClusters; }

  void set(std::uint32_t row, std::vector<float> vector) {
    const std::lock_guard lock(mutex_);
    vectors_[row] = std::move(vector);
  }
  VectorsOf vectors_of() {
    return [this](std::span<const std::uint32_t> rows, std::span<float> out) {
      if (fails) throw std::bad_alloc();
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        std::ranges::copy(vectors_.at(rows[i]),
                          out.begin() + static_cast<std::ptrdiff_t>(i * kWidth));
      }
    };
  }
  std::vector<Neighbour> nearest(const RowSet& rows, std::span<const float> query,
                                 std::size_t k) const {
    const std::lock_guard lock(mutex_);
    Nearest nearest(k);
    rows.for_each([&](std::uint32_t row) {
      const auto found = vectors_.find(row);
      if (found != vectors_.end()) nearest.add(row, inner_product(query, found->second.data()));
    });
    return nearest.take();
  }
  NearestOf nearest_of() {
    return [this](const RowSet& rows, std::span<const float> query, std::size_t k) {
      return nearest(rows, query, k);
    };
  }

  std::mt19937 random;
  bool fails = false;

 private:
  std::vector<float> centres_;
  mutable std::mutex mutex_;
  std::map<std::uint32_t, std::vector<float>> vectors_;
};

enum class Kind { kExact, kLists, kListsWithoutVectors };

class GenerationsOf : public testing::TestWithParam<Kind> {
 protected:
  GenerationsOf() : items_(static_cast<std::uint32_t>(GetParam()) + 1), live_(kRows) {
    std::vector<std::uint32_t> rows;
    std::vector<float> vectors;
    for (std::uint32_t row = 0; row < kRows; row += 2) {
      rows.push_back(row);
      live_.insert(row);
      const auto vector = items_.around(Items::cluster(row));
      items_.set(row, vector);
      vectors.insert(vectors.end(), vector.begin(), vector.end());
    }
    RebuildOptions options;
    options.index = index_options();
    options.changes_min = 100;
    const bool with_vectors = GetParam() != Kind::kListsWithoutVectors;
    index_.emplace(build_index(rows, vectors, kWidth, options.index), kWidth, items_.vectors_of(),
                   with_vectors ? items_.nearest_of() : NearestOf(), options);
  }

  static IndexOptions index_options() {
    // Lists enough that most are not read.
    return {.exact_items_max = GetParam() == Kind::kExact ? 100'000U : 0U, .probes = 24};
  }

  void change() {
    std::vector<std::uint32_t> rows;
    for (int i = 0; i < 40; ++i) rows.push_back(items_.random() % kRows);
    if (items_.random() % 2 == 0) {
      index_->remove(rows);
      for (const auto row : rows) live_.erase(row);
      return;
    }
    std::vector<float> vectors;
    std::ranges::sort(rows);
    rows.erase(std::ranges::unique(rows).begin(), rows.end());
    for (const auto row : rows) {
      const auto vector = items_.around(Items::cluster(row));
      items_.set(row, vector);
      vectors.insert(vectors.end(), vector.begin(), vector.end());
      live_.insert(row);
    }
    index_->put(rows, vectors);
  }

  /// Any rows, or those of some clusters; of a size of its own.
  RowSet filter() {
    RowSet allow(items_.random() % 3 == 0 ? kRows / 2 : kRows);
    static constexpr std::array<std::uint32_t, 6> kPermille = {900, 500, 200, 50, 10, 1};
    const std::uint32_t permille = kPermille[items_.random() % kPermille.size()];
    const bool clusters = items_.random() % 2 == 0;
    const std::uint32_t salt = items_.random();
    for (std::uint32_t row = 0; row < allow.rows(); ++row) {
      const auto what = clusters ? static_cast<std::uint32_t>(Items::cluster(row)) : row;
      if (((what + salt) * 2654435761U >> 8) % 1000 < permille) allow.insert(row);
    }
    return allow;
  }

  void expect_found(double& found, double& expected) {
    constexpr std::size_t kNeighbours = 50;
    const auto query = items_.around(items_.random() % kClusters);
    const RowSet some = filter();
    const RowSet* allow = items_.random() % 4 == 0 ? nullptr : &some;
    RowSet left(kRows);
    live_.for_each([&](std::uint32_t row) {
      if (allow == nullptr || allow->contains(row)) left.insert(row);
    });
    std::set<std::uint32_t> right;
    for (const auto& n : items_.nearest(left, query, kNeighbours)) right.insert(n.row);
    const auto got = index_->search(query, kNeighbours, allow);
    EXPECT_EQ(got.size(), right.size()) << "as many as there are";
    EXPECT_TRUE(std::ranges::is_sorted(got, std::ranges::greater{}, &Neighbour::score));
    std::set<std::uint32_t> rows;
    for (const auto& n : got) {
      EXPECT_TRUE(left.contains(n.row)) << "row " << n.row << " is gone or not allowed";
      EXPECT_TRUE(rows.insert(n.row).second) << "row " << n.row << " twice";
      found += static_cast<double>(right.count(n.row));
    }
    expected += static_cast<double>(right.size());
  }

  Items items_;
  RowSet live_;
  std::optional<GenerationalIndex> index_;
};

TEST_P(GenerationsOf, FindWhatExactSearchFindsThroughChangesAndRebuilds) {
  double found = 0;
  double expected = 0;
  int rebuilds = 0;
  for (int step = 0; step < 300; ++step) {
    change();
    ASSERT_EQ(index_->size(), live_.count());
    for (int i = 0; i < 3; ++i) expect_found(found, expected);
    if (index_->rebuild_due()) {
      ASSERT_TRUE(index_->rebuild(1));
      EXPECT_FALSE(index_->rebuild_due());
      ++rebuilds;
    }
  }
  EXPECT_GT(rebuilds, 5);
  RecordProperty("recall@50", std::to_string(found / expected));
  EXPECT_GE(found / expected, 0.95);
}

TEST_P(GenerationsOf, AreAfterARebuildWhatAFreshBuildIs) {
  for (int step = 0; step < 50; ++step) change();
  ASSERT_TRUE(index_->rebuild(1));
  std::vector<std::uint32_t> rows;
  live_.for_each([&](std::uint32_t row) { rows.push_back(row); });
  std::vector<float> vectors(rows.size() * kWidth);
  items_.vectors_of()(rows, vectors);
  const auto fresh = build_index(rows, vectors, kWidth, index_options());
  EXPECT_EQ(index_->current()->state()->fresh.size(), 0U);
  EXPECT_EQ(index_->current()->state()->out_of_main, 0U);
  EXPECT_EQ(index_->kind(), fresh->kind());
  for (int i = 0; i < 50; ++i) {
    const auto query = items_.around(items_.random() % kClusters);
    const auto got = index_->search(query, 20);
    const auto expected = fresh->search(query, 20, nullptr);
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t n = 0; n < got.size(); ++n) {
      EXPECT_EQ(got[n].row, expected[n].row);
      EXPECT_EQ(got[n].score, expected[n].score);
    }
  }
}

// Puts, replacements and removals in the middle of a build, of rows it has read and of others.
TEST_P(GenerationsOf, KeepWhatCameAndWentWhileTheyWereBuilt) {
  for (int step = 0; step < 20; ++step) change();
  const auto before = index_->current();
  int swaps = 0;
  const auto go_on = [&] {
    EXPECT_TRUE(index_->rebuilding());
    for (int i = 0; i < 10; ++i) change();
    return true;
  };
  EXPECT_FALSE(index_->rebuilding());
  ASSERT_TRUE(index_->rebuild(1, go_on, [&] { ++swaps; }));
  EXPECT_FALSE(index_->rebuilding());
  EXPECT_EQ(swaps, 1);
  EXPECT_NE(index_->current(), before);
  EXPECT_EQ(index_->size(), live_.count());
  EXPECT_EQ(before->size(), live_.count()) << "it went on until the swap";
  double found = 0;
  double expected = 0;
  for (int i = 0; i < 200; ++i) expect_found(found, expected);
  EXPECT_GE(found / expected, 0.95);
}

TEST_P(GenerationsOf, StayAsTheyAreWhereTheBuildIsStoppedOrFails) {
  for (int step = 0; step < 20; ++step) change();
  const auto before = index_->current();
  EXPECT_FALSE(index_->rebuild(1, [] { return false; }));
  EXPECT_EQ(index_->current(), before);
  items_.fails = true;
  EXPECT_THROW(index_->rebuild(1), std::bad_alloc);
  items_.fails = false;
  EXPECT_FALSE(index_->rebuilding());
  EXPECT_EQ(index_->current(), before);
  change();
  EXPECT_TRUE(index_->rebuild(1));
  EXPECT_EQ(index_->size(), live_.count());
}

TEST_P(GenerationsOf, GiveTheOldOneBack) {
  const std::weak_ptr<const LiveIndex> old = index_->current();
  ASSERT_TRUE(index_->rebuild(1));
  EXPECT_TRUE(old.expired());
}

TEST_P(GenerationsOf, AreBuiltAnewDownToNothingAndUpAgain) {
  std::vector<std::uint32_t> rows;
  for (std::uint32_t row = 0; row < kRows; ++row) rows.push_back(row);
  index_->remove(rows);
  ASSERT_TRUE(index_->rebuild(1));
  EXPECT_EQ(index_->size(), 0U);
  const auto query = items_.around(0);
  EXPECT_TRUE(index_->search(query, 5).empty());
  items_.set(3, query);
  index_->put(std::vector<std::uint32_t>{3}, query);
  ASSERT_TRUE(index_->rebuild(1));
  EXPECT_EQ(index_->search(query, 5).size(), 1U);
}

// A writer's rows are always either all there with one value, or all gone; whoever sees a put that
// returned must find it, whichever generation answers.
TEST_P(GenerationsOf, AreSearchedAndChangedByThreadsWhileTheyAreBuilt) {
  constexpr std::uint32_t kMine = 40;  // rows of a writer
  std::atomic<bool> stop = false;
  std::vector<std::jthread> threads;
  for (std::uint32_t writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      std::vector<std::uint32_t> rows;
      RowSet mine(kRows + 2 * kMine);
      for (std::uint32_t i = 0; i < kMine; ++i) {
        rows.push_back(kRows + 2 * i + writer);
        mine.insert(rows.back());
      }
      const std::vector<float> query(kWidth, 1.0F / kWidth);
      for (int round = 1; !stop; ++round) {
        const std::vector<float> vector(kWidth, 100.0F + static_cast<float>(round % 50));
        std::vector<float> vectors;
        for (const auto row : rows) {
          items_.set(row, vector);
          vectors.insert(vectors.end(), vector.begin(), vector.end());
        }
        index_->put(rows, vectors);
        const auto found = index_->search(query, 1'000, &mine);
        ASSERT_EQ(found.size(), kMine);
        for (const auto& n : found) ASSERT_NEAR(n.score, vector[0], 2);
        index_->remove(rows);
        ASSERT_TRUE(index_->search(query, 1'000, &mine).empty());
      }
      index_->remove(rows);
    });
  }
  threads.emplace_back([&] {
    const std::vector<float> query(kWidth, 1.0F / kWidth);
    while (!stop) {
      std::set<std::uint32_t> rows;
      for (const auto& n : index_->search(query, 200)) {
        ASSERT_TRUE(rows.insert(n.row).second) << "row " << n.row << " twice";
      }
      ASSERT_EQ(rows.size(), 200U);
    }
  });
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(index_->rebuild(1));
  stop = true;
  threads.clear();
  EXPECT_EQ(index_->size(), live_.count());
}

INSTANTIATE_TEST_SUITE_P(, GenerationsOf,
                         testing::Values(Kind::kExact, Kind::kLists, Kind::kListsWithoutVectors),
                         [](const auto& instance) {
                           switch (instance.param) {
                             case Kind::kExact:
                               return "Exact";
                             case Kind::kLists:
                               return "Lists";
                             default:
                               return "ListsAlone";
                           }
                         });

TEST(GenerationalIndex, IsDueWhenEnoughCameOrWent) {
  Items items(9);
  std::vector<std::uint32_t> rows;
  std::vector<float> vectors;
  for (std::uint32_t row = 0; row < 1'000; ++row) {
    rows.push_back(row);
    const auto vector = items.around(0);
    items.set(row, vector);
    vectors.insert(vectors.end(), vector.begin(), vector.end());
  }
  const RebuildOptions options{.changes_min = 20, .fresh_max = 0.05, .out_of_main_max = 0.10};
  GenerationalIndex index(build_index(rows, vectors, kWidth), kWidth, items.vectors_of(),
                          items.nearest_of(), options);
  const auto some = [&](std::size_t begin, std::size_t n) {
    return std::span(rows).subspan(begin, n);
  };
  index.remove(some(0, 100));
  EXPECT_FALSE(index.rebuild_due());
  index.remove(some(100, 1));
  EXPECT_TRUE(index.rebuild_due());
  ASSERT_TRUE(index.rebuild(1));
  EXPECT_FALSE(index.rebuild_due());
  index.put(some(0, 44), std::span(vectors).first(44 * kWidth));
  EXPECT_FALSE(index.rebuild_due());
  index.put(some(44, 1), std::span(vectors).first(kWidth));
  EXPECT_TRUE(index.rebuild_due());

  // Without a main index every item is fresh.
  GenerationalIndex empty({}, kWidth, items.vectors_of(), items.nearest_of(), options);
  empty.put(some(0, 20), std::span(vectors).first(20 * kWidth));
  EXPECT_FALSE(empty.rebuild_due());
  empty.put(some(20, 1), std::span(vectors).first(kWidth));
  EXPECT_TRUE(empty.rebuild_due());
  ASSERT_TRUE(empty.rebuild(1));
  EXPECT_EQ(empty.current()->main()->size(), 21U);
}

}  // namespace
}  // namespace fovea::index
