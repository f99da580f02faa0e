// Claim: a report's sums are those of its units, its tests are engine/statistics' on these sums,
// and its verdict says what they say, or nothing where they must not be believed.
#include "engine/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/count_tests.h"
#include "engine/multiple_testing.h"
#include "engine/power.h"
#include "tests/planted_store.h"
#include "tests/store_directory.h"

namespace fovea::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ReportTest : public testing::Test {
 protected:
  ReportTest() : db_(directory_.open()) {
    declare_planted_actions(*db_);
    options_.now_ms = kDay0 + 30 * kDay;
  }

  void shown(const std::string& user, std::int64_t time_ms, const std::string& variant) {
    plant(*db_, PlantedExposure{
                    user, "r " + user + std::to_string(time_ms), time_ms, variant, 1, "e", {}, {}});
  }
  void did(const std::string& user, const std::string& action, std::int64_t time_ms, int times = 1,
           std::optional<double> value = {}) {
    for (int i = 0; i < times; ++i) {
      plant(*db_, PlantedEvent{user, action, time_ms + i, {}, value, "x"});
    }
  }
  /// So many users of the variant, every `one_in`-th of whom buys once.
  void crowd(const std::string& variant, int users, int one_in) {
    for (int i = 0; i < users; ++i) {
      const std::string user = variant + std::to_string(i);
      shown(user, kDay0 + i, variant);
      if (i % one_in == 0) did(user, "buy", kDay0 + kHour);
    }
  }
  Report report() { return make_report(*db_, experiment_, options_); }

  const storage::StoreDirectory directory_;
  std::unique_ptr<storage::Db> db_;
  Experiment experiment_ = planted_experiment();
  ReportOptions options_;
};

void expect_same(const Estimate& a, const Estimate& b) {
  EXPECT_EQ(a.estimate, b.estimate);
  EXPECT_EQ(a.standard_error, b.standard_error);
  EXPECT_EQ(a.ci.low, b.ci.low);
  EXPECT_EQ(a.ci.high, b.ci.high);
  EXPECT_EQ(a.p_value, b.p_value);
}

void expect_sums(const Arm& arm, std::int64_t n, double sum, double squares) {
  EXPECT_EQ(arm.n, n);
  EXPECT_EQ(arm.sum, sum);
  EXPECT_EQ(arm.sum_squares, squares);
}

/// Three of each, whose sums are done by hand.
class SmallReport : public ReportTest {
 protected:
  SmallReport() {
    did("c1", "buy", kDay0 - kDay, 2, 3.0);
    shown("c1", kDay0, "control");
    did("c1", "buy", kDay0 + kHour, 1, 10.0);
    shown("c2", kDay0, "control");
    shown("c3", kDay0 + kDay, "control");
    shown("c3", kDay0 + kDay + kHour, "control");
    did("c3", "refund", kDay0 + kDay + 2 * kHour);
    did("t1", "buy", kDay0 - kDay, 1);
    shown("t1", kDay0, "treatment");
    did("t1", "buy", kDay0 + kHour, 2, 5.0);
    did("t1", "buy", kDay0 + kDay + kHour, 1);
    shown("t2", kDay0, "treatment");
    did("t2", "view", kDay0 + kHour);
    shown("t3", kDay0 + kDay, "treatment");
    did("t3", "buy", kDay0 + kDay + kHour, 1, 4.0);
  }
};

