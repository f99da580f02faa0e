// Training again and again: only where there is something new, from what serves where that is
// possible, and without filling the disk.
#include "engine/relearning.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "engine/engine.h"
#include "engine/models.h"
#include "engine/synthetic.h"
#include "sanitized.h"
#include "shop.h"

namespace fovea::engine {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr SyntheticOptions kShop{
    .users = unless_sanitized<std::size_t>(300, 150), .items = 150, .events_per_user = 20};

class Relearn : public testing::Test {
 protected:
  Relearn() : engine_(shop_.open()) {
    engine_->put_items(synthetic_items(kShop));
    engine_->declare_action("view", 1);
    engine_->declare_action("purchase", 1);
    synthetic_events(kShop, [&](std::span<const Event> events) { engine_->record(events); });
  }
  static RelearnOptions options() {
    RelearnOptions options;
    options.learn.split = Split::kLeaveOneOut;
    options.learn.train.width = 16;
    options.learn.train.threads = 1;
    options.learn.train.epochs_max = 8;
    options.learn.train.ranker_epochs_max = unless_sanitized<std::size_t>(40, 4);
    options.full_every = 3;
    return options;
  }
  /// One more view by each of ten readers.
  void view_more() {
    ++views_;
    std::vector<Event> events;
    for (int reader = 10; reader < 20; ++reader) {
      events.push_back({"reader-00" + std::to_string(reader),
                        "book-0001",
                        "view",
                        SyntheticOptions().end_ms + views_ * 1000,
                        {},
                        {},
                        {}});
    }
    ASSERT_EQ(engine_->record(events), 10);
  }
  VersionCard current() const { return versions_.load(*versions_.current()).card; }
  std::size_t folders() const {
    std::size_t n = 0;
    for (const auto& version : versions_.list()) n += version.card ? 1 : 0;
    return n;
  }

  Shop shop_;
  std::unique_ptr<Engine> engine_;  // as a server has it open, all the time
  Versions versions_{shop_.directory()};
  int views_ = 0;
};

TEST_F(Relearn, GoesOnFromWhatServesAndStartsAnewEveryThirdTime) {
  Relearning relearning(shop_.directory(), options());
  EXPECT_THAT(relearning.round({}),
              AllOf(HasSubstr("published, from nothing"), HasSubstr("ndcg@10")));
  const std::string first = *versions_.current();
  EXPECT_EQ(relearning.round({}), "nothing new since version " + first);
  EXPECT_EQ(Relearning(shop_.directory(), options()).round({}),
            "nothing new since version " + first)
      << "also after a restart";

  view_more();
  EXPECT_THAT(relearning.round({}), HasSubstr("published, going on from " + first));
  EXPECT_EQ(current().continued, 1U);
  view_more();
  EXPECT_THAT(relearning.round({}), HasSubstr("published, going on from"));
  EXPECT_EQ(current().continued, 2U);
  view_more();
  EXPECT_THAT(relearning.round({}), HasSubstr("published, from nothing"));
  EXPECT_EQ(current().continued, 0U);
  EXPECT_TRUE(engine_->reload());
}

TEST_F(Relearn, ANewItemIsSomethingNew) {
  Relearning relearning(shop_.directory(), options());
  relearning.round({});
  Item item;
  item.item_id = "new";
  item.text = "A new book about dragons";
  engine_->put_items(std::span(&item, 1));
  EXPECT_THAT(relearning.round({}), HasSubstr("published"));
}

TEST_F(Relearn, WhatCannotBeGoneOnFromIsLearnedAnew) {
  RelearnOptions other = options();
  other.learn.train.width = 8;
  Relearning(shop_.directory(), other).round({});
  view_more();
  std::string why;
  const auto listen = [&](const LearnProgress& step) {
    if (step.stage == "from") why += step.message;
  };
  // With another width, which is told only when the version is loaded.
  EXPECT_THAT(Relearning(shop_.directory(), options()).round(listen), Not(HasSubstr("going on")));
  EXPECT_THAT(why, HasSubstr("starting from nothing"));
  EXPECT_THAT(why, HasSubstr("give --width 8"));
}

TEST_F(Relearn, ARefusedVersionIsNotTriedAgainBeforeSomethingIsNew) {
  Relearning(shop_.directory(), options()).round({});
  const std::string serves = *versions_.current();
  view_more();
  RelearnOptions bad = options();  // can only be worse
  bad.learn.train.epochs_max = 1;
  bad.learn.train.ranker_epochs_max = 0;
  bad.learn.train.learning_rate = 1e-6;
  bad.full_every = 1;
  bad.learn.train.transition_features = bad.learn.train.ease_features = false;
  bad.learn.train.text_features = bad.learn.train.vector_features = false;
  bad.learn.train.popularity_features = bad.learn.train.target_attention = false;
  Relearning relearning(shop_.directory(), bad);
  EXPECT_THAT(relearning.round({}), AllOf(HasSubstr("not published"), HasSubstr(serves)));
  EXPECT_EQ(relearning.round({}), "nothing new since the training that was not published");
  EXPECT_EQ(*versions_.current(), serves);
  view_more();
  EXPECT_THAT(relearning.round({}), HasSubstr("not published"));
}

TEST_F(Relearn, OldVersionsGoSoThatTheDiskDoesNotFill) {
  RelearnOptions few = options();
  few.learn.train.epochs_max = 2;
  few.learn.force = true;
  few.learn.versions_kept = 3;
  Relearning relearning(shop_.directory(), few);
  for (int round = 0; round < 6; ++round) {
    EXPECT_THAT(relearning.round({}), HasSubstr("published")) << round;
    EXPECT_LE(folders(), 3U);
    view_more();
  }
  EXPECT_EQ(folders(), 3U);
  EXPECT_NE(versions_.roll_back({}), "");
}

TEST_F(Relearn, AStopEndsTheTrainingAndTheNextGoesOnThere) {
  RelearnOptions stopped = options();
  std::stop_source stop;
  stopped.learn.stop = stop.get_token();
  int epochs = 0;
  Relearning relearning(shop_.directory(), stopped);
  EXPECT_THROW(relearning.round([&](const LearnProgress& step) {
    if (step.message.starts_with("epoch") && ++epochs == 3) stop.request_stop();
  }),
               Stopped);
  EXPECT_EQ(epochs, 3) << "the epoch under way is the last";
  EXPECT_EQ(versions_.current(), std::nullopt);

  std::string log;
  Relearning next(shop_.directory(), options());
  EXPECT_THAT(next.round([&](const LearnProgress& step) { log += step.message + "\n"; }),
              HasSubstr("published"));
  EXPECT_THAT(log, HasSubstr("resuming at epoch 4"));
}

TEST_F(Relearn, ADirectoryWithoutAStoreIsRefusedAtOnce) {
  EXPECT_THROW(Relearning(shop_.directory() / "nowhere", options()), storage::StoreError);
}

}  // namespace
}  // namespace fovea::engine
