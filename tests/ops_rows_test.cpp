// Ops that look rows up, move and add them agree with their plain bodies; lists of indices say what
// they should.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ranking/index_lists.h"
#include "ranking/ops_plain.h"
#include "ranking/random.h"
#include "tests/ops_arrays.h"

namespace fovea::ranking {
namespace {

constexpr Context kContext{1};
constexpr std::size_t kWidth = 13;

std::vector<std::uint32_t> draw_rows(std::size_t n, std::size_t below, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint32_t> rows(n);
  for (std::uint32_t& row : rows) row = static_cast<std::uint32_t>(random.below(below));
  return rows;
}

// Runs `op(body, out)` for both bodies on what `out` holds before, and compares.
template <typename T, typename Body, typename Run>
void expect_same(std::vector<T> out, Body* fast, Body* plain, float tolerance, const Run& run) {
  std::vector<T> proof = out;
  const std::vector<T> before = out;
  run(fast, out);
  run(plain, proof);
  for (std::size_t i = 0; i < out.size(); ++i) {
    ASSERT_NEAR(out[i], proof[i], tolerance * (1 + std::abs(static_cast<float>(proof[i])))) << i;
  }
  EXPECT_NE(out, before) << "nothing was written";
}

TEST(IndexLists, SegmentsHoldEveryPlaceOnceAndInOrder) {
  const std::vector<std::uint32_t> numbers = {5, 2, 5, 5, 0, 2};
  IndexLists lists;
  lists.add(numbers);  // does not stand in the way
  const auto some = lists.add_segments(numbers);
  const auto none = lists.add_segments({});
  lists.place(kContext);
  const ops::Segments segments = lists.at(some);
  ASSERT_EQ(segments.count, 3);
  EXPECT_EQ(std::vector<std::uint32_t>(segments.ids, segments.ids + 3),
            (std::vector<std::uint32_t>{0, 2, 5}));
  EXPECT_EQ(std::vector<std::uint32_t>(segments.starts, segments.starts + 4),
            (std::vector<std::uint32_t>{0, 1, 3, 6}));
  EXPECT_EQ(std::vector<std::uint32_t>(segments.order, segments.order + 6),
            (std::vector<std::uint32_t>{4, 1, 5, 0, 2, 3}));
  EXPECT_EQ(lists.at(none).count, 0);
  EXPECT_EQ(lists.at(none).starts[0], 0);
}

TEST(IndexLists, SequencesSayWhereTokensAndPairsStand) {
  IndexLists lists;
  const auto list = lists.add_sequences(std::vector<std::uint32_t>{0, 2, 2, 5});
  lists.place(kContext);
  const ops::Sequences sequences = lists.at(list);
  EXPECT_EQ(sequences.count, 3);
  EXPECT_EQ(sequences.tokens, 5);
  EXPECT_EQ(sequences.pairs, 4 + 9);
  EXPECT_EQ(std::vector<std::uint32_t>(sequences.sequence_of, sequences.sequence_of + 5),
            (std::vector<std::uint32_t>{0, 0, 2, 2, 2}));
  EXPECT_EQ(std::vector<std::uint32_t>(sequences.pair_starts, sequences.pair_starts + 3),
            (std::vector<std::uint32_t>{0, 4, 4}));
}

TEST(IndexLists, MorePairsThanTheirNumbersReachAreRefused) {
  IndexLists lists;
  EXPECT_THROW(lists.add_sequences(std::vector<std::uint32_t>{0, 70'000}), std::length_error);
}

TEST(OpsRows, RelativeBiasAgreesForwardAndBackward) {
  const std::size_t heads = 3;
  const std::size_t ages = 50;
  const std::size_t gaps = 40;
  IndexLists lists;
  const auto list = lists.add_sequences(std::vector<std::uint32_t>{0, 1, 1, 8, 58, 60});
  lists.place(kContext);
  const ops::Sequences sequences = lists.at(list);
  std::vector<std::int64_t> times(sequences.tokens);
  for (std::size_t t = 0; t < times.size(); ++t) {
    times[t] = static_cast<std::int64_t>(t * t * t) * 1000;
  }
  times[5] = 0;  // a clock that went back
  const auto age_bias = draw(heads * ages, 1);
  const auto gap_bias = draw(heads * gaps, 2);
  const auto dout = draw(heads * sequences.pairs, 3);
  std::vector<std::uint8_t> buckets(sequences.pairs, 77);
  ops::pair_gaps(kContext, sequences, times.data(), buckets.data());
  expect_same(std::vector<std::uint8_t>(sequences.pairs, 77), ops::pair_gaps, ops::plain::pair_gaps,
              0, [&](auto* op, auto& out) { op(kContext, sequences, times.data(), out.data()); });
  expect_same(draw(heads * sequences.pairs, 4), ops::relative_bias, ops::plain::relative_bias, 0,
              [&](auto* op, auto& out) {
                op(kContext, sequences, heads, ages, age_bias.data(), gaps, gap_bias.data(),
                   buckets.data(), out.data());
              });
  expect_same(draw(heads * (ages + gaps), 5), ops::relative_bias_backward,
              ops::plain::relative_bias_backward, 1e-5F, [&](auto* op, auto& out) {
                op(kContext, sequences, heads, ages, out.data(), gaps, out.data() + heads * ages,
                   buckets.data(), dout.data());
              });
}

TEST(OpsRows, SampledLogitsAgree) {
  const std::size_t rows = 9;
  const std::size_t drawn_count = 21;
  const auto states = draw(rows * kWidth, 1);
  const auto vectors = draw(6 * kWidth, 2);
  const auto targets = draw_rows(rows, 6, 3);
  const auto drawn = draw_rows(drawn_count, 6, 4);
  std::vector<float> logits[2];
  for (const int i : {0, 1}) {
    logits[i] = draw(rows * (1 + drawn_count), 5);
    (i == 0 ? ops::sampled_logits : ops::plain::sampled_logits)(
        kContext, rows, drawn_count, kWidth, states.data(), vectors.data(), targets.data(),
        drawn.data(), 1.5F, logits[i].data());
  }
  std::size_t infinite = 0;
  for (std::size_t i = 0; i < logits[0].size(); ++i) {
    if (std::isinf(logits[1][i])) {
      ++infinite;
      EXPECT_EQ(logits[0][i], logits[1][i]);
    } else {
      EXPECT_NEAR(logits[0][i], logits[1][i], 1e-5);
    }
  }
  EXPECT_GT(infinite, 0);
}

TEST(OpsRows, LookingUpAndAddingRowsAgree) {
  const std::size_t n = 300;
  const std::size_t table = 40;
  const auto rows = draw_rows(n, table, 1);
  const auto other = draw_rows(n, table, 2);
  std::vector<std::uint32_t> shuffled(n);
  for (std::size_t i = 0; i < n; ++i) shuffled[i] = static_cast<std::uint32_t>((i * 7) % n);
  const auto from = draw(n * kWidth, 3);
  auto factors = draw(n * 2, 4);
  factors[2] = factors[10] = 0;
  expect_same(draw(n * kWidth, 5), ops::embed, ops::plain::embed, 1e-6F, [&](auto* op, auto& out) {
    op(kContext, n, kWidth, 3,
       {from.data(), from.data() + 5 * kWidth, from.data(), from.data() + kWidth, rows.data(),
        other.data(), other.data(), rows.data()},
       out.data());
  });
  IndexLists lists;
  const auto list = lists.add_segments(rows);
  lists.place(kContext);
  for (const float* factor : std::initializer_list<const float*>{nullptr, factors.data()}) {
    expect_same(draw(table * kWidth, 6), ops::add_segments, ops::plain::add_segments, 1e-5F,
                [&](auto* op, auto& out) {
                  op(kContext, lists.at(list), kWidth, 0.5F, factor, from.data(), out.data());
                });
  }
  for (const bool listed : {false, true}) {
    expect_same(draw(n * kWidth, 7), ops::copy_rows, ops::plain::copy_rows, 0,
                [&](auto* op, auto& out) {
                  op(kContext, n, kWidth, listed ? rows.data() : nullptr, from.data(),
                     listed ? shuffled.data() : nullptr, out.data());
                });
    expect_same(draw(n * kWidth, 8), ops::add_rows, ops::plain::add_rows, 1e-6F,
                [&](auto* op, auto& out) {
                  op(kContext, n, kWidth, factors.data(), 2, listed ? rows.data() : nullptr,
                     from.data(), out.data());
                });
    expect_same(draw(n * kWidth, 9), ops::add_to_rows, ops::plain::add_to_rows, 1e-6F,
                [&](auto* op, auto& out) {
                  op(kContext, n, kWidth, factors.data(), listed ? shuffled.data() : nullptr,
                     from.data(), out.data());
                });
  }
  expect_same(draw(n * kWidth, 10), ops::zero_rows, ops::plain::zero_rows, 0,
              [&](auto* op, auto& out) { op(kContext, 20, kWidth, shuffled.data(), out.data()); });
  expect_same(draw(n * kWidth, 11), ops::add, ops::plain::add, 0, [&](auto* op, auto& out) {
    op(kContext, n * kWidth, from.data(), from.data(), out.data());
  });
}

TEST(OpsRows, AdamOfRowsMovesThoseRowsAsAdamDoes) {
  const std::size_t n = 30;
  const std::vector<std::uint32_t> rows = {3, 29, 0, 8};
  const auto gradient = draw(n * kWidth, 1);
  auto weight = draw(n * kWidth, 2);
  auto all = weight;
  const auto before = weight;
  std::vector<float> first(n * kWidth), second(n * kWidth), first_all(n * kWidth),
      second_all(n * kWidth);
  ops::adam_rows(kContext, rows.size(), rows.data(), kWidth, {}, 4, gradient.data(), weight.data(),
                 first.data(), second.data());
  ops::adam(kContext, n * kWidth, {}, 4, gradient.data(), all.data(), first_all.data(),
            second_all.data());
  for (std::size_t i = 0; i < n * kWidth; ++i) {
    const bool moved = std::ranges::count(rows, i / kWidth) > 0;
    EXPECT_EQ(weight[i], moved ? all[i] : before[i]);
    EXPECT_EQ(first[i], moved ? first_all[i] : 0);
    EXPECT_EQ(second[i], moved ? second_all[i] : 0);
  }
}

TEST(OpsRows, CountingTheBetterAgrees) {
  const std::size_t n = 7;
  const std::size_t items = 101;
  auto scores = draw(n * items, 1);
  scores[3] = scores[4];  // a tie is not better
  const auto targets = draw_rows(n, items, 2);
  std::vector<std::uint32_t> offsets = {0};
  std::vector<std::uint32_t> excluded;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::uint32_t e = 0; e < i * 4; ++e) excluded.push_back(e * 3);
    offsets.push_back(static_cast<std::uint32_t>(excluded.size()));
  }
  expect_same(std::vector<std::uint32_t>(n, 777), ops::count_better, ops::plain::count_better, 0,
              [&](auto* op, auto& out) {
                op(kContext, n, items, scores.data(), targets.data(), offsets.data(),
                   excluded.data(), out.data());
              });
}

}  // namespace
}  // namespace fovea::ranking