TEST_F(SmallReport, AddsUpWhatEveryUnitDid) {
  const Report made = report();
  ASSERT_EQ(made.variants.size(), 2U);
  EXPECT_EQ(made.variants[0].units, 3);
  EXPECT_EQ(made.variants[0].exposures, 4);
  EXPECT_EQ(made.variants[0].acted, 2);
  EXPECT_EQ(made.variants[0].converted, 1);
  EXPECT_EQ(made.variants[1].acted, 3);
  EXPECT_EQ(made.variants[1].converted, 2);
  ASSERT_EQ(made.metrics.size(), 5U);

  const Metric& successes = made.metrics[0];
  EXPECT_EQ(successes.kind, MetricKind::kSuccesses);
  expect_sums(successes.arms[0], 3, 1, 1);
  expect_sums(successes.arms[1], 3, 4, 10);
  EXPECT_EQ(successes.arms[0].before->sum, 2);
  EXPECT_EQ(successes.arms[0].before->sum_squares, 4);
  EXPECT_EQ(successes.arms[0].before->sum_of_products, 2);
  EXPECT_EQ(successes.arms[1].before->sum_of_products, 3);
  const Metric& converted = made.metrics[1];
  EXPECT_EQ(converted.kind, MetricKind::kConverted);
  expect_sums(converted.arms[1], 3, 2, 2);
  const Metric& value = made.metrics[2];
  EXPECT_EQ(value.kind, MetricKind::kValue);
  expect_sums(value.arms[0], 3, 10, 100);
  expect_sums(value.arms[1], 3, 14, 116);
  const Metric& ratio = made.metrics[3];
  EXPECT_EQ(ratio.kind, MetricKind::kPerExposure);
  EXPECT_EQ(ratio.arms[0].denominator->sum, 4);
  EXPECT_EQ(ratio.arms[0].denominator->sum_squares, 6);
  EXPECT_EQ(ratio.arms[0].denominator->sum_of_products, 1);
  EXPECT_FALSE(ratio.arms[0].before.has_value());
  const Metric& refunds = made.metrics[4];
  EXPECT_EQ(refunds.kind, MetricKind::kGuardrail);
  EXPECT_EQ(refunds.action, "refund");
  EXPECT_FALSE(refunds.more_is_better) << "its declared weight is negative";
  expect_sums(refunds.arms[0], 3, 1, 1);
  expect_sums(refunds.arms[1], 3, 0, 0);
}

TEST_F(SmallReport, ListsPeriodsAsLongAsAskedFor) {
  options_.period_ms = kDayMs / 24;
  const Report made = report();
  EXPECT_EQ(made.periods.front().number, period_of(kDay0, kDayMs / 24));
  EXPECT_EQ(made.periods.size(), 26U) << "from the first exposure's hour to the last success's";
  EXPECT_EQ(made.periods.back().variants[1].units, made.variants[1].units);
}

TEST_F(SmallReport, ListsDaysWhoseSumsGoOn) {
  did("t1", "buy", kDay0 + 3 * kDay);
  const Report made = report();
  ASSERT_EQ(made.periods.size(), 4U);
  EXPECT_EQ(made.periods[0].number, period_of(kDay0, kDayMs));
  EXPECT_EQ(made.periods[0].variants[0].new_units, 2);
  EXPECT_EQ(made.periods[0].variants[0].units, 2);
  EXPECT_EQ(made.periods[1].variants[0].units, 3);
  EXPECT_EQ(made.periods[0].variants[1].mean->estimate, 1) << "two of two users";
  EXPECT_EQ(made.periods[1].variants[1].mean->estimate, 2.0 / 3);
  EXPECT_EQ(made.periods[2].variants[1].mean->estimate, 0) << "a day without anything is a day";
  EXPECT_EQ(made.periods[3].variants[1].mean->estimate, 1.0 / 3);
  // The last day's lift is that of all successes: 1 of 3 users against 5.
  const Arm control{3, 1, 1, {}, {}};
  const Arm treatment{3, 5, 4 * 4 + 1, {}, {}};
  expect_same(*made.periods[3].lifts[0],
              compare(control, treatment, {Scale::kRelative, .05, kSequentialUnits}));
  const Arm then{3, 4, 10, {}, {}};
  expect_same(*made.periods[1].lifts[0],
              compare(control, then, {Scale::kRelative, .05, kSequentialUnits}));
}

TEST_F(SmallReport, ComparesAsStatisticsDoOnTheSameSums) {
  for (const bool sequential : {false, true}) {
    options_.sequential = sequential;
    const Report made = report();
    CompareOptions relative{Scale::kRelative, .05, {}};
    CompareOptions absolute{Scale::kAbsolute, .05, {}};
    if (sequential) relative.tuning = absolute.tuning = kSequentialUnits;
    std::vector<double> p_values;
    for (const Metric& metric : made.metrics) {
      SCOPED_TRACE(metric.action);
      Arm control = metric.arms[0];
      Arm treatment = metric.arms[1];
      const Comparison& comparison = metric.against_control[0];
      if (metric.kind == MetricKind::kGuardrail) {
        EXPECT_FALSE(comparison.relative) << "nobody of the treatment has a refund";
        continue;
      }
      if (comparison.with_cuped) {
        expect_same(*comparison.with_cuped, compare(control, treatment, relative));
        const double share = compare(control, treatment, absolute).standard_error /
                             comparison.absolute->standard_error;
        EXPECT_EQ(comparison.variance_reduction, 1 - share * share);
      } else {
        EXPECT_EQ(metric.kind, MetricKind::kPerExposure);
      }
      control.before.reset();
      treatment.before.reset();
      expect_same(*comparison.relative, compare(control, treatment, relative));
      expect_same(*comparison.absolute, compare(control, treatment, absolute));
      p_values.push_back(comparison.relative->p_value);
    }
    const auto adjusted = benjamini_hochberg(p_values);
    for (std::size_t i = 0; i < adjusted.size(); ++i) {
      EXPECT_EQ(made.metrics[i].against_control[0].adjusted_p_value, adjusted[i]);
    }
  }
}

