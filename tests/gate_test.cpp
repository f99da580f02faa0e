// A version that is worse than what serves, or than the most popular items, is not published,
// unless somebody insists.
#include "engine/gate.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "engine/engine.h"
#include "engine/evaluate.h"
#include "engine/learning.h"
#include "engine/synthetic.h"
#include "sanitized.h"
#include "shop.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr SyntheticOptions kShop{
    .users = unless_sanitized<std::size_t>(300, 200), .items = 150, .events_per_user = 20};

void stock(Engine& engine) {
  engine.put_items(synthetic_items(kShop));
  engine.declare_action("view", 1);
  engine.declare_action("purchase", 1);
  synthetic_events(kShop, [&](std::span<const Event> events) { engine.record(events); });
}

class Gate : public testing::Test {
 protected:
  Gate() { stock(*open()); }
  std::unique_ptr<Engine> open() { return shop_.open(); }

  static LearnOptions good(Split split = Split::kLeaveOneOut) {
    LearnOptions options;
    options.split = split;
    options.train.width = 16;
    options.train.threads = 1;
    options.train.epochs_max = 12;
    options.train.ranker_epochs_max = unless_sanitized<std::size_t>(40, 8);
    return options;
  }
  /// Learns next to nothing: one epoch, and a ranker that sees nothing but the encoder's retrieval.
  static LearnOptions bad(Split split = Split::kLeaveOneOut) {
    LearnOptions options = good(split);
    options.train.epochs_max = 1;
    options.train.epochs_min = 1;
    options.train.learning_rate = 1e-6;
    options.train.ranker_epochs_max = 0;
    options.train.transition_features = false;
    options.train.ease_features = false;
    options.train.text_features = false;
    options.train.vector_features = false;
    options.train.popularity_features = false;
    options.train.target_attention = false;
    return options;
  }
  LearnResult learn(const LearnOptions& options) {
    stages_.clear();
    gate_.clear();
    return engine::learn(shop_.directory(), options, [this](const LearnProgress& step) {
      stages_.push_back(step.message.starts_with("epoch") ? "epoch" : step.stage);
      if (step.stage == "gate") gate_ = step.message;
    });
  }
  /// The name of a version that learn(good()) published here: it gives the same bytes each time,
  /// and is learned once for all tests.
  std::string learned() {
    struct Learned {
      Shop shop;
      LearnResult result;
    };
    static const std::unique_ptr<const Learned> kLearned = [] {
      auto made = std::make_unique<Learned>();
      stock(*made->shop.open());
      made->result = engine::learn(made->shop.directory(), good(), {});
      return made;
    }();
    fs::copy(kLearned->shop.directory() / "versions", shop_.directory() / "versions",
             fs::copy_options::recursive);
    return kLearned->result.version;
  }
  /// What refuses it; "" when it is published.
  std::string refusal(const LearnOptions& options) {
    try {
      learn(options);
      return "";
    } catch (const NotPublished& refusal) {
      return refusal.what();
    }
  }
  std::vector<std::string> folders() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(shop_.directory() / "versions")) {
      if (entry.is_directory()) result.push_back(entry.path().filename());
    }
    std::ranges::sort(result);
    return result;
  }

  Shop shop_;
  Versions versions_{shop_.directory()};
  std::vector<std::string> stages_;
  std::string gate_;
};

TEST_F(Gate, TheFirstVersionIsMeasuredAsEvaluateMeasuresIt) {
  const LearnResult first = learn(good());
  const Evaluation evaluation = evaluate(*open(), {}, {});
  EXPECT_NEAR(first.metrics.at("test_ndcg@10"), evaluation.ranked.ndcg_10, 1e-6);
  EXPECT_NEAR(first.metrics.at("test_popular_ndcg@10"), evaluation.popular.ndcg_10, 1e-6);
  const VersionCard card = versions_.load(first.version).card;
  EXPECT_EQ(card.metrics.at("test_ndcg@10"), first.metrics.at("test_ndcg@10"));
  EXPECT_EQ(card.replaced, "");
}

