// What the arithmetic does at its edges and whatever the numbers: limits, symmetries, sentences.
#include "engine/statistics.h"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/count_tests.h"
#include "engine/multiple_testing.h"
#include "engine/off_policy.h"
#include "engine/power.h"
#include "engine/request.h"

namespace fovea::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNaN = std::nan("");

/// Checks that `call` is refused for this field, with a sentence that has this in it.
void expect_refused(const std::function<void()>& call, const std::string& field,
                    const std::string& sentence) {
  try {
    call();
    ADD_FAILURE() << "not refused: " << field;
  } catch (const InvalidRequest& error) {
    EXPECT_EQ(error.field, field);
    EXPECT_THAT(error.what(), HasSubstr(sentence));
  }
}

Arm arm_of(const std::vector<double>& values) {
  Arm arm;
  for (const double value : values) {
    ++arm.n;
    arm.sum += value;
    arm.sum_squares += value * value;
  }
  return arm;
}

const Arm kSome = arm_of({1, 2, 3, 4});
const Arm kMore = arm_of({2, 3, 4, 5, 7});

TEST(Comparison, WithoutVarianceIsTheLimit) {
  const Arm ones = arm_of({1, 1, 1});
  const Arm twos = arm_of({2, 2});
  const Estimate apart = compare(ones, twos, {Scale::kAbsolute});
  EXPECT_EQ(apart.estimate, 1);
  EXPECT_EQ(apart.standard_error, 0);
  EXPECT_EQ(apart.ci.low, 1);
  EXPECT_EQ(apart.ci.high, 1);
  EXPECT_EQ(apart.p_value, 0);
  EXPECT_EQ(compare(ones, ones, {Scale::kAbsolute}).p_value, 1);
  // Which may be an accident of the first few units, that a sequence of looks never takes back.
  expect_refused([&] { compare(ones, twos, {Scale::kAbsolute, .05, 100}); }, "control.sum_squares",
                 "look again");
}

TEST(Comparison, WithOneArmWithoutVarianceHasTheOthersDegreesOfFreedom) {
  // Student's quantile for 3 degrees, 3.182446; standard error of the mean of kSome, .645497.
  const Estimate found = compare(arm_of({2, 2, 2}), kSome, {Scale::kAbsolute});
  EXPECT_NEAR(found.ci.high - found.estimate, 3.182446 * .645497, 1e-5);
}

TEST(Comparison, OfAMetricThatBeforeExplainsWholly) {
  Arm control = kSome;
  control.before = {{control.sum, control.sum_squares, control.sum_squares}};
  Arm treatment = kMore;
  treatment.before = {{treatment.sum, treatment.sum_squares, treatment.sum_squares}};
  const Estimate absolute = compare(control, treatment, {Scale::kAbsolute});
  EXPECT_NEAR(absolute.estimate, 0, 1e-12);
  EXPECT_NEAR(absolute.standard_error, 0, 1e-7);
  EXPECT_NEAR(compare(control, treatment).estimate, 0, 1e-12);
}

TEST(Comparison, WithABeforeThatIsAlwaysTheSameIsNotAdjusted) {
  Arm control = kSome;
  Arm treatment = kMore;
  const double plain = compare(control, treatment).estimate;
  control.before = {{.3 * 4, .09 * 4, .3 * control.sum}};
  treatment.before = {{.3 * 5, .09 * 5, .3 * treatment.sum}};
  EXPECT_EQ(compare(control, treatment).estimate, plain);
}