TEST_F(SmallReport, AsksForTheSuccessWhereNoneIsDeclared) {
  experiment_.success.reset();
  EXPECT_THAT([&] { report(); },
              testing::ThrowsMessage<InvalidRequest>(HasSubstr("declares no success")));
  options_.success = "view";
  EXPECT_EQ(report().metrics[0].arms[1].sum, 1);
}

TEST_F(SmallReport, IsGivenUpAtAnyExposure) {
  int asked = 0;
  options_.go_on = [&] { return ++asked > 0; };
  report();
  const int exposures = asked;
  EXPECT_EQ(exposures, 7);
  for (int last = 0; last < exposures; ++last) {
    asked = 0;
    options_.go_on = [&] { return asked++ < last; };
    EXPECT_THROW(report(), Unavailable) << last;
    EXPECT_EQ(asked, last + 1);
  }
}

TEST_F(ReportTest, OfNobodyIsNoVerdictAndNoNumbers) {
  const Report made = report();
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kWithheld);
  EXPECT_THAT(made.verdicts[0].sentence, HasSubstr("nobody was exposed"));
  EXPECT_TRUE(made.periods.empty());
  EXPECT_FALSE(made.metrics[0].against_control[0].absolute.has_value());
  EXPECT_THAT(made.metrics[0].against_control[0].not_compared, HasSubstr("0 and 0 units"));
}

TEST_F(ReportTest, SaysWhatIsBetterAndWhatIsWorse) {
  crowd("control", 300, 5);
  crowd("treatment", 300, 2);
  const Report made = report();
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kBetter);
  EXPECT_THAT(made.verdicts[0].sentence,
              AllOf(HasSubstr("treatment is better than control: +150 %"),
                    HasSubstr("95 % interval"), HasSubstr("'buy' per user, p < 0.0001")));
  std::swap(experiment_.variants[0], experiment_.variants[1]);
  const Report turned = report();
  EXPECT_EQ(turned.verdicts.at(0).judgement, Judgement::kWorse);
  EXPECT_THAT(turned.verdicts[0].sentence, HasSubstr("control is worse than treatment: -60 %"));
}

TEST_F(ReportTest, SaysHowManyMoreItWouldTake) {
  crowd("control", 100, 5);
  crowd("treatment", 100, 4);
  const Report made = report();
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kNoDifference);
  // 20 and 25 of 100 buy.
  const double deviation = std::sqrt((.2 * .8 + .25 * .75) / 2 * 100 / 99);
  const auto needed = users_per_arm(.05, {.deviation = deviation});
  EXPECT_THAT(made.verdicts[0].sentence,
              AllOf(HasSubstr("No difference is seen between treatment and control: +25 %"),
                    HasSubstr("about " + std::to_string(needed - 100) + " more users in each")));
}

TEST_F(ReportTest, NamesAGuardrailThatGotWorse) {
  crowd("control", 200, 5);
  crowd("treatment", 200, 2);
  for (int i = 0; i < 60; ++i) did("treatment" + std::to_string(i), "refund", kDay0 + kHour);
  for (int i = 0; i < 5; ++i) did("control" + std::to_string(i), "refund", kDay0 + kHour);
  const Report worse = report();
  EXPECT_EQ(worse.verdicts.at(0).judgement, Judgement::kBetter);
  EXPECT_THAT(worse.verdicts[0].sentence, HasSubstr("The guardrail 'refund' got worse"));
  std::swap(experiment_.variants[0], experiment_.variants[1]);
  EXPECT_THAT(report().verdicts.at(0).sentence, testing::Not(HasSubstr("guardrail")))
      << "fewer of an action of negative weight are no harm";
  // Of an action of positive weight they are.
  experiment_.guardrails = {"buy", "unheard of"};
  const Report fewer = report();
  EXPECT_THAT(fewer.verdicts.at(0).sentence, HasSubstr("guardrail 'buy' got worse"));
  EXPECT_THAT(fewer.metrics.back().against_control[0].not_compared,
              HasSubstr("no action of this store is named 'unheard of'"));
}

