// Claim: a version on a GPU gives the CPU's user states, neighbours and scores, for users of every
// length together, through items that come and go and behaviours after training; and refuses what
// does not fit. Skips where no device answers.
#include "engine/gpu_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <optional>
#include <random>

#include "engine/request.h"
#include "index/gpu_index.h"
#include "ranking/device.h"
#include "ranking/encoder.h"
#include "tests/scorer_case.h"

namespace fovea::engine {
namespace {

using ranking::Behaviour;
using ranking::Random;
using testing::HasSubstr;

constexpr std::size_t kItems = 3'000;
constexpr std::size_t kWidth = 64;
constexpr std::size_t kTextWidth = 32;
constexpr std::size_t kLongest = 50;
constexpr std::size_t kBudget = std::size_t{4} << 30;

// Scores by the spread of a user's, as in scorer_case.h; the first ten of a list, kept.
constexpr double kScoreError = ranking::kBfloat16Error;

class GpuModelTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto devices = ranking::device_count();
    if (devices.count == 0) GTEST_SKIP() << "no GPU: " << devices.reason;
    try {
      index::open_gpu({.scratch_mib = 64});
    } catch (const index::DeviceError& error) {
      GTEST_SKIP() << "no GPU: " << error.what();
    }
    const char* given = std::getenv("FOVEA_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "FOVEA_SEED=" << seed << '\n';
    random_ = Random(seed);
    made_ = ranking::scorer_case({.width = kWidth,
                                  .heads = 2,
                                  .actions = 3,
                                  .hidden = 64,
                                  .text_width = kTextWidth,
                                  .centre_k = 100},
                                 kItems, 20, seed);
    ranking::EncoderShape shape;
    shape.width = kWidth;
    shape.behaviours_max = kLongest;
    shape.items = kItems;
    shape.actions = 3;
    auto encoder =
        std::make_shared<ranking::EncoderWeights>(ranking::EncoderWeights::random(shape, seed));
    for (auto& [name, tensor] : encoder->tensors()) {
      for (float& x : tensor->values()) x += 0.05F * random_.normal();
    }
    encoder->learned.assign(kItems, 1);
    model_.emplace(encoder, std::make_shared<ranking::RankerWeights>(made_.weights),
                   made_.transitions, made_.ease);
    vectors_.emplace(made_.texts, kTextWidth, made_.vectors, kWidth);
    std::vector<std::uint32_t> rows(kItems);
    std::iota(rows.begin(), rows.end(), 0U);
    index_ =
        std::make_shared<index::LiveIndex>(index::build_index(rows, made_.vectors, kWidth), kWidth);
  }

  GpuSource source() const { return {*model_, *vectors_, index_, made_.log_popularity}; }

  GpuQuestion question(std::size_t length, std::size_t earlier, std::size_t nearest,
                       std::size_t others) {
    GpuQuestion result;
    const auto behave = [&](std::size_t n) {
      std::vector<Behaviour> behaviours(n);
      for (std::size_t i = 0; i < n; ++i) {
        behaviours[i] = {static_cast<std::uint32_t>(random_.below(kItems)),
                         static_cast<std::uint16_t>(random_.below(4)),  // one more than known
                         static_cast<float>(random_.below(5)),
                         static_cast<std::int64_t>(i) * 3'600'000};
      }
      return behaviours;
    };
    result.behaviours = behave(length);
    result.earlier = behave(earlier);
    result.vectors = vectors_->gather(rows_of(result.behaviours)).items;
    result.nearest = nearest;
    for (std::size_t i = 0; i < others; ++i) {
      result.others.push_back(static_cast<std::uint32_t>(random_.below(kItems)));
    }
    if (length % 2 == 1) result.bias = ranking::random_values(random_, length, 1);  // a query
    return result;
  }

  static std::vector<std::uint32_t> rows_of(const auto& list) {
    std::vector<std::uint32_t> rows;
    for (const auto& one : list) rows.push_back(one.row);
    return rows;
  }

  std::vector<float> scores_on_cpu(const GpuQuestion& question, std::span<const float> state,
                                   std::span<const std::uint32_t> rows, float centre,
                                   const ranking::Transitions* since) const {
    const auto read = vectors_->gather(rows_of(question.behaviours));
    const auto found = vectors_->gather(rows);
    std::vector<float> popularity;
    for (const auto row : rows) popularity.push_back(row < kItems ? made_.log_popularity[row] : 0);
    return model_
        ->score(ranking::Context{}, state,
                {question.behaviours, read.items, read.texts, question.earlier, question.bias},
                {rows, found.items, found.texts, popularity}, centre, false, since)
        .total;
  }