TEST(Comparison, RefusesWhatCannotBe) {
  const auto with = [](const std::function<void(Arm&)>& change) {
    return [change] {
      Arm arm = kSome;
      change(arm);
      compare(arm, kMore);
    };
  };
  expect_refused(with([](Arm& arm) { arm.n = 1; }), "control.n", "2 units or more");
  expect_refused(with([](Arm& arm) { arm.n = -4; }), "control.n", "2 units or more");
  expect_refused(with([](Arm& arm) { arm.sum = kNaN; }), "control.sum", "finite");
  expect_refused(with([](Arm& arm) { arm.sum_squares = kInfinity; }), "control.sum_squares",
                 "finite");
  expect_refused(with([](Arm& arm) { arm.sum_squares = 20; }), "control.sum_squares",
                 "no numbers have such sums");
  expect_refused(with([](Arm& arm) { arm.sum = 0; }), "control.sum", "absolute difference");
  expect_refused(with([](Arm& arm) { arm.before = {{1, 2, 3}}; }), "treatment", "both have");
  expect_refused(with([](Arm& arm) { arm.denominator = {{1, 2, 3}}; }), "treatment", "both have");
  expect_refused([] { compare(kSome, arm_of({0, 0, 0})); }, "treatment.sum", "absolute difference");
  for (const double alpha : {0., -1., 1., 1e-9, kNaN}) {
    expect_refused([&] { compare(kSome, kMore, {Scale::kAbsolute, alpha}); }, "alpha", "0.05");
  }
  for (const double tuning : {0., -1., kInfinity, kNaN}) {
    expect_refused([&] { compare(kSome, kMore, {Scale::kAbsolute, .05, tuning}); },
                   "sequential.tuning", "5000");
  }
  const auto second = [](double sum, double squares, double products) {
    return [=] {
      Arm control = kSome;
      Arm treatment = kMore;
      control.denominator = SecondSums{sum, squares, products};
      treatment.denominator = SecondSums{5, 5, treatment.sum};
      compare(control, treatment);
    };
  };
  expect_refused(second(0, 0, 0), "control.denominator_sum", "no value");
  expect_refused(second(4, 1, 10), "control.denominator_sum_squares", "no numbers");
  expect_refused(second(4, 5, 99), "control.numerator_denominator_sum_of_products",
                 "more than wholly");
}

TEST(Comparison, OfNumbersThatOverflowIsRefusedAndNeverNaN) {
  Arm huge{10, 1e160, 1e308};
  expect_refused([&] { compare(kSome, Arm{10, 1e308, 1e308}); }, "treatment.sum_squares",
                 "no numbers");
  EXPECT_THROW(compare(kSome, huge), InvalidRequest);
  expect_refused([&] { compare(Arm{2, 1e-308, 1e-308}, kMore); }, "control", "scale the metric");
}