TEST_F(ReportTest, WithholdsTheVerdictWhereTheSplitIsNotAsDeclared) {
  crowd("control", 200, 5);
  crowd("treatment", 300, 2);
  const Report made = report();
  EXPECT_EQ(made.sample_ratio_p_value,
            sample_ratio_p_value(std::vector<std::int64_t>{200, 300}, std::vector<double>{.5, .5}));
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kWithheld);
  EXPECT_THAT(made.verdicts[0].sentence, HasSubstr("sample ratio mismatch"));
  experiment_.variants[0].weight = .4;
  experiment_.variants[1].weight = .6;
  EXPECT_EQ(report().verdicts.at(0).judgement, Judgement::kBetter);
}

TEST_F(ReportTest, WithholdsTheVerdictOnAVersionWhoseWeightsAreNotKnown) {
  crowd("control", 200, 5);
  crowd("treatment", 200, 2);
  experiment_.version = 2;
  EXPECT_THAT(report().verdicts.at(0).sentence, HasSubstr("nobody was exposed to version 2"));
  options_.version = 1;
  const Report made = report();
  EXPECT_EQ(made.variants[1].units, 200);
  EXPECT_FALSE(made.sample_ratio_p_value.has_value());
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kWithheld);
  EXPECT_THAT(made.verdicts[0].sentence, HasSubstr("weights of version 1 are not known"));
}

TEST_F(ReportTest, WithholdsTheVerdictWhereAllUnitsAreAlike) {
  crowd("control", 5, 100);
  crowd("treatment", 5, 1);
  did("control0", "refund", kDay0 + kHour);
  for (int i = 1; i < 5; ++i) did("control" + std::to_string(i), "buy", kDay0 + kHour);
  did("treatment0", "buy", kDay0 + 2 * kHour);
  for (int i = 1; i < 5; ++i) did("treatment" + std::to_string(i), "buy", kDay0 + 2 * kHour);
  const Report made = report();
  EXPECT_EQ(made.metrics[0].against_control[0].absolute->standard_error, 0);
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kWithheld);
  EXPECT_THAT(made.verdicts[0].sentence, HasSubstr("are alike"));
}

TEST_F(ReportTest, OfSeveralTreatmentsJudgesEachByHolm) {
  experiment_.variants = {{"control", .4, {}}, {"treatment", .4, {}}, {"second", .2, {}}};
  crowd("control", 200, 5);
  crowd("treatment", 200, 2);
  crowd("second", 100, 5);
  const Report made = report();
  ASSERT_EQ(made.verdicts.size(), 2U);
  EXPECT_EQ(made.verdicts[0].judgement, Judgement::kBetter);
  EXPECT_THAT(made.verdicts[0].sentence, HasSubstr("by Holm over 2 variants"));
  EXPECT_EQ(made.verdicts[1].judgement, Judgement::kNoDifference);
}

TEST_F(ReportTest, OfInterleavedListsCountsWhoPreferredWhich) {
  for (const char* item : {"a", "b"}) {
    plant(*db_, PlantedEvent{"z", "view", kDay0 - kDay, {}, {}, item});
  }
  const auto user = [&](const std::string& name, const std::string& bought) {
    plant(*db_,
          PlantedExposure{name, "r " + name, kDay0, "interleaved", 1, "e", {"a", "b"}, {0, 1}});
    for (const char item : bought) {
      plant(*db_, PlantedEvent{name, "buy", kDay0 + kHour, "r " + name, {}, std::string(1, item)});
    }
  };
  for (int i = 0; i < 12; ++i) user("w" + std::to_string(i), "abb");
  for (int i = 0; i < 2; ++i) user("l" + std::to_string(i), "a");
  user("d", "ab");
  user("n", "");
  const Report made = report();
  EXPECT_TRUE(made.interleaved);
  EXPECT_TRUE(made.metrics.empty());
  ASSERT_EQ(made.preferences.size(), 1U);
  const Preference& preference = made.preferences[0];
  EXPECT_EQ(preference.units, 16);
  EXPECT_EQ(preference.wins, 12);
  EXPECT_EQ(preference.losses, 2);
  EXPECT_EQ(preference.draws, 2);
  expect_same(preference.share_of_wins, sign_test(12, 2));
  EXPECT_EQ(made.verdicts.at(0).judgement, Judgement::kBetter);
  EXPECT_THAT(made.verdicts[0].sentence,
              HasSubstr("85.7 % of the 14 users that preferred one preferred treatment"));
}

}  // namespace
}  // namespace fovea::engine
