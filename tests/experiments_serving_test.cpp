// Experiments on requests: each thing that a variant sets has its effect, who is in which variant
// is what assign() says, and what is written down of a response is what was done to it.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/assignment.h"
#include "engine/engine.h"
#include "engine/experiments.h"
#include "engine/pipeline.h"
#include "engine/treatment.h"
#include "sanitized.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSubsetOf;
using testing::Not;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAreArray;

constexpr int kSwaps = unless_sanitized(20, 10);

/// All users in two halves, the second with what is set.
Experiment halves(const std::string& name, const Overrides& set = {}) {
  Experiment experiment;
  experiment.name = experiment.layer = experiment.salt = name;
  experiment.variants = {{"control", 0.5, {}}, {"treatment", 0.5, set}};
  return experiment;
}

std::string user(std::size_t i) { return "user-" + std::to_string(i % Shop::kUsers); }

RankRequest for_user(const std::string& user_id) {
  RankRequest request;
  request.user_id = user_id;
  return request;
}

class ExperimentsServing : public testing::Test {
 protected:
  ExperimentsServing() : engine_(shop_.open()) {
    shop_.stock(*engine_);
    version_ = publish();
  }

  std::string publish() {
    std::string name = shop_.publish(shop_.learned_version(engine_->db()));
    engine_->reload();
    return name;
  }
  void serve(std::vector<Experiment> list, Holdout holdout = {}) {
    engine_->set_experiments({std::move(holdout), std::move(list)});
  }
  /// What an engine answers whose one experiment has this in a variant, and no other says.
  RankResponse treated(const Overrides& set, RankRequest request) {
    serve({halves("forced", set)});
    request.variants = {{"forced", "treatment"}};
    return engine_->rank(request);
  }
  std::string refusal(const std::vector<Experiment>& list) {
    try {
      serve(list);
      return "";
    } catch (const InvalidRequest& error) {
      return error.what();
    }
  }
  struct Written {
    std::string user;
    storage::Exposure exposure;
  };
  std::map<std::string, Written> written() {  // by request
    std::map<std::string, Written> all;
    engine_->db().exposures().each_in_trials([&](std::string_view user, storage::Exposure one) {
      const std::string id = one.request_id;
      all[id] = {std::string(user), std::move(one)};
    });
    return all;
  }
  /// Ranks for every user; how many of each variant have a trial of this experiment.
  std::map<std::string, int> trials(const std::string& experiment, RankRequest request) {
    std::set<std::string> requests;
    for (std::size_t i = 0; i < Shop::kUsers; ++i) {
      request.user_id = user(i);
      requests.insert(engine_->rank(request).request_id);
    }
    std::map<std::string, int> counts;
    for (const auto& [id, one] : written()) {
      if (!requests.contains(id)) continue;
      for (const auto& trial : one.exposure.trials) {
        if (trial.experiment == experiment) ++counts[trial.variant];
      }
    }
    return counts;
  }
  /// Every user of the shop, as assign() has them.
  static std::map<std::string, int> everybody(const Experiment& experiment) {
    std::map<std::string, int> counts;
    for (std::size_t i = 0; i < Shop::kUsers; ++i) {
      ++counts[experiment.variants[*assign(experiment, user(i))].name];
    }
    return counts;
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;
  std::string version_;
};

TEST_F(ExperimentsServing, WithoutTheRankerTheOrderIsThatOfRetrieval) {
  auto request = for_user("user-1");
  request.explain = true;
  const Snapshot snapshot = engine_->snapshot();
  std::vector<std::string> retrieved;
  for (const auto& item : candidates(snapshot, history(snapshot, request, shop_.now_ms)).items) {
    if (retrieved.size() < 20) retrieved.push_back(engine_->db().catalog().item_id(item.row));
  }
  ASSERT_NE(ids(engine_->rank(request)), retrieved) << "the ranker changes nothing here";
  const auto response = treated({.ranker = false}, request);
  EXPECT_EQ(ids(response), retrieved);
  EXPECT_FALSE(response.degraded);
  for (const auto& item : response.items) {
    double sum = 0;
    for (const auto& [part, value] : item.explanation->parts) sum += value;
    EXPECT_DOUBLE_EQ(sum, item.score);
  }
}

TEST_F(ExperimentsServing, CandidatesSayHowManyAreRetrieved) {
  auto request = for_user("user-1");
  request.limit = 3;
  Snapshot snapshot = engine_->snapshot();
  snapshot.retrieve = 4;
  std::vector<std::string> four;
  for (const auto& item : candidates(snapshot, history(snapshot, request, shop_.now_ms)).items) {
    four.push_back(engine_->db().catalog().item_id(item.row));
  }
  ASSERT_THAT(four, SizeIs(4));
  ASSERT_THAT(ids(engine_->rank(request)), Not(IsSubsetOf(four)));
  EXPECT_THAT(ids(treated({.candidates = 4}, request)), IsSubsetOf(four));
}

TEST_F(ExperimentsServing, DiversityIsTheVariantsWhereTheRequestNamesNone) {
  auto request = for_user("user-2");
  auto diverse = request;
  diverse.diversity = 0.7;
  const auto expected = ids(engine_->rank(diverse));
  ASSERT_NE(ids(engine_->rank(request)), expected);
  EXPECT_EQ(ids(treated({.diversity = 0.7}, request)), expected);
  EXPECT_EQ(ids(treated({.diversity = 0.2}, diverse)), expected) << "the request's own counts";
}

TEST_F(ExperimentsServing, BoostsAreAddedToThoseOfTheRequest) {
  std::vector<Item> items = {Shop::item(0, 3), Shop::item(2, 5)};
  items[0].attributes = {{"colour", std::string("red")}};
  items[1].attributes = {{"colour", std::string("blue")}};
  engine_->put_items(items);
  auto request = for_user("user-3");
  request.explain = true;
  request.boosts = {{"colour = 'red'", 1000}};
  const auto response = treated({.boosts = {{"colour = 'blue'", 2000}}}, request);
  ASSERT_THAT(response.items, SizeIs(20));
  EXPECT_EQ(response.items[0].item_id, Shop::id(2, 5));
  EXPECT_EQ(response.items[1].item_id, Shop::id(0, 3));
  EXPECT_THAT(response.items[0].explanation->rules, Contains(HasSubstr("boost: +2000")));
}

TEST_F(ExperimentsServing, ExactSearchComparesEveryVectorOfAnApproximateIndex) {
  const auto nearest = [&](bool exact) {
    Snapshot snapshot = engine_->snapshot();
    snapshot.exact_search = exact;
    const auto question = history(snapshot, for_user("user-1"), shop_.now_ms);
    return user_state(snapshot, question.behaviours, 30);
  };
  Version version = shop_.learned_version(engine_->db());
  const std::size_t width = version.model->width();
  std::vector<std::uint32_t> rows(version.card.items);
  for (std::uint32_t row = 0; row < rows.size(); ++row) rows[row] = row;
  version.item_index =
      index::build_index(rows, version.vectors, width, {.exact_items_max = 0, .probes = 1});
  ASSERT_EQ(version.item_index->kind(), "ivf-sq8");
  shop_.publish(std::move(version));
  engine_->reload();
  // Of codes of 8 bits no score is the product itself.
  const auto wrong = [&](bool exact) {
    const auto user = nearest(exact);
    const auto vectors = engine_->snapshot().model->vectors().gather([&] {
      std::vector<std::uint32_t> found;
      for (const auto& one : user.nearest) found.push_back(one.row);
      return found;
    }());
    double most = 0;
    for (std::size_t i = 0; i < user.nearest.size(); ++i) {
      double product = 0;
      for (std::size_t d = 0; d < width; ++d) {
        product += static_cast<double>(user.hidden[d]) * vectors.items[i * width + d];
      }
      most = std::max(most, std::abs(product - user.nearest[i].score));
    }
    return most;
  };
  EXPECT_LT(wrong(true), 1e-5);
  EXPECT_GT(wrong(false), 1e-5);
  const auto scores = [](const RankResponse& response) {
    std::vector<double> all;
    for (const auto& item : response.items) all.push_back(item.score);
    return all;
  };
  EXPECT_NE(scores(treated({.index = IndexKind::kExact}, for_user("user-1"))),
            scores(treated({.index = IndexKind::kApproximate}, for_user("user-1"))));
}

TEST_F(ExperimentsServing, AVariantsVersionFollowsTheCatalogueBesideTheOneThatServes) {
  const std::string newer = publish();
  ASSERT_NE(newer, version_);
  serve({halves("old", {.model_version = version_})});
  auto request = for_user("user-1");
  request.variants = {{"old", "treatment"}};
  EXPECT_EQ(engine_->rank(request).model_version, version_);
  EXPECT_EQ(engine_->rank(for_user("nobody")).model_version,
            assign(halves("old"), "nobody") == 1 ? version_ : newer);

  Item fresh = Shop::item(1, 0);
  fresh.item_id = "fresh";
  engine_->put_items(std::vector{fresh});
  request.limit = 100;
  EXPECT_THAT(ids(engine_->rank(request)), Contains("fresh"));
  const auto gone = ids(engine_->rank(request)).front();
  engine_->remove_items(std::vector{gone});
  EXPECT_THAT(ids(engine_->rank(request)), Not(Contains(gone)));

  const std::string newest = publish();
  EXPECT_EQ(engine_->status().model_version, newest);
  EXPECT_EQ(engine_->rank(request).model_version, version_) << "a swap takes no version away";
}

TEST_F(ExperimentsServing, AVersionThatAnExperimentUsesIsNotDeletedByPublishing) {
  const auto publish_alone = [&] {
    const Versions versions(shop_.directory());
    versions.publish(shop_.learned_version(engine_->db()), 1);
    engine_->reload();
  };
  const auto folder = shop_.directory() / "versions" / version_;
  serve({halves("old", {.model_version = version_})});
  for (int i = 0; i < 3; ++i) publish_alone();
  EXPECT_TRUE(std::filesystem::exists(folder));
  serve({});
  publish_alone();
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(ExperimentsServing, AVersionThatIsMissingOrDamagedRefusesTheWholeSet) {
  const Experiment before = halves("before", {.diversity = 0.5});
  serve({before});
  const auto missing =
      refusal({halves("after"), halves("old", {.model_version = "20200101T000000.000Z"})});
  EXPECT_THAT(missing, HasSubstr("experiment 'old': variant 'treatment' cannot have version "
                                 "20200101T000000.000Z"));
  EXPECT_THAT(missing, HasSubstr(version_)) << "what there is";
  const std::string damaged = version_;
  publish();
  const auto file = shop_.directory() / "versions" / damaged / "model.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  EXPECT_THAT(refusal({halves("old", {.model_version = damaged})}), HasSubstr(damaged));
  EXPECT_THAT(refusal({halves("old", {.model_version = "../../etc"})}), HasSubstr("../../etc"));
  EXPECT_THAT(engine_->rank(for_user("user-0")).variants, ElementsAre(Pair("before", testing::_)));
}

TEST_F(ExperimentsServing, TheSplitIsWhatAssignSays) {
  Experiment narrow = halves("narrow", {.diversity = 0.5});
  narrow.from = 0.2;
  narrow.to = 0.7;
  Experiment wide = halves("wide", {.ranker = false});
  Experiment over = halves("over");
  over.end_ms = shop_.now_ms;
  Experiment to_come = halves("to come");
  to_come.start_ms = shop_.now_ms + 1;
  const Holdout holdout{0.3, "salt"};
  serve({narrow, wide, over, to_come}, holdout);
  int held_out = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string unit = "unit-" + std::to_string(i);
    std::map<std::string, std::string> expected;
    if (is_held_out(holdout, unit)) {
      ++held_out;
    } else {
      for (const Experiment* experiment : {&narrow, &wide}) {
        if (const auto variant = assign(*experiment, unit)) {
          expected[experiment->name] = experiment->variants[*variant].name;
        }
      }
    }
    EXPECT_EQ(engine_->rank(for_user(unit)).variants, expected) << unit;
  }
  EXPECT_GT(held_out, 50);
  shop_.now_ms += 1;
  for (int i = 0; i < 20; ++i) {
    const std::string unit = "unit-" + std::to_string(i);
    EXPECT_EQ(engine_->rank(for_user(unit)).variants.contains("to come"),
              !is_held_out(holdout, unit));
  }
}

TEST_F(ExperimentsServing, AForcedVariantIsServedToAnybodyAndWritesNoTrial) {
  Experiment over = halves("over", {.ranker = false});
  over.end_ms = 1;
  over.layer = "shared";
  Experiment now = halves("now");
  now.layer = "shared";
  now.start_ms = 1;
  auto request = for_user("user-1");
  request.variants = {{"over", "treatment"}};
  for (const Holdout& holdout : {Holdout(), Holdout{0.999, "salt"}}) {
    serve({over, now}, holdout);
    const auto forced = engine_->rank(request);
    EXPECT_THAT(forced.variants, ElementsAre(Pair("over", "treatment"))) << "alone in its layer";
  }
  EXPECT_THAT(written(), IsEmpty());
  EXPECT_THAT(engine_->db().exposures().read("user-1", 10), SizeIs(2)) << "exposures they are";

  const auto message = [&](const RankRequest& wrong) {
    try {
      engine_->rank(wrong);
      return std::string();
    } catch (const InvalidRequest& error) {
      return error.field + ": " + error.what();
    }
  };
  request.variants = {{"overt", "treatment"}};
  EXPECT_THAT(message(request), HasSubstr("no experiment 'overt'; declared are: 'over', 'now'"));
  request.variants = {{"over", "C"}};
  EXPECT_THAT(message(request), HasSubstr("no variant 'C'; it has 'control', 'treatment'"));
  EXPECT_THAT(message(request), testing::StartsWith("variants: "));
  try {
    engine_->rank_many(std::vector{for_user("user-2"), request});
    ADD_FAILURE();
  } catch (const InvalidRequest& error) {
    EXPECT_EQ(error.field, "requests[1].variants");
  }
  EXPECT_THAT(engine_->db().exposures().read("user-2", 10), IsEmpty()) << "none was answered";
}

TEST_F(ExperimentsServing, APreviewIsTheSameListAndLeavesNoTrace) {
  Experiment session = halves("session", {.diversity = 0.5});
  session.unit = Unit::kSession;
  serve({halves("user", {.ranker = false}), session});
  RankRequest request = for_user("user-5");
  request.session = {shop_.event("visit", Shop::id(1, 3))};
  request.preview = true;
  const auto preview = engine_->rank(request);
  EXPECT_THAT(preview.variants, SizeIs(2));
  EXPECT_THAT(written(), IsEmpty());
  EXPECT_THAT(engine_->db().exposures().read("user-5", 10), IsEmpty());
  EXPECT_EQ(engine_->rank_many(std::vector{request}).size(), 1U);
  EXPECT_THAT(written(), IsEmpty());

  request.preview = false;
  const auto shown = engine_->rank(request);
  EXPECT_EQ(ids(preview), ids(shown));
  EXPECT_EQ(preview.variants, shown.variants);
  EXPECT_THAT(written(), SizeIs(1));
  EXPECT_THAT(engine_->db().exposures().read("user-5", 10), SizeIs(1));
}

TEST_F(ExperimentsServing, ASessionIsAUnitOfItsOwnWithAndWithoutAUser) {
  Experiment by_session = halves("by session", {.ranker = false});
  by_session.unit = Unit::kSession;
  serve({by_session, halves("by user", {.ranker = false})});
  RankRequest request;
  request.session = {shop_.event("visit-7", Shop::id(0, 1))};
  const auto response = engine_->rank(request);
  const std::string variant = by_session.variants[*assign(by_session, "visit-7")].name;
  EXPECT_THAT(response.variants, ElementsAre(Pair("by session", variant)));
  const auto trials = written();
  ASSERT_THAT(trials, Contains(testing::Key(response.request_id)));
  EXPECT_EQ(trials.at(response.request_id).user, "visit-7");

  request.user_id = "user-1";
  const auto both = engine_->rank(request);
  EXPECT_THAT(both.variants, SizeIs(2));
  std::map<std::string, std::string> experiment_of;
  engine_->db().exposures().each_in_trials([&](std::string_view unit, const auto& exposure) {
    if (exposure.request_id != both.request_id) return;
    ASSERT_THAT(exposure.trials, SizeIs(1));
    experiment_of[std::string(unit)] = exposure.trials[0].experiment;
  });
  EXPECT_THAT(experiment_of, ElementsAre(Pair("user-1", "by user"), Pair("visit-7", "by session")));

  request.user_id.reset();
  request.session[0].user_id.clear();
  EXPECT_THAT(engine_->rank(request).variants, IsEmpty());
}

TEST_F(ExperimentsServing, ATrialIsWrittenWhereWhatIsSetBearsOnTheRequestInEveryArmAlike) {
  std::vector<Item> items = {Shop::item(0, 3)};
  items[0].attributes = {{"colour", std::string("red")}};
  engine_->put_items(items);
  auto plain = for_user("");
  auto named = plain;
  named.candidates = {{Shop::id(0, 1), Shop::id(1, 1), Shop::id(2, 1)}};
  auto diverse = plain;
  diverse.diversity = 0.3;
  auto filtered = plain;
  filtered.filter = "colour = 'red'";
  filtered.include_seen = true;
  auto without = plain;
  without.filter = "not colour = 'red'";
  struct Case {
    Overrides set;
    std::vector<RankRequest> on;
    std::vector<RankRequest> off;
  };
  const std::vector<Case> cases = {
      {{}, {plain, named}, {}},
      {{.ranker = false}, {plain, named}, {}},
      {{.candidates = 40}, {plain}, {named}},
      {{.model_version = version_}, {plain, named}, {}},
      {{.diversity = 0.5}, {plain, named}, {diverse}},
      {{.boosts = {{"colour = 'red'", 1}}}, {plain, filtered}, {named, without}},
      {{.boosts = {{"colour = 'green'", 1}}}, {}, {plain}},
      {{.index = IndexKind::kExact}, {plain}, {named}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Experiment experiment = halves("e" + std::to_string(i), cases[i].set);
    serve({experiment});
    for (const auto& request : cases[i].on) {
      EXPECT_EQ(trials(experiment.name, request), everybody(experiment)) << i;
    }
    for (const auto& request : cases[i].off) {
      EXPECT_THAT(trials(experiment.name, request), IsEmpty()) << i;
    }
  }
  // Who is known by nothing is not searched for.
  serve({halves("index", {.index = IndexKind::kExact})});
  engine_->rank(for_user("stranger"));
  for (const auto& [id, one] : written()) EXPECT_NE(one.user, "stranger");
  // Nothing shown.
  serve({halves("any", {.ranker = false})});
  auto nothing = plain;
  nothing.candidates.emplace();
  EXPECT_THAT(trials("any", nothing), IsEmpty());
}

TEST_F(ExperimentsServing, WhereTwoSetTheSameTheFirstDeclaredCountsAlone) {
  const Experiment first = halves("first", {.diversity = 0.7});
  const Experiment second = halves("second", {.diversity = 0.2});
  EXPECT_THAT(conflicts({{}, {first, second}}),
              ElementsAre("experiments 'first' and 'second' both set diversity; for whoever is in "
                          "both, what the first sets counts"));
  EXPECT_THAT(conflicts({{}, {first, halves("third", {.ranker = false})}}), IsEmpty());
  serve({first, second});
  auto both = for_user("user-2");
  both.variants = {{"first", "treatment"}, {"second", "treatment"}};
  auto alone = for_user("user-2");
  alone.diversity = 0.7;
  EXPECT_EQ(ids(engine_->rank(both)), ids(engine_->rank(alone)));
  std::set<std::string> of_second;
  trials("second", for_user(""));
  for (const auto& [id, one] : written()) {
    for (const auto& trial : one.exposure.trials) {
      if (trial.experiment == "second") of_second.insert(one.user);
    }
  }
  for (std::size_t i = 0; i < Shop::kUsers; ++i) {
    EXPECT_EQ(of_second.contains(user(i)), assign(first, user(i)) == 0U) << user(i);
  }
}

TEST_F(ExperimentsServing, AnExposureSaysWhatWasShownByWhichVariantOfWhichVersion) {
  Experiment experiment = halves("e", {.ranker = false});
  experiment.version = 7;
  serve({experiment});
  const auto response = engine_->rank(for_user("user-5"));
  const auto all = written();
  ASSERT_THAT(all, Contains(testing::Key(response.request_id)));
  const auto& exposure = all.at(response.request_id).exposure;
  EXPECT_EQ(exposure.model_version, version_);
  ASSERT_THAT(exposure.trials, SizeIs(1));
  EXPECT_EQ(exposure.trials[0].version, 7);
  EXPECT_EQ(exposure.trials[0].variant, response.variants.at("e"));
  EXPECT_THAT(exposure.trials[0].propensities, IsEmpty());
  EXPECT_THAT(exposure.trials[0].teams, IsEmpty());
  std::vector<std::string> shown;
  for (const auto row : exposure.rows) shown.push_back(engine_->db().catalog().item_id(row));
  EXPECT_EQ(shown, ids(response));
}

TEST_F(ExperimentsServing, ARandomisedSliceShufflesTheFirstPlacesAndLogsHowProbableEachWas) {
  Experiment experiment = halves("e", {.diversity = 0.4});
  auto request = for_user("user-5");
  request.explain = true;
  request.pins = {{Shop::id(3, 3), 2}};
  serve({experiment});
  const auto plain = ids(engine_->rank(request));
  experiment.randomised = {1.0, 6};
  serve({experiment});
  std::map<std::string, int> at_the_top;
  constexpr int kRequests = 400;
  for (int i = 0; i < kRequests; ++i) {
    const auto response = engine_->rank(request);
    const auto shown = ids(response);
    ASSERT_EQ(shown[2], Shop::id(3, 3)) << "pins stay";
    EXPECT_TRUE(std::equal(shown.begin() + 6, shown.end(), plain.begin() + 6));
    EXPECT_THAT(shown, UnorderedElementsAreArray(plain));
    ++at_the_top[shown[0]];
    for (std::size_t place = 0; place < shown.size(); ++place) {
      const auto& rules = response.items[place].explanation->rules;
      const bool moved = shown[place] != plain[place];
      EXPECT_EQ(
          std::ranges::any_of(rules,
                              [](const auto& rule) {
                                return rule.starts_with("randomised for experiment 'e': from ");
                              }),
          moved);
    }
    if (i > 0) continue;
    const auto trial = written().at(response.request_id).exposure.trials.at(0);
    EXPECT_THAT(std::vector(trial.propensities.begin(), trial.propensities.begin() + 7),
                ElementsAre(0.2F, 0.2F, 1, 0.2F, 0.2F, 0.2F, 1));
  }
  // Each of five is at the top in 80 of 400, with a deviation of 8: six of those either way.
  EXPECT_THAT(at_the_top, SizeIs(5));
  for (const auto& [item, times] : at_the_top) EXPECT_NEAR(times, kRequests / 5.0, 48) << item;

  experiment.randomised->share = 0.25;
  serve({experiment});
  std::map<bool, int> drawn;
  const auto before = written();
  for (int i = 0; i < kRequests; ++i) engine_->rank(request);
  for (const auto& [id, one] : written()) {
    if (!before.contains(id)) ++drawn[!one.exposure.trials[0].propensities.empty()];
  }
  EXPECT_NEAR(drawn[true], kRequests / 4.0, 54) << "six deviations of 9";
  EXPECT_EQ(drawn[true] + drawn[false], kRequests);
}

TEST_F(ExperimentsServing, AnInterleavedListIsOfBothVariantsAndSaysWhoBroughtWhat) {
  Experiment experiment = halves("duel", {.ranker = false});
  experiment.interleave = true;
  serve({experiment});
  auto request = for_user("user-5");
  request.limit = 10;
  request.pins = {{Shop::id(3, 3), 1}};
  const auto list_of = [&](const char* variant) {
    auto forced = request;
    forced.variants = {{"duel", variant}};
    return ids(engine_->rank(forced));
  };
  const std::vector<std::vector<std::string>> lists = {list_of("control"), list_of("treatment")};
  ASSERT_NE(lists[0], lists[1]);
  ASSERT_THAT(written(), IsEmpty());
  for (int i = 0; i < 20; ++i) {
    const auto response = engine_->rank(request);
    EXPECT_THAT(response.variants, ElementsAre(Pair("duel", "interleaved")));
    const auto shown = ids(response);
    EXPECT_THAT(shown, SizeIs(10));
    EXPECT_THAT(std::set(shown.begin(), shown.end()), SizeIs(10)) << "each item once";
    EXPECT_EQ(shown[1], Shop::id(3, 3));
    const auto trial = written().at(response.request_id).exposure.trials.at(0);
    EXPECT_EQ(trial.variant, "interleaved");
    ASSERT_THAT(trial.teams, SizeIs(10));
    std::map<int, int> sizes;
    for (std::size_t place = 0; place < shown.size(); ++place) {
      ++sizes[trial.teams[place]];
      if (place == 1) {
        EXPECT_EQ(trial.teams[place], storage::kNoTeam);
      } else {
        EXPECT_THAT(lists.at(trial.teams[place]), Contains(shown[place]));
      }
    }
    EXPECT_LE(std::abs(sizes[0] - sizes[1]), 1);
  }
}

TEST_F(ExperimentsServing, PagesOfAnInterleavedListRepeatNothingAndKeepToCaps) {
  std::vector<Item> items;
  for (std::size_t kind = 0; kind < Shop::kKinds; ++kind) {
    for (std::size_t n = 0; n < Shop::kItemsPerKind; ++n) {
      Item item = Shop::item(kind, n);
      item.attributes = {{"kind", Shop::kind_of(item.item_id)}};
      items.push_back(std::move(item));
    }
  }
  engine_->put_items(items);
  Experiment experiment = halves("duel", {.ranker = false});
  experiment.interleave = true;
  serve({experiment});
  auto request = for_user("user-5");
  request.limit = 8;
  request.caps = {{"kind", 2}};
  std::set<std::string> seen;
  for (int page = 0; page < 4; ++page) {
    const auto response = engine_->rank(request);
    EXPECT_THAT(response.items, SizeIs(8));
    std::map<std::string, int> of_kind;
    for (const auto& id : ids(response)) {
      EXPECT_TRUE(seen.insert(id).second) << id;
      EXPECT_LE(++of_kind[Shop::kind_of(id)], 2);
    }
    ASSERT_TRUE(response.next_page_token);
    request.page_token = response.next_page_token;
  }
}

TEST_F(ExperimentsServing, WithoutTimeForTheSecondListTheFirstIsServedAndNoTrialWritten) {
  Experiment experiment = halves("duel", {.diversity = 0.5});
  experiment.interleave = true;
  serve({experiment});
  auto request = for_user("user-5");
  const auto received = Deadline::Clock::now();
  request.deadline = {received, std::chrono::milliseconds(1000),
                      [=] { return received + std::chrono::milliseconds(950); }};
  const auto response = engine_->rank(request);
  EXPECT_THAT(response.items, SizeIs(20));
  EXPECT_THAT(response.variants, ElementsAre(Pair("duel", "control")));
  EXPECT_TRUE(response.degraded);
  EXPECT_THAT(response.degraded_reason.value_or(""),
              HasSubstr("not interleaved, the list of variant 'control' alone"));
  EXPECT_THAT(written(), IsEmpty());
  EXPECT_THAT(engine_->db().exposures().read("user-5", 10), SizeIs(1));
}

TEST_F(ExperimentsServing, WhatCannotBeInterleavedOrShuffledIsRefused) {
  Experiment duel = halves("duel");
  duel.interleave = true;
  Experiment other = halves("other");
  other.interleave = true;
  EXPECT_THAT(refusal({duel, other}), HasSubstr("'duel' of layer 'duel' is interleaved too"));
  duel.end_ms = other.start_ms = 5;
  EXPECT_EQ(refusal({duel, other}), "") << "one after the other";
  Experiment both = halves("both");
  both.interleave = true;
  both.randomised = {0.5, 10};
  EXPECT_THAT(refusal({both}), HasSubstr("interleave and randomised are both set"));
  Experiment three = halves("three");
  three.interleave = true;
  three.variants = {{"a", 0.5, {}}, {"b", 0.25, {}}, {"c", 0.25, {}}};
  EXPECT_THAT(refusal({three}), HasSubstr("there are 3 variants; a list is interleaved of 2"));
  Experiment slice = halves("slice");
  for (const auto& [share, first] :
       {std::pair{0.0, 5}, {1.5, 5}, {std::nan(""), 5}, {0.5, 1}, {0.5, kLimitMax + 1}}) {
    slice.randomised = {share, first};
    EXPECT_THAT(refusal({slice}), HasSubstr("randomised.")) << share << ' ' << first;
  }
}

TEST_F(ExperimentsServing, EveryTrialIsCountedByVariantAndNothingElse) {
  using Counts = std::map<std::pair<std::string, std::string>, std::uint64_t>;
  const auto counted = [&] {
    Counts counts;
    for (const auto& [experiment, variant, exposures] : engine_->figures().exposures) {
      counts[{experiment, variant}] = exposures;
    }
    return counts;
  };
  EXPECT_THAT(counted(), IsEmpty());
  Experiment by_session = halves("by session");
  by_session.unit = Unit::kSession;
  Experiment duel = halves("duel", {.ranker = false});
  duel.interleave = true;
  const std::vector<Experiment> set = {halves("by user"), by_session, duel};
  serve(set);
  const Counts none = {{{"by user", "control"}, 0},
                       {{"by user", "treatment"}, 0},
                       {{"by session", "control"}, 0},
                       {{"by session", "treatment"}, 0},
                       {{"duel", "interleaved"}, 0}};
  EXPECT_EQ(counted(), none);
  RankRequest preview = for_user("user-1");
  preview.preview = true;
  engine_->rank(preview);
  RankRequest forced = for_user("user-1");
  forced.variants = {{"by user", "control"}, {"duel", "treatment"}};
  engine_->rank(forced);
  EXPECT_EQ(counted(), none);

  // Also while others come and go.
  std::vector<Experiment> more = set;
  more.push_back(halves("comes and goes"));
  std::atomic<int> ranking = 2;
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < unless_sanitized(400, 40); ++i) {
        RankRequest request = for_user(user(i));
        if (i % 3 == t)
          request.session = {shop_.event("visit-" + std::to_string(i), Shop::id(1, 3))};
        engine_->rank(request);
      }
      --ranking;
    });
  }
  for (int swap = 0; ranking > 0; ++swap) serve(swap % 2 == 0 ? more : set);
  threads.clear();
  serve(set);
  Counts stored;
  engine_->db().exposures().each_in_trials([&](std::string_view, const storage::Exposure& one) {
    for (const auto& trial : one.trials) ++stored[{trial.experiment, trial.variant}];
  });
  stored.erase({"comes and goes", "control"});
  stored.erase({"comes and goes", "treatment"});
  EXPECT_THAT(stored, SizeIs(none.size()));
  EXPECT_EQ(counted(), stored);
  serve({by_session});
  EXPECT_THAT(counted(), SizeIs(2)) << "of what is declared";
}

