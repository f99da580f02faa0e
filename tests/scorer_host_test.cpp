// The fused scorer, walked tile by tile and lane by lane on the host, agrees with the formula it is
// a fast form of.
#include "tests/scorer_host.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

#include "tests/scorer_case.h"

namespace fovea::ranking {
namespace {

using scorer::HostScorer;

void expect_agreement(const ScorerCase& made, std::uint32_t blocks) {
  HostScorer host(made);
  const auto batch = made.batch();
  const auto scores = host.score(batch, blocks);
  const auto expected = expected_scores(made);
  ASSERT_EQ(scores.size(), expected.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    ASSERT_TRUE(agree(scores[i], expected[i]))
        << scores[i] << " for " << expected[i] << ", candidate " << i;
  }
}

RankerShape shape_of(std::size_t width, std::size_t heads, std::size_t text, std::size_t hidden) {
  return {.width = width, .heads = heads, .actions = 4, .hidden = hidden, .text_width = text};
}

TEST(ScorerOnTheHost, AgreesForEveryLengthOfHistoryAndList) {
  ScorerCase made = scorer_case(shape_of(64, 2, 24, 64), 900, 40, 1);
  std::uint64_t seed = 10;
  for (const std::size_t l : {0, 1, 2, 15, 16, 17, 31, 32, 33, 100}) {
    add_request(made, l, l % 3 == 0 ? 40 : 0, 130, ++seed);
  }
  for (const std::size_t n : {0, 1, 127, 128, 129, 1000}) add_request(made, 20, 5, n, ++seed);
  expect_agreement(made, 7);
}

TEST(ScorerOnTheHost, AgreesForTheLongestHistories) {
  ScorerCase made = scorer_case(shape_of(32, 2, 32, 32), 600, 60, 2);
  add_request(made, 511, 700, 127, 21);
  add_request(made, 512, 0, 129, 22);
  expect_agreement(made, 1);
}

TEST(ScorerOnTheHost, AgreesForMoreCandidatesThanATableHolds) {
  ScorerCase made = scorer_case(shape_of(32, 1, 8, 16), 5000, 100, 3);
  add_request(made, 9, 3, 2000, 31);
  add_request(made, 3, 30, 2500, 32);
  expect_agreement(made, 3);
}

TEST(ScorerOnTheHost, AQueryCountsAsOnTheCpuAndNoQueryAsBefore) {
  ScorerCase made = scorer_case(shape_of(64, 2, 24, 64), 900, 40, 9);
  add_request(made, 40, 0, 200, 91);
  ScorerCase without = made;
  without.requests[0].bias.clear();
  expect_agreement(made, 2);
  expect_agreement(without, 2);
  EXPECT_NE(HostScorer(made).score(made.batch(), 2), HostScorer(without).score(without.batch(), 2));
  ScorerCase zero = made;
  std::ranges::fill(zero.requests[0].bias, 0.0F);
  EXPECT_EQ(HostScorer(zero).score(zero.batch(), 2), HostScorer(without).score(without.batch(), 2));
}

TEST(ScorerOnTheHost, AgreesForEveryWidth) {
  struct Widths {
    std::size_t width, heads, text, hidden;
  };
  for (const Widths& w :
       {Widths{32, 4, 0, 16}, Widths{40, 5, 7, 33}, Widths{64, 8, 128, 64}, Widths{96, 3, 100, 65},
        Widths{128, 2, 128, 256}, Widths{384, 6, 64, 128}}) {
    SCOPED_TRACE(w.width);
    ScorerCase made = scorer_case(shape_of(w.width, w.heads, w.text, w.hidden), 300, 30, w.width);
    add_request(made, 35, 10, 40, 41);
    add_request(made, 1, 0, 5, 42);
    expect_agreement(made, 2);
  }
}

TEST(ScorerOnTheHost, InBfloat16ItStaysWithinTheStatedBound) {
  struct Widths {
    std::size_t width, heads, text, hidden;
  };
  for (const Widths& w : {Widths{32, 4, 0, 16}, Widths{64, 2, 128, 64}, Widths{128, 2, 128, 256},
                          Widths{384, 8, 64, 512}}) {
    ScorerCase made = scorer_case(shape_of(w.width, w.heads, w.text, w.hidden), 300, 30, w.width);
    for (const std::size_t l : {1, 40, 130}) add_request(made, l, 10, 200, 91 + l);
    HostScorer host(made, true);
    const Bfloat16Cost cost =
        bfloat16_cost(made, host.score(made.batch(), 2), expected_scores(made));
    EXPECT_LE(cost.error, kBfloat16Error) << w.width;
    EXPECT_GT(cost.error, 1e-6) << "nothing was rounded";
    EXPECT_GE(cost.kept, kBfloat16Kept) << w.width;
  }
}

TEST(ScorerOnTheHost, AgreesWithEveryPairCounted) {
  // Nine items, so that every behaviour has every candidate among its transitions.
  ScorerCase made = scorer_case(shape_of(32, 2, 8, 16), 9, 200, 5);
  add_request(made, 60, 60, 60, 51);
  expect_agreement(made, 1);
}

TEST(ScorerOnTheHost, ScoresDoNotDependOnTheNumberOfBlocksOrTheRestOfTheBatch) {
  ScorerCase made = scorer_case(shape_of(64, 2, 24, 64), 500, 40, 6);
  add_request(made, 70, 10, 300, 61);
  add_request(made, 5, 0, 200, 62);
  HostScorer host(made);
  const auto batch = made.batch();
  const auto together = host.score(batch, 1);
  EXPECT_EQ(together, host.score(batch, 5));
  const auto alone = host.score(std::span(batch).last(1), 2);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.end() - 200));
}

