// Claim: what the store keeps of an experiment reads as it was declared, after a restart and beside
// the process that keeps it.
#include "api/declarations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/store_directory.h"

namespace fovea::api {
namespace {

using engine::Experiment;
using storage::StoreDirectory;

Experiment shortest(std::string name) {
  Experiment experiment;
  experiment.name = experiment.layer = experiment.salt = std::move(name);
  experiment.variants = {{"a", .5, {}}, {"b", .5, {}}};
  return experiment;
}

Experiment fullest() {
  Experiment experiment = shortest("\"quoted\" \\ and 'that' \u00e9\u65e5 = [x] # no comment");
  experiment.version = 7;
  experiment.layer = "ranking";
  experiment.from = 1.0 / 3;
  experiment.to = .1 + .6;
  experiment.unit = engine::Unit::kSession;
  experiment.hash = engine::Hash::kGrowthBook;
  experiment.salt = "salted";
  experiment.success = "purchase";
  experiment.guardrails = {"refund", "com\"plaint"};
  experiment.start_ms = 1'767'225'600'000;
  experiment.end_ms = 1'772'346'600'123;
  experiment.variants = {{"control", 1.0 / 3, {}}, {"one", 1.0 / 3, {}}, {"two", 1 - 2.0 / 3, {}}};
  engine::Overrides& set = experiment.variants[1].set;
  set.ranker = false;
  set.candidates = 300;
  set.model_version = "20260101T120000.000Z";
  set.diversity = .25;
  set.index = engine::IndexKind::kApproximate;
  set.boosts = {{"genre = 'x' and text = \"y\"", 1e-7}, {"has(new)", -1}};
  experiment.variants[2].set.ranker = true;
  return experiment;
}

TEST(Declarations, ReadAsTheyWereDeclared) {
  const StoreDirectory directory;
  const auto db = directory.open();
  keep_declarations(*db, {{}, {shortest("short"), fullest()}});
  const auto beside = directory.read_only();
  const auto kept = kept_declarations(*beside);
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[0], fullest());
  EXPECT_EQ(kept[1], shortest("short"));
}

TEST(Declarations, OfAnyNumbersReadAsTheyWereDeclared) {
  const StoreDirectory directory;
  const auto db = directory.open();
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> share(0, 1);
  for (int i = 0; i < 100; ++i) {
    Experiment experiment = shortest("e");
    experiment.to = share(random);
    experiment.from = experiment.to * share(random);
    experiment.variants[0].weight = share(random);
    experiment.variants[1].weight = 1 - experiment.variants[0].weight;
    experiment.variants[0].set.diversity = share(random) * 1e-5;
    experiment.end_ms = static_cast<std::int64_t>(random() % 253'402'300'799'999) + 1;
    keep_declarations(*db, {{}, {experiment}});
    const auto kept = kept_declarations(*db);
    ASSERT_EQ(kept.size(), 1U) << "a later one takes the place of the earlier";
    EXPECT_EQ(kept[0], experiment);
  }
}

TEST(Declarations, StayWhenTheyAreDeclaredNoMore) {
  const StoreDirectory directory;
  {
    const auto db = directory.open();
    keep_declarations(*db, {{}, {shortest("a")}});
    keep_declarations(*db, {{}, {shortest("b")}});
  }
  const auto db = directory.open();
  EXPECT_EQ(kept_declarations(*db).size(), 2U);
}

TEST(Declarations, ThatCannotBeReadAreNamed) {
  for (const char* text : {"[:", "a = ", "a = 1", "[[experiment]]\nname = \"x\"\nspeed = 3",
                           "[[experiment]]\nname = \"x\""}) {
    const StoreDirectory directory;
    const auto db = directory.open();
    db->declarations().put("odd one", text);
    EXPECT_THAT([&] { kept_declarations(*db); },
                testing::ThrowsMessage<std::runtime_error>(
                    testing::HasSubstr("the declaration of 'odd one' in the store")))
        << text;
    EXPECT_THROW(db->declarations().put("", text), std::invalid_argument);
  }
}

}  // namespace
}  // namespace fovea::api
