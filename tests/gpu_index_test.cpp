// Claim: an index on a GPU answers as the exact index on the CPU does, up to ties and the stated
// recall of its kind, through filters, removals and fresh items. Skips where no device answers.
#include "index/gpu_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "index/live_index.h"
#include "tests/clustered.h"

namespace fovea::index {
namespace {

using testing::HasSubstr;
using testing_data::Clustered;

std::uint32_t fresh_seed() {
  const std::uint32_t seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  return seed;
}

std::string name(GpuKind kind) {
  switch (kind) {
    case GpuKind::kExact:
      return "exact";
    case GpuKind::kIvfFp16:
      return "fp16";
    case GpuKind::kIvfPq:
      break;
  }
  return "pq";
}

double bound(GpuKind kind) {
  if (kind == GpuKind::kExact) return 1;
  return kind == GpuKind::kIvfPq ? testing_data::kPqRecall : testing_data::kFp16Recall;
}

// How far the score at a place may lie from the exact one there.
double score_error(GpuKind kind, std::size_t width, float best) {
  if (kind == GpuKind::kExact) return 1e-5 * static_cast<double>(width);
  return (kind == GpuKind::kIvfPq ? testing_data::kPqError : testing_data::kFp16Error) *
         static_cast<double>(best);
}

// Every neighbour is right where its score reaches the k-th best: of equal ones any will do.
double recall(const std::vector<Neighbour>& found, const std::vector<Neighbour>& expected,
              double tolerance) {
  if (expected.empty()) return 1;
  std::set<std::uint32_t> rows;
  for (const auto& neighbour : expected) rows.insert(neighbour.row);
  std::size_t hits = 0;
  for (const auto& neighbour : found) {
    if (rows.contains(neighbour.row) || neighbour.score >= expected.back().score - tolerance)
      ++hits;
  }
  return static_cast<double>(std::min(hits, expected.size())) /
         static_cast<double>(expected.size());
}

class OnGpu : public testing::TestWithParam<std::tuple<GpuKind, std::size_t>> {
 protected:
  void SetUp() override {
    try {
      device_ = open_gpu({.scratch_mib = 256});
    } catch (const DeviceError& error) {
      GTEST_SKIP() << error.what();
    }
  }
  GpuKind kind() const { return std::get<0>(GetParam()); }
  std::size_t width() const { return std::get<1>(GetParam()); }

  std::unique_ptr<VectorIndex> build(const Clustered& data) const {
    return build_gpu_index(device_, data.rows, data.values, width(), {.kind = kind()}, 2);
  }
  std::unique_ptr<VectorIndex> build_on_cpu(const Clustered& data) const {
    return build_index(data.rows, data.values, width());
  }
  // Mean recall over the batch, each list checked for order, doubles and scores.
  void expect_near(const std::vector<std::vector<Neighbour>>& found,
                   const std::vector<std::vector<Neighbour>>& expected) const {
    ASSERT_EQ(found.size(), expected.size());
    double sum = 0;
    const double tolerance = kind() == GpuKind::kExact ? 1e-5 * static_cast<double>(width()) : 0;
    for (std::size_t b = 0; b < found.size(); ++b) {
      ASSERT_EQ(found[b].size(), expected[b].size()) << "query " << b;
      EXPECT_TRUE(std::ranges::is_sorted(found[b], std::ranges::greater{}, &Neighbour::score));
      std::set<std::uint32_t> rows;
      for (const auto& neighbour : found[b]) EXPECT_TRUE(rows.insert(neighbour.row).second);
      for (std::size_t i = 0; i < found[b].size(); ++i) {
        ASSERT_NEAR(found[b][i].score, expected[b][i].score,
                    score_error(kind(), width(), expected[b][0].score));
      }
      sum += recall(found[b], expected[b], tolerance);
    }
    EXPECT_GE(sum / static_cast<double>(found.size()), bound(kind()));
  }