TEST(Comparison, IsFiniteOrRefusedWhateverTheSums) {
  std::mt19937_64 random(7);
  const auto number = [&] {
    std::uniform_real_distribution<double> exponent(-330, 308);
    const double value = std::pow(10., exponent(random));
    return random() % 4 == 0 ? -value : random() % 8 == 0 ? 0. : value;
  };
  int refused = 0;
  int answered = 0;
  for (int run = 0; run < 200'000; ++run) {
    const auto arm = [&] {
      Arm result{2 + static_cast<std::int64_t>(random() % 5), number(), number()};
      // Half of them like sums that there are, at any size.
      if (random() % 2 == 0) result.sum_squares = result.sum * result.sum * (1 + run % 3);
      if (run % 5 == 1) result.before = SecondSums{number(), number(), number()};
      if (run % 5 == 2) result.denominator = SecondSums{number(), number(), number()};
      return result;
    };
    CompareOptions options;
    options.scale = random() % 2 == 0 ? Scale::kAbsolute : Scale::kRelative;
    if (random() % 2 == 0) options.tuning = 1 + static_cast<double>(random() % 10'000);
    try {
      const Estimate found = compare(arm(), arm(), options);
      ++answered;
      ASSERT_TRUE(std::isfinite(found.estimate) && std::isfinite(found.standard_error));
      ASSERT_TRUE(std::isfinite(found.ci.low) && std::isfinite(found.ci.high));
      ASSERT_LE(found.ci.low, found.ci.high);
      ASSERT_TRUE(found.p_value >= 0 && found.p_value <= 1) << found.p_value;
    } catch (const InvalidRequest&) {
      ++refused;
    }
  }
  EXPECT_GT(answered, 10'000);
  EXPECT_GT(refused, 10'000);
}

TEST(Comparison, MirrorsWhenTheArmsChangePlaces) {
  for (const std::optional<double> tuning : {std::optional<double>(), std::optional<double>(9)}) {
    const Estimate there = compare(kSome, kMore, {Scale::kAbsolute, .05, tuning});
    const Estimate back = compare(kMore, kSome, {Scale::kAbsolute, .05, tuning});
    EXPECT_DOUBLE_EQ(there.estimate, -back.estimate);
    EXPECT_DOUBLE_EQ(there.ci.low, -back.ci.high);
    EXPECT_DOUBLE_EQ(there.p_value, back.p_value);
  }
}

TEST(Comparison, ExcludesZeroExactlyWhenThePValueIsBelowAlpha) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(2, 1);
  int rejected = 0;
  for (int run = 0; run < 2'000; ++run) {
    std::vector<double> a(30);
    std::vector<double> b(40);
    for (double& value : a) value = normal(random);
    for (double& value : b) value = normal(random) + .5;
    CompareOptions options;
    options.alpha = .1;
    // The sequence's rho goes with alpha, and so both speak of the same alpha.
    if (run % 2 == 0) options.tuning = 50;
    const Estimate found = compare(arm_of(a), arm_of(b), options);
    const bool excludes = found.ci.low > 0 || found.ci.high < 0;
    EXPECT_EQ(excludes, found.p_value < options.alpha);
    rejected += excludes ? 1 : 0;
  }
  EXPECT_GT(rejected, 100);
  EXPECT_LT(rejected, 1'900);
}

TEST(Comparison, LookedAtOftenIsWiderThanLookedAtOnce) {
  std::vector<double> many(1'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i % 7);
  const Estimate once = compare(arm_of(many), arm_of(many), {Scale::kAbsolute});
  for (const double tuning : {10., 500., 2'000., 50'000.}) {
    const Estimate often = compare(arm_of(many), arm_of(many), {Scale::kAbsolute, .05, tuning});
    EXPECT_GT(often.ci.high, once.ci.high) << tuning;
    EXPECT_GE(often.p_value, once.p_value) << tuning;
  }
}

TEST(Mean, HasStudentsInterval) {
  const Estimate found = mean(kSome, "control");
  EXPECT_EQ(found.estimate, 2.5);
  EXPECT_NEAR(found.standard_error, .645497, 1e-6);
  EXPECT_NEAR(found.ci.low, 2.5 - 3.182446 * .645497, 1e-5);
  expect_refused([] { mean(Arm{}, "control"); }, "control.n", "2 units");
}

TEST(SampleRatio, OfAnEvenSplitIsOneAndOfNoneToo) {
  EXPECT_EQ(sample_ratio_p_value(std::vector<std::int64_t>{500, 500}, std::vector<double>{1, 1}),
            1);
  EXPECT_EQ(sample_ratio_p_value(std::vector<std::int64_t>{0, 0}, std::vector<double>{1, 1}), 1);
  EXPECT_EQ(
      sample_ratio_p_value(std::vector<std::int64_t>{1'000'000, 0}, std::vector<double>{1, 1}), 0);
}

TEST(SampleRatio, RefusesWhatIsNoSplit) {
  const auto ask = [](const std::vector<std::int64_t>& units, const std::vector<double>& weights) {
    return [=] { sample_ratio_p_value(units, weights); };
  };
  expect_refused(ask({1}, {1}), "units", "2 arms");
  expect_refused(ask({}, {}), "units", "2 arms");
  expect_refused(ask({1, 2}, {1}), "weights", "one for each arm");
  expect_refused(ask({1, -2}, {1, 1}), "units[1]", "a count");
  for (const double weight : {0., -1., kNaN, kInfinity}) {
    expect_refused(ask({1, 2}, {weight, 1}), "weights[0]", "a positive number");
  }
}

TEST(SignTest, CountsAsABinomialDoes) {
  // Nine of ten: 2 * (1 + 10) / 2^10.
  EXPECT_NEAR(sign_test(9, 1).p_value, 22. / 1024, 1e-12);
  EXPECT_NEAR(sign_test(1, 9).p_value, 22. / 1024, 1e-12);
  EXPECT_EQ(sign_test(5, 5).p_value, 1);
  const Estimate all = sign_test(10, 0);
  EXPECT_EQ(all.ci.high, 1);
  EXPECT_NEAR(all.ci.low, std::pow(.025, .1), 1e-9);
  const Estimate none = sign_test(0, 0);
  EXPECT_EQ(none.p_value, 1);
  EXPECT_EQ(none.ci.low, 0);
  EXPECT_EQ(none.ci.high, 1);
  EXPECT_EQ(sign_test(1'000'000'000, 0).p_value, 0);
  EXPECT_NEAR(sign_test(500'000'000, 500'000'000).ci.low, .5 - 3.099e-5, 1e-7);
  expect_refused([] { sign_test(-1, 2); }, "wins", "a count");
  expect_refused([] { sign_test(1, 2'000'000'000); }, "losses", "a count");
}

TEST(ManyTests, AdjustedAreInTheOrderGivenAndAtMostOne) {
  EXPECT_THAT(holm({}), IsEmpty());
  EXPECT_THAT(benjamini_hochberg({}), IsEmpty());
  EXPECT_THAT(holm(std::vector<double>{.9, .02}), ElementsAre(.9, .04));
  EXPECT_THAT(benjamini_hochberg(std::vector<double>{.9, .02}), ElementsAre(.9, .04));
  EXPECT_THAT(holm(std::vector<double>{1, 0, 1}), ElementsAre(1, 0, 1));
  for (const double p : {-.1, 1.1, kNaN}) {
    expect_refused([&] { holm(std::vector<double>{.5, p}); }, "p_values[1]", "from 0 to 1");
    expect_refused([&] { benjamini_hochberg(std::vector<double>{p}); }, "p_values[0]",
                   "from 0 to 1");
  }
}

TEST(ManyTests, HolmIsAtLeastBenjaminiAndHochbergWhichIsAtLeastThePValue) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform;
  for (int run = 0; run < 500; ++run) {
    std::vector<double> p_values(1 + random() % 30);
    for (double& p : p_values) p = std::pow(uniform(random), 3);
    const auto strict = holm(p_values);
    const auto mild = benjamini_hochberg(p_values);
    for (std::size_t i = 0; i < p_values.size(); ++i) {
      EXPECT_LE(p_values[i], mild[i]);
      EXPECT_LE(mild[i], strict[i] + 1e-15);
      EXPECT_LE(strict[i], 1);
    }
  }
}

TEST(Power, OfUsersAndEffectFitTogether) {
  PowerOptions options;
  options.deviation = 1;
  EXPECT_EQ(users_per_arm(.5, options), 64);  // in every textbook
  EXPECT_EQ(users_per_arm(-.5, options), 64);
  EXPECT_NEAR(power_of(0, 100, options), options.alpha, 1e-12);
  for (const std::int64_t users : {2, 3, 10, 1'000, 1'000'000, 1'000'000'000}) {
    const double effect = detectable_effect(users, options);
    EXPECT_NEAR(power_of(effect, users, options), options.power, 1e-9) << users;
    EXPECT_EQ(users_per_arm(effect * (1 + 1e-10), options), users);
  }
  EXPECT_EQ(users_per_arm(1e300, options), 2);
}

TEST(Power, RefusesWhatCannotBeMeasured) {
  PowerOptions options;
  options.deviation = 1;
  expect_refused([&] { users_per_arm(0, options); }, "effect", "other than 0");
  expect_refused([&] { users_per_arm(kNaN, options); }, "effect", "finite");
  expect_refused([&] { users_per_arm(1e-12, options); }, "effect", "name a larger one");
  expect_refused([&] { detectable_effect(1, options); }, "users", "2 to");
  expect_refused([&] { power_of(1, 2'000'000'000, options); }, "users", "2 to");
  for (const double power : {.05, 0., 1., kNaN}) {
    options.power = power;
    expect_refused([&] { users_per_arm(1, options); }, "power", "above alpha");
  }
  options.power = .8;
  for (const double deviation : {0., -1., kNaN, kInfinity}) {
    options.deviation = deviation;
    expect_refused([&] { users_per_arm(1, options); }, "deviation", "positive");
  }
}

std::vector<LoggedChoice> fair_log(std::size_t n) {
  std::vector<LoggedChoice> log;
  for (std::size_t i = 0; i < n; ++i) {
    log.push_back({static_cast<double>(i % 3), .5, i % 2 == 0 ? 1. : 0., {}});
  }
  return log;
}

TEST(OffPolicyValue, OfTheLoggedPolicyItselfIsTheMeanReward) {
  auto log = fair_log(90);
  for (LoggedChoice& choice : log) choice.target_probability = choice.propensity;
  const OffPolicy found = evaluate_policy(log, "log");
  EXPECT_EQ(found.effective_sample, 90);
  EXPECT_DOUBLE_EQ(found.ips.estimate, 1);
  EXPECT_DOUBLE_EQ(found.snips.estimate, 1);
  EXPECT_FALSE(found.doubly_robust.has_value());
}

TEST(OffPolicyValue, CountsOnlyWhatTheTargetWouldHaveChosen) {
  const OffPolicy found = evaluate_policy(fair_log(120), "log");
  EXPECT_EQ(found.effective_sample, 60);
  EXPECT_DOUBLE_EQ(found.snips.estimate, 1);
}

TEST(OffPolicyValue, IsWithoutVarianceForAModelThatIsAlwaysRight) {
  auto log = fair_log(120);
  for (LoggedChoice& choice : log) choice.expected = {choice.reward, 2};
  const OffPolicy found = evaluate_policy(log, "log");
  EXPECT_EQ(found.doubly_robust.value().estimate, 2);
  EXPECT_EQ(found.doubly_robust.value().standard_error, 0);
}

TEST(OffPolicyValue, IsRefusedForTooLittleEvidenceAndWithoutChance) {
  expect_refused([] { evaluate_policy({}, "log"); }, "log", "0 choices");
  expect_refused([] { evaluate_policy(fair_log(58), "log"); }, "log", "worth 29.0");
  auto log = fair_log(1'000);
  log[0].propensity = 1e-9;  // one choice that outweighs all others
  expect_refused([&] { evaluate_policy(log, "log"); }, "log", "worth 1.0");
  for (LoggedChoice& choice : log) choice.propensity = 1;
  expect_refused([&] { evaluate_policy(log, "log"); }, "log", "nothing to chance");
}

TEST(OffPolicyValue, RefusesWhatIsNoProbability) {
  const auto with = [](const std::function<void(LoggedChoice&)>& change) {
    return [change] {
      auto log = fair_log(100);
      change(log[3]);
      evaluate_policy(log, "log");
    };
  };
  expect_refused(with([](auto& c) { c.propensity = 0; }), "log[3].propensity", "above 0");
  expect_refused(with([](auto& c) { c.propensity = 1.5; }), "log[3].propensity", "above 0");
  expect_refused(with([](auto& c) { c.propensity = kNaN; }), "log[3].propensity", "above 0");
  expect_refused(with([](auto& c) { c.target_probability = -1; }), "log[3].target_probability",
                 "a probability");
  expect_refused(with([](auto& c) { c.reward = kInfinity; }), "log[3].reward", "finite");
  expect_refused(with([](auto& c) { c.expected = {1, 1}; }), "log[3].expected", "all or none");
  auto log = fair_log(100);
  for (LoggedChoice& choice : log) choice.reward = 1e308;
  expect_refused([&] { evaluate_policy(log, "log"); }, "log", "scale the rewards");
}

}  // namespace
}  // namespace fovea::engine
