// The fused scorer on a GPU agrees with the CPU. Fresh random inputs in every run; FOVEA_SEED
// repeats one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ranking/array.h"
#include "ranking/scorer.h"
#include "tests/on_device.h"
#include "tests/sanitized.h"
#include "tests/scorer_case.h"

namespace fovea::ranking {
namespace {

// Several blocks of candidates each; with sanitizers a few of them.
constexpr std::size_t kLongList = unless_sanitized<std::size_t>(2000, 300);
constexpr std::size_t kList = unless_sanitized<std::size_t>(200, 130);

RankerShape shape_of(std::size_t width, std::size_t heads, std::size_t text, std::size_t hidden) {
  return {.width = width, .heads = heads, .actions = 4, .hidden = hidden, .text_width = text};
}

class ScorerOnTheGpu : public OnDevice {
 protected:
  Scorer scorer_of(const ScorerCase& made, ScorerPrecision precision, std::size_t room = 0) const {
    return {*device_,         made.weights,      made.relations(),
            made.catalogue(), made.items + room, precision};
  }

  static void expect_near(const std::vector<float>& scores, const std::vector<float>& expected) {
    ASSERT_EQ(scores.size(), expected.size());
    for (std::size_t i = 0; i < scores.size(); ++i) {
      ASSERT_TRUE(agree(scores[i], expected[i]))
          << scores[i] << " for " << expected[i] << ", candidate " << i;
    }
  }

  static std::vector<float> scores_of(Scorer& scorer, std::span<const ScorerRequest> batch,
                                      std::size_t n, const ScorerRetrieved* retrieved = nullptr) {
    std::vector<float> scores(n, NAN);
    scorer.score(batch, scores, retrieved);
    return scores;
  }

  // `batch` and `retrieved` are what is expected of `made`.
  void expect_agreement(const ScorerCase& made, const std::vector<ScorerRequest>& batch,
                        const ScorerRetrieved* retrieved = nullptr) {
    const auto expected = expected_scores(made);
    {
      Scorer scorer = scorer_of(made, ScorerPrecision::kFloat32, 3);
      expect_near(scores_of(scorer, batch, expected.size(), retrieved), expected);
    }
    Scorer scorer = scorer_of(made, ScorerPrecision::kBfloat16);
    const auto scores = scores_of(scorer, batch, expected.size(), retrieved);
    EXPECT_EQ(scores, scores_of(scorer, batch, expected.size(), retrieved)) << "two runs differ";
    const Bfloat16Cost cost = bfloat16_cost(made, scores, expected);
    EXPECT_LE(cost.error, kBfloat16Error);
    EXPECT_GE(cost.kept, kBfloat16Kept);
  }

  // Of each request, the best are those of a stable sort of `scores`.
  static void expect_best(const ScorerCase& made, std::span<const float> scores, std::size_t n,
                          const std::vector<std::vector<ScorerBest>>& best) {
    for (std::size_t u = 0; u < made.requests.size(); ++u) {
      const auto& candidates = made.requests[u].candidates;
      std::vector<std::uint32_t> order;
      for (std::uint32_t c = 0; c < candidates.size(); ++c) {
        if (candidates[c] < made.items) order.push_back(c);
      }
      std::ranges::stable_sort(order, [&](auto a, auto b) { return scores[a] > scores[b]; });
      ASSERT_EQ(best[u].size(), std::min(n, order.size()));
      for (std::size_t i = 0; i < best[u].size(); ++i) {
        EXPECT_EQ(best[u][i].candidate, order[i]);
        EXPECT_EQ(best[u][i].row, candidates[order[i]]);
        EXPECT_EQ(best[u][i].score, scores[order[i]]);
      }
      scores = scores.subspan(candidates.size());
    }
  }

  ScorerCase made_;
};

// What was retrieved, in the device's memory.
class OnTheDevice {
 public:
  OnTheDevice(const Context& gpu, const RetrievedLists& lists)
      : rows_(gpu, std::span<const std::uint32_t>(lists.rows)),
        similarities_(gpu, std::span<const float>(lists.similarities)),
        states_(gpu, std::span<const float>(lists.states)),
        view_{rows_.data(), similarities_.data(), states_.data(), lists.count, lists.centre_k} {}
  OnTheDevice(const OnTheDevice&) = delete;
  OnTheDevice& operator=(const OnTheDevice&) = delete;
  const ScorerRetrieved& view() const { return view_; }

 private:
  Array<std::uint32_t> rows_;
  Array<float> similarities_, states_;
  ScorerRetrieved view_;
};

TEST_F(ScorerOnTheGpu, AgreesForEveryLengthOfHistoryAndList) {
  made_ = scorer_case(shape_of(64, 2, 128, 64), 3000, 100, seed_);
  std::uint64_t seed = seed_;
  for (const std::size_t l : {0, 1, 2, 31, 32, 33, 50, 128, 511, 512}) {
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{127}, kLongList}) {
      add_request(made_, l, l % 2 * 50, n, ++seed);
    }
  }
  expect_agreement(made_, made_.batch());
}