  void expect_as_on_cpu(const GpuQuestion& question, const GpuAnswer& answer,
                        const ranking::Transitions* since) const {
    const auto read = vectors_->gather(rows_of(question.behaviours));
    const auto state =
        model_->user_state(ranking::Context{}, {question.behaviours, read.items, read.texts});
    ASSERT_EQ(answer.state.size(), state.size());
    for (std::size_t d = 0; d < state.size(); ++d) {
      ASSERT_NEAR(answer.state[d], state[d], 1e-3 * (1 + std::abs(state[d])));
    }
    const auto nearest = index_->search(answer.state, question.nearest);
    ASSERT_EQ(answer.nearest.size(), nearest.size());
    for (std::size_t i = 0; i < nearest.size(); ++i) {
      ASSERT_NEAR(answer.nearest[i].score, nearest[i].score, 1e-3);
    }
    double centre = 0;
    const auto reference = index_->search(answer.state, model_->centre_k());
    for (const auto& one : reference) centre += one.score / static_cast<double>(reference.size());
    auto rows = rows_of(answer.nearest);
    rows.insert(rows.end(), question.others.begin(), question.others.end());
    const auto expected = scores_on_cpu(question, state, rows, static_cast<float>(centre), since);
    auto scores = answer.nearest_scores;
    scores.insert(scores.end(), answer.other_scores.begin(), answer.other_scores.end());
    ASSERT_EQ(scores.size(), expected.size());
    double mean = 0;
    double square = 0;
    for (const float x : expected) mean += x / static_cast<double>(expected.size());
    for (const float x : expected) {
      square += (x - mean) * (x - mean) / static_cast<double>(expected.size());
    }
    const double spread = std::max(std::sqrt(square), 0.5);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      ASSERT_NEAR(scores[i], expected[i], kScoreError * spread) << "candidate " << i;
    }
  }

  void expect_as_on_cpu(GpuModel& gpu, const std::vector<GpuQuestion>& questions,
                        const std::shared_ptr<const ranking::Transitions>& since = nullptr) const {
    std::vector<const GpuQuestion*> batch;
    for (const auto& one : questions) batch.push_back(&one);
    const auto answers = gpu.rank(batch, since);
    ASSERT_EQ(answers.size(), questions.size());
    for (std::size_t q = 0; q < questions.size(); ++q) {
      SCOPED_TRACE(testing::Message() << "question " << q);
      expect_as_on_cpu(questions[q], answers[q], since.get());
    }
  }

  Random random_{0};
  ranking::ScorerCase made_;
  std::optional<ranking::Model> model_;
  std::optional<ItemVectors> vectors_;
  std::shared_ptr<index::LiveIndex> index_;
};

TEST_F(GpuModelTest, RanksUsersOfEveryLengthTogetherAsTheCpuDoesEach) {
  GpuModel gpu(source(), kBudget, 2);
  std::vector<GpuQuestion> questions;
  questions.push_back(question(1, 0, 100, 0));
  questions.push_back(question(kLongest, 200, 500, 300));
  questions.push_back(question(7, 3, 1, 1));
  for (int i = 0; i < 14; ++i) {
    questions.push_back(question(1 + random_.below(kLongest), random_.below(80),
                                 1 + random_.below(400), random_.below(500)));
  }
  expect_as_on_cpu(gpu, questions);
  expect_as_on_cpu(gpu, {question(3, 0, GpuModel::kNearestMax, 10)});
}

TEST_F(GpuModelTest, TakesBehavioursAfterTrainingAndForgetsThemAgain) {
  GpuModel gpu(source(), kBudget, 2);
  const std::vector<GpuQuestion> questions = {question(20, 0, 200, 400)};
  const auto since = std::make_shared<const ranking::Transitions>(made_.since);
  expect_as_on_cpu(gpu, questions, since);
  expect_as_on_cpu(gpu, questions);
}

TEST_F(GpuModelTest, FindsItemsThatCameAndNotThoseThatWent) {
  GpuModel gpu(source(), kBudget, 2);
  // A new row, and rows that are there already with other vectors.
  const std::vector<std::uint32_t> rows = {kItems + 5, 7, 11};
  const auto texts = ranking::random_values(random_, rows.size() * kTextWidth, 0.2F);
  const auto vectors = ranking::random_values(random_, rows.size() * kWidth, 1.0F);
  vectors_->put(rows, texts, vectors);
  ASSERT_TRUE(gpu.put(rows, texts, vectors));
  index_->put(rows, vectors);
  std::vector<GpuQuestion> questions;
  for (int i = 0; i < 4; ++i) questions.push_back(question(10, 0, 300, 50));
  questions[0].others = rows;
  expect_as_on_cpu(gpu, questions);

  std::vector<const GpuQuestion*> batch = {&questions[1]};
  const std::uint32_t best = gpu.rank(batch, nullptr)[0].nearest.front().row;
  index_->remove(std::vector{best});
  EXPECT_NE(gpu.rank(batch, nullptr)[0].nearest.front().row, best);
  expect_as_on_cpu(gpu, questions);
}

TEST_F(GpuModelTest, SaysWhenItHasNoRoomForAnItem) {
  GpuModel gpu(source(), kBudget, 2);
  const std::vector<float> text(kTextWidth, 0.1F);
  const std::vector<float> vector(kWidth, 0.1F);
  EXPECT_FALSE(gpu.put(std::vector<std::uint32_t>{10'000'000}, text, vector));
}

TEST_F(GpuModelTest, SaysWhatItNeedsWhereTheBudgetIsSmaller) {
  try {
    GpuModel gpu(source(), std::size_t{100} << 20, 2);
    FAIL() << "it fits";
  } catch (const Unavailable& error) {
    EXPECT_THAT(error.what(), HasSubstr("3000 items need at least"));
    EXPECT_THAT(error.what(), HasSubstr("100 are allowed"));
  }
}

}  // namespace
}  // namespace fovea::engine
