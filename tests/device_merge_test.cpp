// Claim: the device's merging of main and fresh neighbours, walked through on the host thread by
// thread, gives what dropping the removed ones and sorting gives.
#include "index/device_merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

namespace fovea::index {
namespace {

constexpr std::uint32_t kNone = 0xFFFFFFFF;

// The kernel, its threads one after the other from the last to the first: a phase that reads what
// another thread of the same phase writes would show.
void walk(const Merge& merge, std::size_t batch) {
  for (std::size_t query = 0; query < batch; ++query) {
    const auto shared = std::make_unique<MergeShared>();
    const auto phase = [](auto&& run) {
      for (std::size_t thread = kMergeThreads; thread-- > 0;) run(thread);
    };
    phase([&](std::size_t thread) { merge_count(merge, *shared, query, thread); });
    for (std::size_t step = 0; step < kMergeSteps; ++step) {
      phase([&](std::size_t thread) { merge_sum(*shared, step, thread); });
    }
    phase([&](std::size_t thread) { merge_keep(merge, *shared, query, thread); });
    phase([&](std::size_t thread) { merge_write(merge, *shared, query, thread); });
  }
}

struct Case {
  std::size_t fetched;
  std::size_t removed;
  std::size_t fresh;
  std::size_t k;
};
class MergeOf : public testing::TestWithParam<Case> {};

TEST_P(MergeOf, IsDroppingAndSorting) {
  const auto [fetched, removed_count, fresh, k] = GetParam();
  const std::size_t batch = 5;
  const std::size_t items = 4'000;
  std::mt19937 random(static_cast<unsigned>(fetched * 31 + removed_count * 7 + fresh + k));
  // Few different scores, so that many are equal.
  const auto descending = [&](std::size_t n) {
    std::vector<float> scores(n);
    for (float& score : scores) score = static_cast<float>(random() % 300) / 16;
    std::ranges::sort(scores, std::ranges::greater{});
    return scores;
  };
  std::vector<std::uint32_t> main_rows(items);
  for (std::size_t i = 0; i < items; ++i) main_rows[i] = static_cast<std::uint32_t>(2 * i + 5);
  std::ranges::shuffle(main_rows, random);
  std::vector<std::uint32_t> removed(
      main_rows.begin(), main_rows.begin() + static_cast<std::ptrdiff_t>(removed_count));
  std::ranges::sort(removed);
  std::vector<std::uint32_t> fresh_rows(fresh);
  for (std::size_t i = 0; i < fresh; ++i) fresh_rows[i] = static_cast<std::uint32_t>(2 * i);

  std::vector<std::int64_t> ids;
  std::vector<float> scores;
  std::vector<std::int64_t> fresh_ids;
  std::vector<float> fresh_scores;
  struct Found {
    float score;
    std::uint32_t row;
  };
  std::vector<std::vector<Found>> expected(batch);
  std::vector<std::size_t> left_of_main(batch);
  for (std::size_t b = 0; b < batch; ++b) {
    std::vector<std::int64_t> order(items);
    for (std::size_t i = 0; i < items; ++i) order[i] = static_cast<std::int64_t>(i);
    std::ranges::shuffle(order, random);
    const auto best = descending(fetched);
    for (std::size_t i = 0; i < fetched; ++i) {
      // The last query's list ends early, as inverted lists' do.
      const bool ended = b + 1 == batch && i >= fetched / 2;
      ids.push_back(ended ? -1 : order[i]);
      scores.push_back(ended ? -std::numeric_limits<float>::max() : best[i]);
      if (ended) continue;
      const std::uint32_t row = main_rows[static_cast<std::size_t>(order[i])];
      if (!std::ranges::binary_search(removed, row)) expected[b].push_back({best[i], row});
    }
    left_of_main[b] = expected[b].size();
    const auto best_fresh = descending(fresh);
    std::vector<std::int64_t> fresh_order(fresh);
    for (std::size_t i = 0; i < fresh; ++i) fresh_order[i] = static_cast<std::int64_t>(i);
    std::ranges::shuffle(fresh_order, random);
    for (std::size_t i = 0; i < fresh; ++i) {
      fresh_ids.push_back(fresh_order[i]);
      fresh_scores.push_back(best_fresh[i]);
      expected[b].push_back({best_fresh[i], fresh_rows[static_cast<std::size_t>(fresh_order[i])]});
    }
    std::ranges::stable_sort(expected[b], std::ranges::greater{}, &Found::score);
  }

  std::vector<std::uint32_t> rows_out(batch * k, 0xDEADBEEF);
  std::vector<float> scores_out(batch * k, std::numeric_limits<float>::quiet_NaN());
  std::vector<std::uint32_t> found_out(batch, 0xDEADBEEF);
  const Merge merge{.ids = ids.data(),
                    .scores = scores.data(),
                    .fetched = fetched,
                    .main_rows = main_rows.data(),
                    .removed = removed.data(),
                    .removed_count = removed.size(),
                    .fresh_ids = fresh_ids.data(),
                    .fresh_scores = fresh_scores.data(),
                    .fresh_fetched = fresh,
                    .fresh_rows = fresh_rows.data(),
                    .k = k,
                    .no_row = kNone,
                    .rows_out = rows_out.data(),
                    .scores_out = scores_out.data(),
                    .found_out = found_out.data()};
  walk(merge, batch);
  for (std::size_t b = 0; b < batch; ++b) {
    EXPECT_EQ(found_out[b], std::min(k, left_of_main[b]));
    for (std::size_t i = 0; i < k; ++i) {
      SCOPED_TRACE(testing::Message() << "query " << b << ", place " << i);
      const bool there = i < expected[b].size();
      ASSERT_EQ(rows_out[b * k + i], there ? expected[b][i].row : kNone);
      ASSERT_EQ(scores_out[b * k + i],
                there ? expected[b][i].score : -std::numeric_limits<float>::infinity());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, MergeOf,
                         testing::Values(Case{1, 0, 0, 1}, Case{1, 0, 1, 1}, Case{0, 0, 3, 5},
                                         Case{100, 0, 0, 100}, Case{100, 50, 0, 100},
                                         Case{164, 1'000, 20, 100}, Case{255, 7, 257, 256},
                                         Case{257, 3'999, 1, 2}, Case{500, 100, 500, 500},
                                         Case{2'048, 0, 2'048, 2'048},
                                         Case{2'048, 2'000, 33, 2'000},
                                         Case{2'048, 3'999, 2'048, 2'048}, Case{300, 300, 0, 400}));

TEST(Merge, SharesCoverEveryNeighbourOnce) {
  for (const std::size_t count : {0U, 1U, 255U, 256U, 257U, 2'047U, 2'048U}) {
    EXPECT_EQ(share(count, 0), 0U);
    EXPECT_EQ(share(count, kMergeThreads), count);
    for (std::size_t thread = 0; thread < kMergeThreads; ++thread) {
      EXPECT_LE(share(count, thread), share(count, thread + 1));
    }
  }
}

}  // namespace
}  // namespace fovea::index