TEST_F(ExperimentsServing, SetsSwappedUnderLoadMixInNoAnswer) {
  const std::string newer = publish();
  const Experiment a = halves("a", {.model_version = version_});
  const Experiment b = halves("b", {.model_version = newer});
  serve({a});
  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0, mixed = 0;
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; !stop; ++i) {
        const auto response = engine_->rank(for_user(user(i)));
        const bool by_a = response.variants.contains("a");
        const bool old = by_a && response.variants.at("a") == "treatment";
        if (response.variants.size() != 1 || response.model_version != (old ? version_ : newer)) {
          ++mixed;
        }
        ++answered;
      }
    });
  }
  threads.emplace_back([&] {
    for (std::size_t n = 0; !stop; ++n) {
      Item item = Shop::item(n % Shop::kKinds, 0);
      item.item_id = "more-" + std::to_string(n % 10);
      engine_->put_items(std::vector{item});
      engine_->remove_items(std::vector{item.item_id});
    }
  });
  for (int swap = 0; swap < kSwaps; ++swap) {
    serve({swap % 2 == 0 ? b : a});
    const int before = answered;
    while (answered == before) std::this_thread::yield();
  }
  stop = true;
  threads.clear();
  EXPECT_EQ(mixed, 0);
  EXPECT_GT(answered, kSwaps);
}

}  // namespace
}  // namespace fovea::engine
