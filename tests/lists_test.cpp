// Claim: the inverted lists that go to a GPU find nearly what exact search finds, in each code and
// width. Here on the CPU, where they are trained; tests/gpu_index_test.cpp holds the device to the
// same bounds.
#include <faiss/IndexIVF.h>
#include <faiss/IndexScalarQuantizer.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

#include "index/faiss_index.h"
#include "index/sq8_query.h"
#include "index/widening.h"
#include "tests/clustered.h"

namespace fovea::index {
namespace {

TEST(ProductQuantizedCodes, AreTheLongestThatTheDeviceReads) {
  EXPECT_EQ(pq_bytes(32), 16U);
  EXPECT_EQ(pq_bytes(64), 32U);
  EXPECT_EQ(pq_bytes(100), 20U);
  EXPECT_EQ(pq_bytes(128), 64U);
  EXPECT_EQ(pq_bytes(384), 96U);
  EXPECT_EQ(pq_bytes(37), std::nullopt);
  const ThreadWidth one(1);
  const auto data = testing_data::clustered(300, 37, 5, 1);
  EXPECT_THROW(build_lists(Code::kPq, source_of(data.values, 37), {}), std::invalid_argument);
}

TEST(Sq8, AProductIsThatOfWhatTheCodeStandsFor) {
  for (const std::size_t width : {1, 15, 16, 31, 32, 33, 64, 100}) {
    const std::size_t count = 50;
    const auto data = testing_data::clustered(count + 1, width, 5, 1);
    faiss::ScalarQuantizer quantizer(width, faiss::ScalarQuantizer::QT_8bit);
    quantizer.train(count, data.values.data());
    std::vector<std::uint8_t> codes(count * width);
    quantizer.compute_codes(data.values.data(), codes.data(), count);
    std::vector<float> decoded(count * width);
    quantizer.decode(codes.data(), decoded.data(), count);
    const std::span query(data.values.data() + count * width, width);

    const Sq8Query against(query, quantizer.trained);
    std::vector<float> products(count);
    against.products(count, codes.data(), 0.25F, products.data());
    for (std::size_t i = 0; i < count; ++i) {
      double expected = 0;
      for (std::size_t k = 0; k < width; ++k) {
        expected += static_cast<double>(query[k]) * decoded[i * width + k];
      }
      EXPECT_NEAR(products[i], 0.25 + expected, 1e-5 * (1 + std::abs(expected))) << width;
      EXPECT_NEAR(against.product(codes.data() + i * width), expected,
                  1e-5 * (1 + std::abs(expected)))
          << width;
    }
  }
}

class ListsOf : public testing::TestWithParam<std::tuple<Code, std::size_t>> {};

TEST_P(ListsOf, FindNearlyWhatExactSearchFindsWhateverAFilterLeaves) {
  const auto [code, width] = GetParam();
  const ThreadWidth one(1);  // other tests run beside this one
  const std::size_t items = 3'000;
  const std::size_t batch = 16;
  const std::size_t k = 100;
  const auto data = testing_data::clustered(items + batch, width, 30, 3);
  const auto stored = std::span(data.values).first(items * width);
  const auto queries = std::span(data.values).subspan(items * width);
  const auto rows = std::span(data.rows).first(items);
  const auto lists = build_lists(code, source_of(stored, width), {});
  const auto exact = build_index(rows, stored, width, {.exact_items_max = items});
  const Unfiltered unfiltered{
      .fetch =
          [&](std::span<const float> some, std::size_t asked, std::span<std::int64_t> ids,
              std::span<float> scores) {
            faiss::SearchParametersIVF parameters;
            parameters.nprobe =
                lists_to_read(64, asked, dynamic_cast<const faiss::IndexIVF&>(*lists).nlist, items);
            lists->search(static_cast<std::int64_t>(some.size() / width), some.data(),
                          static_cast<std::int64_t>(asked), scores.data(), ids.data(), &parameters);
          },
      .width = width,
      .rows = rows,
      .complete = false,
      .neighbours_max = kGpuNeighboursMax,
      .queries_max = kGpuQueriesMax,
  };
  for (const std::uint32_t every : {1U, 2U, 10U, 100U}) {
    RowSet some(3 * (items + batch) + 1);
    for (std::uint32_t row = 0; row < some.rows(); ++row) {
      if (row / 3 % every == 0) some.insert(row);
    }
    const std::vector<const RowSet*> allow(every == 1 ? 0 : batch, &some);
    const auto found = search_widening(unfiltered, *exact, queries, k, allow);
    const auto expected = exact->search_batch(queries, k, allow);
    double recall = 0;
    double error = 0;
    for (std::size_t b = 0; b < batch; ++b) {
      ASSERT_EQ(found[b].size(), expected[b].size());
      std::set<std::uint32_t> right;
      for (const auto& neighbour : expected[b]) right.insert(neighbour.row);
      for (std::size_t i = 0; i < found[b].size(); ++i) {
        recall += static_cast<double>(right.count(found[b][i].row)) /
                  static_cast<double>(found[b].size() * batch);
        error = std::max<double>(
            error, std::abs(found[b][i].score - expected[b][i].score) / expected[b][0].score);
      }
    }
    std::cout << (code == Code::kPq ? "pq" : "fp16") << ", " << width << " channels, one of "
              << every << " allowed: recall@100 " << recall << ", score off by " << error << '\n';
    EXPECT_GE(recall, code == Code::kPq ? testing_data::kPqRecall : testing_data::kFp16Recall);
    EXPECT_LE(error, code == Code::kPq ? testing_data::kPqError : testing_data::kFp16Error);
  }
}

INSTANTIATE_TEST_SUITE_P(Codes, ListsOf,
                         testing::Combine(testing::Values(Code::kFp16, Code::kPq),
                                          testing::Values(32, 64, 128, 384)));

}  // namespace
}  // namespace fovea::index