TEST_F(Gate, AWorseVersionIsRefusedWithBothFiguresAndLeavesNothing) {
  const std::string serves = learned();
  EXPECT_THAT(refusal(bad()),
              AllOf(HasSubstr("ndcg@10 0."), HasSubstr("popular 0."),
                    HasSubstr("version " + serves + ", which serves, 0."), HasSubstr("--force")));
  EXPECT_EQ(versions_.current(), serves);
  EXPECT_THAT(folders(), testing::ElementsAre(serves, "checkpoint"));
}

TEST_F(Gate, WhatIsNoBetterThanPopularIsRefusedThoughNothingServes) {
  EXPECT_THAT(refusal(bad()), AllOf(HasSubstr("popular 0."), Not(HasSubstr("which serves"))));
  EXPECT_EQ(versions_.current(), std::nullopt);
}

TEST_F(Gate, WithForceTheRefusedTrainingIsPublishedWithoutAnotherEpoch) {
  const std::string serves = learned();
  LearnOptions options = bad();
  ASSERT_NE(refusal(options), "");
  options.force = true;
  const LearnResult forced = learn(options);
  EXPECT_EQ(versions_.current(), forced.version);
  EXPECT_EQ(versions_.load(forced.version).card.replaced, serves);
  EXPECT_THAT(stages_, Not(testing::Contains("epoch")));
  EXPECT_THAT(stages_, Not(testing::Contains("gate")));
  EXPECT_THAT(folders(), testing::ElementsAre(serves, forced.version));
}

TEST_F(Gate, TheSameAgainIsNotWorse) {
  const std::string first = learned();
  EXPECT_GT(learn(good()).version, first);
  EXPECT_THAT(gate_, HasSubstr("version " + first + ", which serves"));
}

TEST_F(Gate, WithoutASplitTheRecipesValidationDecides) {
  const LearnResult first = learn(good(Split::kNone));
  EXPECT_THAT(gate_, AllOf(HasSubstr("validation ndcg@10 0."), HasSubstr("popular 0.")));
  EXPECT_GT(first.metrics.at("validation_ranker_questions"), 20);
  EXPECT_THAT(refusal(bad(Split::kNone)),
              AllOf(HasSubstr("validation ndcg@10 0."),
                    HasSubstr("version " + first.version + ", which serves, had 0.")));
  EXPECT_EQ(versions_.current(), first.version);
}

TEST_F(Gate, AVersionThatHasLearnedTheAnswersIsAskedForLaterOnesOnly) {
  const std::string knows_all = learn(good(Split::kNone)).version;
  EXPECT_EQ(refusal(good()), "");
  EXPECT_THAT(gate_, HasSubstr("version " + knows_all + " has learned them all"));

  const LearnResult again = learn(good(Split::kNone));
  const auto engine = open();
  std::vector<Event> later;
  for (int user = 1; user <= 50; ++user) {
    const std::string number = std::to_string(user);
    const std::string reader = "reader-" + std::string(4 - number.size(), '0') + number;
    later.push_back({reader, "book-0001", "view", SyntheticOptions().end_ms + 1000, {}, {}, {}});
  }
  engine->record(later);
  refusal(good());
  EXPECT_THAT(gate_, AllOf(HasSubstr("version " + again.version + ", which serves"),
                           HasSubstr("whose behaviour it has not learned")));
}

TEST_F(Gate, ADamagedVersionIsNothingToBeBetterThan) {
  const std::string first = learned();
  fs::resize_file(shop_.directory() / "versions" / first / "model.safetensors", 100);
  EXPECT_EQ(refusal(good()), "");
  EXPECT_THAT(gate_, Not(HasSubstr("which serves")));
}

TEST_F(Gate, ARollbackMeanwhileIsNotUndone) {
  const std::string first = learned();
  const std::string second = learn(good()).version;
  Draft draft = versions_.write(versions_.load(second));
  EXPECT_EQ(versions_.roll_back({}), first);
  EXPECT_THAT([&] { versions_.publish(std::move(draft), 5); },
              testing::ThrowsMessage<Unavailable>(
                  AllOf(HasSubstr(first + " serves now"), HasSubstr(second + " did"))));
  EXPECT_EQ(versions_.current(), first);
  EXPECT_THAT(folders(), testing::ElementsAre(first, second));
}

}  // namespace
}  // namespace fovea::engine