TEST(ScorerOnTheHost, ARowThatIsNoneScoresBelowAll) {
  ScorerCase made = scorer_case(shape_of(32, 2, 8, 16), 50, 10, 7);
  add_request(made, 3, 0, 4, 71);
  made.requests[0].candidates[2] = 50;
  made.requests[0].candidates[3] = scorer::kNoRow;
  HostScorer host(made);
  const auto scores = host.score(made.batch(), 1);
  EXPECT_TRUE(std::isfinite(scores[0]) && std::isfinite(scores[1]));
  EXPECT_EQ(scores[2], -INFINITY);
  EXPECT_EQ(scores[3], -INFINITY);
}

TEST(ScorerOnTheHost, TakesWhatWasRetrievedForTheFirstCandidates) {
  struct Lists {
    std::size_t count, centre_k, given;
  };
  for (const Lists& l : {Lists{0, 10, 20}, Lists{1, 1, 0}, Lists{7, 100, 3}, Lists{31, 0, 200},
                         Lists{130, 50, 1}, Lists{300, 33, 0}, Lists{300, 300, 100}}) {
    SCOPED_TRACE(l.count);
    ScorerCase made = scorer_case(shape_of(40, 2, 24, 16), 900, 40, 9);
    for (const std::size_t behaviours : {20, 0, 3, 40, 1, 33, 16, 0}) {
      add_request(made, behaviours, behaviours / 2, behaviours == 1 ? 0 : l.given, 91 + behaviours);
    }
    HostScorer host(made);
    const RetrievedLists lists = retrieve(made, l.count, l.centre_k, 92);
    const ScorerRetrieved retrieved = lists.view();
    const auto scores = host.score(lists.batch(made), 3, &retrieved);
    const auto expected = expected_scores(made);
    ASSERT_EQ(scores.size(), expected.size());
    std::size_t c = 0;
    for (const ScorerCase::Request& request : made.requests) {
      for (const std::uint32_t row : request.candidates) {
        ASSERT_EQ(host.candidates()[c], row);
        ASSERT_EQ(scores[c] == -INFINITY, row == scorer::kNoRow);
        ASSERT_TRUE(agree(scores[c], expected[c])) << scores[c] << " for " << expected[c];
        ++c;
      }
    }
  }
}

TEST(ScorerOnTheHost, RefusesWhatDoesNotFitTheRanker) {
  ScorerCase made = scorer_case(shape_of(32, 2, 8, 16), 50, 10, 8);
  add_request(made, 3, 0, 4, 81);
  made.requests[0].behaviours[1].action = 4;
  EXPECT_THROW(scorer::pack_requests(made.weights, 50, made.batch(), 0, nullptr),
               std::invalid_argument);
  made.requests[0].behaviours[1].action = 0;
  const ScorerRetrieved nothing;
  EXPECT_THROW(scorer::pack_requests(made.weights, 50, made.batch(), 0, &nothing),
               std::invalid_argument);
  made.requests[0].bias.pop_back();
  EXPECT_THROW(scorer::pack_requests(made.weights, 50, made.batch(), 0, nullptr),
               std::invalid_argument);
  made.requests[0].bias.clear();
  made.requests[0].state.pop_back();
  EXPECT_THROW(scorer::pack_requests(made.weights, 50, made.batch(), 0, nullptr),
               std::invalid_argument);
  EXPECT_THROW(scorer::BankPacker(RankerWeights(shape_of(72, 9, 8, 16))), std::invalid_argument);
}

}  // namespace
}  // namespace fovea::ranking
