// Units come into variants as PlanOut and GrowthBook would put them there, in the shares declared,
// independently from layer to layer.
#include "engine/assignment.h"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/count_tests.h"

namespace fovea::engine {
namespace {

using testing::HasSubstr;

Experiment experiment(const std::string& name, const std::vector<double>& weights) {
  Experiment result;
  result.name = result.layer = result.salt = name;
  for (const double weight : weights) {
    result.variants.push_back({"v" + std::to_string(result.variants.size()), weight, {}});
  }
  return result;
}

TEST(Hashing, OfFnvHasItsPublishedValues) {
  EXPECT_EQ(fnv1a32(""), 0x811c9dc5U);
  EXPECT_EQ(fnv1a32("a"), 0xe40c292cU);
  EXPECT_EQ(fnv1a32("foobar"), 0xbf9cf968U);
}

TEST(Hashing, OfGrowthBookHasItsPublishedValues) {
  EXPECT_DOUBLE_EQ(growthbook_uniform("seed", "a"), .0505);
  EXPECT_DOUBLE_EQ(growthbook_uniform("seed", "b"), .2696);
  EXPECT_DOUBLE_EQ(growthbook_uniform("foo", "ab"), .2575);
  EXPECT_DOUBLE_EQ(growthbook_uniform("foo", "def"), .2019);
}

TEST(Hashing, OfGrowthBookReadsTheBytesOfUtf8) {
  // By hand in Python, over "seed\u00fc".encode().
  EXPECT_DOUBLE_EQ(growthbook_uniform("seed", "\xC3\xBC"), 0.005);
}

TEST(Hashing, OfPlanOutReadsFifteenDigits) {
  // int(hashlib.sha1(text).hexdigest()[:15], 16) / float(0xFFFFFFFFFFFFFFF) in Python.
  EXPECT_EQ(planout_uniform("abc"), 0.6624945528519905);
  EXPECT_EQ(planout_uniform("no-ranker.ada"), 0.8771529696622551);
  EXPECT_EQ(planout_uniform(""), 0.8524420220332277);
}

TEST(Assignment, IsByTheCumulativeShareOfTheWeights) {
  const Experiment three = experiment("three", {.2, .3, .5});
  for (int user = 0; user < 5'000; ++user) {
    const std::string unit = "user-" + std::to_string(user);
    const double u = planout_uniform("three." + unit);
    EXPECT_EQ(assign(three, unit), u < .2 ? 0U : u < .5 ? 1U : 2U) << unit;
  }
}

TEST(Assignment, GivesEachVariantItsShare) {
  for (const Hash hash : {Hash::kPlanOut, Hash::kGrowthBook}) {
    Experiment four = experiment("four", {.1, .2, .3, .4});
    four.hash = hash;
    std::vector<std::int64_t> counts(4);
    for (int user = 0; user < 100'000; ++user) {
      ++counts[assign(four, "u" + std::to_string(user)).value()];
    }
    EXPECT_GT(sample_ratio_p_value(counts, std::vector<double>{.1, .2, .3, .4}), .001);
  }
}

TEST(Assignment, OfALayerGivesEachUnitToOneExperimentAtMost) {
  std::vector<Experiment> layer;
  for (const auto& [from, to] : {std::pair(0., .25), std::pair(.25, .3), std::pair(.5, 1.)}) {
    layer.push_back(experiment("e" + std::to_string(layer.size()), {.5, .5}));
    layer.back().layer = "ranking";
    layer.back().from = from;
    layer.back().to = to;
  }
  std::map<std::size_t, int> in;
  for (int user = 0; user < 20'000; ++user) {
    std::size_t experiments = 0;
    for (const Experiment& one : layer) {
      if (!assign(one, std::to_string(user))) continue;
      ++experiments;
      ++in[&one - layer.data()];
    }
    EXPECT_LE(experiments, 1U);
  }
  EXPECT_NEAR(in[0], 5'000, 250);
  EXPECT_NEAR(in[1], 1'000, 130);
  EXPECT_NEAR(in[2], 10'000, 300);
}

TEST(Assignment, OfTwoLayersOrOfALayerAndItsVariantsHasNothingToDoWithEachOther) {
  Experiment first = experiment("first", {.5, .5});
  Experiment second = experiment("second", {.5, .5});
  first.to = second.to = .5;
  // Were layer and variants hashed alike, the lower half of the layer would be one variant.
  first.salt = "first variants";
  std::array<std::int64_t, 4> together{};
  std::array<std::int64_t, 2> halves{};
  for (int user = 0; user < 80'000; ++user) {
    const std::string unit = std::to_string(user);
    const auto a = assign(first, unit);
    const auto b = assign(second, unit);
    ++together[(a ? 1 : 0) + (b ? 2 : 0)];
    if (a) ++halves[*a];
  }
  EXPECT_GT(sample_ratio_p_value(together, std::vector<double>(4, 1)), .001);
  EXPECT_GT(sample_ratio_p_value(halves, std::vector<double>(2, 1)), .001);
}

TEST(Assignment, OfGrowthBookLeavesOutWhatTheCoverageDoes) {
  Experiment half = experiment("half", {.5, .5});
  half.hash = Hash::kGrowthBook;
  half.from = .2;
  half.to = .6;  // 40 percent: [0, .2) and [.5, .7)
  for (int user = 0; user < 5'000; ++user) {
    const std::string unit = std::to_string(user);
    const int n = static_cast<int>(std::lround(10'000 * growthbook_uniform("half", unit)));
    const auto variant = assign(half, unit);
    // 2,000 and 7,000 themselves are where rounding decides.
    if (n == 2'000 || n == 7'000) continue;
    if (n < 2'000) {
      EXPECT_EQ(variant, 0U) << n;
    } else if (n >= 5'000 && n < 7'000) {
      EXPECT_EQ(variant, 1U) << n;
    } else {
      EXPECT_EQ(variant, std::nullopt) << n;
    }
  }
}

TEST(Assignment, OfAVariantWithoutWeightNeverHappens) {
  for (const Hash hash : {Hash::kPlanOut, Hash::kGrowthBook}) {
    Experiment one = experiment("one", {0, 1, 0});
    one.hash = hash;
    for (int user = 0; user < 2'000; ++user) EXPECT_EQ(assign(one, std::to_string(user)), 1U);
  }
}

TEST(Assignment, OfWeightsRoundedBelowOneLeavesNobodyOut) {
  Experiment thirds = experiment("thirds", {.3333333, .3333333, .3333333});
  for (int user = 0; user < 10'000; ++user) {
    EXPECT_TRUE(assign(thirds, std::to_string(user)).has_value());
  }
}

TEST(Holdouts, AreTheShareDeclared) {
  int held_out = 0;
  const Holdout tenth{.1, "holdout"};
  for (int user = 0; user < 20'000; ++user) {
    const std::string unit = std::to_string(user);
    EXPECT_EQ(is_held_out(tenth, unit), planout_uniform("holdout." + unit) < .1);
    EXPECT_FALSE(is_held_out(Holdout{}, unit));
    held_out += is_held_out(tenth, unit) ? 1 : 0;
  }
  EXPECT_NEAR(held_out, 2'000, 180);
}

void expect_refused(const Experiment& experiment, const std::string& field,
                    const std::string& sentence, const std::vector<Experiment>& before = {}) {
  try {
    validate(experiment, before);
    ADD_FAILURE() << "not refused: " << field;
  } catch (const InvalidRequest& error) {
    EXPECT_EQ(error.field, field);
    EXPECT_THAT(error.what(), HasSubstr(sentence));
  }
}

TEST(Declarations, AreRefusedForWhatTheyMayNotSay) {
  const Experiment right = experiment("right", {.5, .5});
  EXPECT_NO_THROW(validate(right, {}));
  const auto with = [&](const std::function<void(Experiment&)>& change) {
    Experiment wrong = right;
    change(wrong);
    return wrong;
  };
  expect_refused(with([](auto& e) { e.name = ""; }), "name", "missing or empty");
  expect_refused(with([](auto& e) { e.name = std::string(1'000, 'x'); }), "name", "bytes");
  expect_refused(with([](auto& e) { e.version = 0; }), "version", "1 or more");
  expect_refused(with([](auto& e) { e.from = -.1; }), "from", "0 to below 1");
  expect_refused(with([](auto& e) { e.from = std::nan(""); }), "from", "0 to below 1");
  expect_refused(with([](auto& e) { e.to = 1.1; }), "to", "at most 1");
  expect_refused(with([](auto& e) { e.to = 0; }), "to", "above from");
  expect_refused(with([](auto& e) { e.variants.pop_back(); }), "variant", "2 to 100");
  expect_refused(with([](auto& e) { e.variants[1].name = "v0"; }), "variant.name", "two variants");
  expect_refused(with([](auto& e) { e.variants[1].weight = .6; }), "variant.weight",
                 "add up to 1.1");
  expect_refused(with([](auto& e) { e.variants[1].weight = -.5; }), "variant.weight", "0 to 1");
  expect_refused(with([](auto& e) { e.variants[0].set.candidates = 0; }), "set.candidates",
                 "1 to 10000");
  expect_refused(with([](auto& e) { e.variants[0].set.diversity = 2; }), "set.diversity", "0 to 1");
  expect_refused(with([](auto& e) { e.variants[0].set.boosts = {{"year >", 1}}; }),
                 "set.boosts[0].filter", "set.boosts[0].filter");
  expect_refused(with([](auto& e) { e.variants[0].set.boosts = {{"a = 1", 1e9}}; }),
                 "set.boosts[0].add", "a number");
  expect_refused(with([](auto& e) { e.variants[0].set.model_version = ""; }), "set.model_version",
                 "missing or empty");
  expect_refused(with([](auto& e) { e.guardrails = {""}; }), "guardrails", "missing or empty");
  expect_refused(with([](auto& e) {
                   e.start_ms = 5;
                   e.end_ms = 5;
                 }),
                 "end", "after start");
}

TEST(Declarations, OfOneLayerAndTimeMayNotOverlap) {
  Experiment first = experiment("first", {.5, .5});
  Experiment second = experiment("second", {.5, .5});
  first.to = .5;
  second.layer = "first";
  second.from = .4;
  expect_refused(second, "from", "overlaps with [0, 0.5) of 'first'", {first});
  second.from = .5;
  EXPECT_NO_THROW(validate(second, std::vector{first}));
  second.hash = Hash::kGrowthBook;
  expect_refused(second, "layer", "a layer of its own", {first});
  second.hash = Hash::kPlanOut;
  second.from = 0;
  first.end_ms = 1'000;
  second.start_ms = 999;
  expect_refused(second, "from", "overlaps", {first});
  second.start_ms = 1'000;
  EXPECT_NO_THROW(validate(second, std::vector{first}));
  second.name = "first";
  expect_refused(second, "name", "two experiments", {first});
}

TEST(Declarations, RunFromTheirStartToBeforeTheirEnd) {
  Experiment always = experiment("always", {.5, .5});
  EXPECT_TRUE(is_running(always, 0));
  always.start_ms = 10;
  always.end_ms = 20;
  EXPECT_FALSE(is_running(always, 9));
  EXPECT_TRUE(is_running(always, 10));
  EXPECT_TRUE(is_running(always, 19));
  EXPECT_FALSE(is_running(always, 20));
}

}  // namespace
}  // namespace fovea::engine
