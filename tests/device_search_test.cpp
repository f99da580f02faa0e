// Claim: a search that stays on the device finds what the live index finds on the host, through
// removals and fresh items, also where so much is removed that lists must be filled on the host.
// Skips where no device answers.
#include "index/device_search.h"

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>

#include "index/gpu_device.h"
#include "tests/clustered.h"

namespace fovea::index {
namespace {

constexpr std::size_t kItems = 5'000;

class DeviceSearchOf : public testing::TestWithParam<std::tuple<GpuKind, std::size_t>> {
 protected:
  void SetUp() override {
    try {
      device_ = open_gpu({.scratch_mib = 256});
    } catch (const DeviceError& error) {
      GTEST_SKIP() << error.what();
    }
    seed_ = std::random_device{}();
    std::cout << "seed " << seed_ << '\n';
  }

  struct Lists {
    std::vector<std::uint32_t> rows;
    std::vector<float> scores;
  };
  Lists search(DeviceSearch& search, const std::vector<float>& queries, std::size_t batch,
               std::size_t k) const {
    DeviceArray<float> on_device(*device_);
    DeviceArray<std::uint32_t> rows(*device_);
    DeviceArray<float> scores(*device_);
    device_->run([&] {
      on_device.upload(queries);
      rows.upload(std::vector<std::uint32_t>(batch * k, 0xDEADBEEF));  // poison
      scores.upload(std::vector<float>(batch * k, std::numeric_limits<float>::quiet_NaN()));
      device_->wait();
    });
    search.search(on_device.data(), batch, k, rows.data(), scores.data());
    Lists lists;
    device_->run([&] {
      lists.rows = rows.download(batch * k);
      lists.scores = scores.download(batch * k);
    });
    return lists;
  }

  void expect_as_on_host(DeviceSearch& device_search, const LiveIndex& live,
                         const std::set<std::uint32_t>& removed) {
    const std::size_t width = live.width();
    for (const std::size_t batch : {1U, 16U, 257U}) {
      const auto queries = testing_data::clustered(batch, width, 60, ++seed_).values;
      for (const std::size_t k : {1U, 100U, 2048U}) {
        SCOPED_TRACE(testing::Message() << "k " << k << ", batch " << batch);
        const Lists found = search(device_search, queries, batch, k);
        const auto expected = live.search_batch(queries, k);
        for (std::size_t b = 0; b < batch; ++b) {
          std::set<std::uint32_t> rows;
          for (std::size_t i = 0; i < k; ++i) {
            const std::uint32_t row = found.rows[b * k + i];
            const float score = found.scores[b * k + i];
            if (i >= expected[b].size()) {
              ASSERT_EQ(row, kNoRow);
              ASSERT_EQ(score, -std::numeric_limits<float>::infinity());
              continue;
            }
            // Both ran on the device, in batches of the same size or not: rounding may differ.
            ASSERT_NEAR(score, expected[b][i].score, 1e-5 * static_cast<double>(width));
            ASSERT_FALSE(removed.contains(row));
            ASSERT_TRUE(rows.insert(row).second);
          }
        }
      }
    }
  }

  std::shared_ptr<GpuDevice> device_;
  std::uint32_t seed_ = 0;
};

TEST_P(DeviceSearchOf, FindsWhatTheHostFinds) {
  const auto [kind, width] = GetParam();
  const auto data = testing_data::clustered(kItems, width, 60, seed_);
  LiveIndex live(build_gpu_index(device_, data.rows, data.values, width, {.kind = kind}, 2), width);
  DeviceSearch device_search(live, *live.main());
  std::set<std::uint32_t> removed;
  expect_as_on_host(device_search, live, removed);

  std::mt19937 random(seed_);
  const auto put = testing_data::clustered(300, width, 60, random());
  live.put(put.rows, put.values);
  expect_as_on_host(device_search, live, removed);

  for (const std::size_t some : {std::size_t{30}, kItems / 2, kItems - 40}) {
    std::vector<std::uint32_t> gone(data.rows.begin(),
                                    data.rows.begin() + static_cast<std::ptrdiff_t>(some));
    live.remove(gone);
    removed.insert(gone.begin(), gone.end());
    expect_as_on_host(device_search, live, removed);
  }
  EXPECT_EQ(failure(*device_), "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceSearchOf,
                         testing::Combine(testing::Values(GpuKind::kExact, GpuKind::kIvfFp16,
                                                          GpuKind::kIvfPq),
                                          testing::Values(32, 64, 128, 384)));

TEST(DeviceSearch, RefusesAnIndexOfTheCpu) {
  const auto data = testing_data::clustered(10, 8, 2, 1);
  const LiveIndex live(build_index(data.rows, data.values, 8), 8);
  EXPECT_THROW((DeviceSearch{live, *live.main()}), std::invalid_argument);
}

TEST(OutOfMemory, IsADeviceErrorAndTheIndexesGoOnOnTheCpu) {
  std::shared_ptr<GpuDevice> full;
  std::shared_ptr<GpuDevice> device;
  try {
    full = open_gpu({.scratch_mib = 64});
    device = open_gpu({.scratch_mib = 64});
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();
  }
  const auto data = testing_data::clustered(2'000, 64, 60, 1);
  const auto small = build_gpu_index(device, data.rows, data.values, 64);
  DeviceArray<char> rest(*full);
  full->run([&] {
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "asking for free memory");
    rest.reserve(free - (std::size_t{256} << 20));
  });
  const auto large = testing_data::clustered(400'000, 256, 60, 2);
  EXPECT_THROW(build_gpu_index(device, large.rows, large.values, 256), DeviceError);
  EXPECT_THAT(failure(*device), testing::HasSubstr("failed: "));
  EXPECT_EQ(failure(*full), "");
  const auto query = std::span(data.values).first(64);
  const auto found = small->search(query, 5, {});
  const auto expected = build_index(data.rows, data.values, 64)->search(query, 5, {});
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].row, expected[i].row);
}

// Without this a lost device would end the process: make faiss builds it so.
TEST(FaissChecks, ThrowWhereTheyFail) {
  faiss::gpu::StandardGpuResources resources;
  EXPECT_ANY_THROW(resources.getResources()->initializeForDevice(99));
}

}  // namespace
}  // namespace fovea::index