  std::shared_ptr<GpuDevice> device_;
};

constexpr std::size_t kItems = 6'000;

TEST_P(OnGpu, FindsWhatExactSearchFinds) {
  const auto data = testing_data::clustered(kItems, width(), 60, fresh_seed());
  const auto index = build(data);
  const auto cpu = build_on_cpu(data);
  EXPECT_EQ(index->size(), kItems);
  EXPECT_EQ(index->width(), width());
  EXPECT_THAT(index->kind(), HasSubstr("gpu-"));
  for (const std::size_t batch : {1U, 16U, 257U}) {
    const auto queries = testing_data::clustered(batch, width(), 60, fresh_seed()).values;
    for (const std::size_t k : {1U, 100U, 2048U}) {
      SCOPED_TRACE(testing::Message() << "k " << k << ", batch " << batch);
      const auto found = index->search_batch(queries, k, {});
      if (k > 1 || kind() == GpuKind::kExact) {
        expect_near(found, cpu->search_batch(queries, k, {}));
        continue;
      }
      // Which one is the very first, codes cannot tell.
      const auto near = cpu->search_batch(queries, 100, {});
      for (std::size_t b = 0; b < batch; ++b) {
        ASSERT_EQ(found[b].size(), 1U);
        EXPECT_TRUE(std::ranges::any_of(
            near[b], [&](const Neighbour& n) { return n.row == found[b][0].row; }));
      }
    }
  }
  EXPECT_EQ(failure(*device_), "");
}

TEST_P(OnGpu, GoesToTheCpuForMoreThanFaissSelects) {
  const auto data = testing_data::clustered(kItems, width(), 60, fresh_seed());
  const auto query = std::span(data.values).first(width());
  const auto found = build(data)->search(query, 3'000, {});
  const auto expected = build_on_cpu(data)->search(query, 3'000, {});
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].row, expected[i].row);
}

TEST_P(OnGpu, NeverReturnsWhatAFilterRefuses) {
  const auto data = testing_data::clustered(kItems, width(), 60, fresh_seed());
  const auto index = build(data);
  const auto cpu = build_on_cpu(data);
  const auto queries = testing_data::clustered(4, width(), 60, fresh_seed()).values;
  for (const std::uint32_t every : {2U, 10U, 100U, 3'000U}) {
    RowSet allow(3 * kItems + 1);
    for (std::uint32_t row = 0; row < allow.rows(); ++row) {
      if (row / 3 % every == 0) allow.insert(row);
    }
    const std::vector<const RowSet*> filters(4, &allow);
    const auto found = index->search_batch(queries, 100, filters);
    for (const auto& list : found) {
      for (const auto& neighbour : list) EXPECT_TRUE(allow.contains(neighbour.row));
    }
    expect_near(found, cpu->search_batch(queries, 100, filters));
  }
}

TEST_P(OnGpu, FindsFreshItemsAtOnceAndRemovedOnesNever) {
  const std::uint32_t seed = fresh_seed();
  const auto data = testing_data::clustered(kItems, width(), 60, seed);
  LiveIndex live(build(data), width());
  LiveIndex cpu(build_on_cpu(data), width());
  std::mt19937 random(seed);
  std::set<std::uint32_t> removed;
  for (int step = 0; step < 10; ++step) {
    std::vector<std::uint32_t> gone;
    for (int i = 0; i < 100; ++i) gone.push_back(data.rows[random() % kItems]);
    live.remove(gone);
    cpu.remove(gone);
    removed.insert(gone.begin(), gone.end());
    const auto put = testing_data::clustered(20, width(), 60, random());
    live.put(put.rows, put.values);
    cpu.put(put.rows, put.values);
    for (const std::uint32_t row : put.rows) removed.erase(row);
    // Three times as long as the others, so that they come before all of main.
    std::vector<float> far = put.values;
    for (float& value : far) value *= 3;
    live.put(put.rows, far);
    cpu.put(put.rows, far);
    const auto found = live.search_batch(far, 50);
    expect_near(found, cpu.search_batch(far, 50));
    for (std::size_t b = 0; b < found.size(); ++b) {
      std::set<std::uint32_t> rows;
      for (const auto& neighbour : found[b]) rows.insert(neighbour.row);
      EXPECT_TRUE(rows.contains(put.rows[b]));
      for (const std::uint32_t row : removed) EXPECT_FALSE(rows.contains(row));
    }
  }
}

TEST_P(OnGpu, SavesWhatTheCpuReads) {
  const auto data = testing_data::clustered(1'500, width(), 60, fresh_seed());
  const auto file = std::filesystem::temp_directory_path() /
                    ("gpu_index_test." + name(kind()) + std::to_string(width()));
  build(data)->save(file);
  EXPECT_EQ(load_index(file)->size(), 1'500U);
  std::filesystem::remove(file);
}

INSTANTIATE_TEST_SUITE_P(Kinds, OnGpu,
                         testing::Combine(testing::Values(GpuKind::kExact, GpuKind::kIvfFp16,
                                                          GpuKind::kIvfPq),
                                          testing::Values(32, 64, 128, 384)));

TEST(Gpu, SaysWhyThereIsNone) {
  try {
    open_gpu({.device = 99});
    FAIL() << "there are 100 GPUs?";
  } catch (const DeviceError& error) {
    std::cout << error.what() << '\n';
    EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("GPU 99 cannot be used: "),
                                             HasSubstr("built without GPU indexes")));
  }
}

}  // namespace
}  // namespace fovea::index