TEST_F(ScorerOnTheGpu, AgreesForEveryWidth) {
  struct Widths {
    std::size_t width, heads, text, hidden;
  };
  for (const Widths& w :
       {Widths{32, 4, 0, 16}, Widths{40, 5, 7, 33}, Widths{64, 1, 128, 64}, Widths{64, 8, 128, 64},
        Widths{96, 3, 100, 65}, Widths{128, 2, 128, 256}, Widths{256, 4, 128, 300},
        Widths{384, 6, 384, 128}, Widths{384, 8, 64, 512}}) {
    SCOPED_TRACE(w.width);
    made_ = scorer_case(shape_of(w.width, w.heads, w.text, w.hidden), 1000, 60, seed_);
    for (const std::size_t l : {1, 40, 130}) add_request(made_, l, 10, kList, seed_ + l);
    expect_agreement(made_, made_.batch());
  }
}

TEST_F(ScorerOnTheGpu, TheBestAreTheSortedScores) {
  made_ = scorer_case(shape_of(64, 2, 128, 64), 3000, 100, seed_);
  for (const std::size_t n : {0, 1, 9, 500, 1024, 2000}) {
    add_request(made_, 50, 0, n, seed_ + n);
  }
  made_.requests[3].candidates[17] = 0xFFFFFFFF;  // nothing found there
  Scorer scorer = scorer_of(made_, ScorerPrecision::kBfloat16);
  const auto batch = made_.batch();
  const auto scores = scores_of(scorer, batch, made_.candidates());
  for (const std::size_t n : {1UL, 10UL, 1024UL}) {
    expect_best(made_, scores, n, scorer.best(batch, n));
  }
}

TEST_F(ScorerOnTheGpu, TakesWhatWasRetrievedForTheFirstCandidates) {
  struct Lists {
    std::size_t count, centre_k, given;
  };
  for (const Lists& l : {Lists{0, 10, 20}, Lists{1, 1, 0}, Lists{7, 100, 3}, Lists{31, 0, 200},
                         Lists{500, 50, 100}, Lists{1024, 1024, 0}}) {
    SCOPED_TRACE(l.count);
    made_ = scorer_case(shape_of(40, 2, 24, 16), 2000, 60, seed_);
    for (const std::size_t behaviours : {20, 0, 3, 100, 1, 33, 16, 0}) {
      add_request(made_, behaviours, behaviours / 2, behaviours == 1 ? 0 : l.given,
                  seed_ + behaviours);
    }
    const RetrievedLists lists = retrieve(made_, l.count, l.centre_k, seed_);
    const OnTheDevice on_device(gpu(), lists);
    expect_agreement(made_, lists.batch(made_), &on_device.view());
  }
}

TEST_F(ScorerOnTheGpu, ListsOfOneShapeMayLieElsewhereInEachCall) {
  const ScorerCase base = scorer_case(shape_of(64, 2, 24, 64), 2000, 40, seed_);
  Scorer scorer = scorer_of(base, ScorerPrecision::kFloat32);
  for (int round = 0; round < 3; ++round) {
    made_ = base;
    for (std::uint64_t u = 0; u < 9; ++u) add_request(made_, 30, 5, 40, seed_ + u);
    const RetrievedLists lists = retrieve(made_, 200, 20, seed_ + round);
    const auto batch = lists.batch(made_);
    const OnTheDevice on_device(gpu(), lists);
    const auto scores = scores_of(scorer, batch, made_.candidates(), &on_device.view());
    expect_near(scores, expected_scores(made_));
    expect_best(made_, scores, 50, scorer.best(batch, 50, &on_device.view()));
  }
}

TEST_F(ScorerOnTheGpu, ItemsAndTransitionsThatComeLaterAreSeen) {
  const ScorerCase late = scorer_case(shape_of(64, 2, 24, 64), 400, 40, seed_);
  made_ = late;
  add_request(made_, 30, 10, 300, seed_ + 1);
  const auto expected = expected_scores(made_);
  // Made with the first hundred items and nothing since; the rest follows.
  const std::span vectors(late.vectors);
  const std::span texts(late.texts);
  const std::span popularity(late.log_popularity);
  const Transitions none;
  const ItemRelations relations{late.transitions, late.ease, &none};
  Scorer scorer(*device_, late.weights, relations,
                {vectors.first(100 * 64), texts.first(100 * 24), popularity.first(100)}, 400,
                ScorerPrecision::kFloat32);
  std::vector<float> scores(expected.size(), NAN);
  scorer.score(made_.batch(), scores);
  scorer.put(100, {vectors.subspan(100 * 64), texts.subspan(100 * 24), popularity.subspan(100)});
  scorer.put_since(&late.since);
  scorer.score(made_.batch(), scores);
  expect_near(scores, expected);
}

TEST_F(ScorerOnTheGpu, BatchesOfManyShapesFollowEachOther) {
  made_ = scorer_case(shape_of(64, 2, 24, 64), 2000, 40, seed_);
  Scorer scorer = scorer_of(made_, ScorerPrecision::kFloat32);
  Random random(seed_);
  for (int round = 0; round < unless_sanitized(30, 8); ++round) {
    made_.requests.clear();
    const std::size_t users = 1 + random.below(20);
    for (std::size_t u = 0; u < users; ++u) {
      add_request(made_, random.below(60), random.below(20), random.below(300), random.next());
    }
    SCOPED_TRACE(round);
    expect_near(scores_of(scorer, made_.batch(), made_.candidates()), expected_scores(made_));
  }
}

}  // namespace
}  // namespace fovea::ranking
