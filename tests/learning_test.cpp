// From a store to a version: what is learned from, what is published, what is refused.
#include "engine/learning.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "engine/models.h"
#include "engine/synthetic.h"
#include "engine/training_log.h"
#include "ranking/device.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Learning : public testing::Test {
 protected:
  Learning() {
    directory_ = fs::path(testing::TempDir()) /
                 ("learning_" + std::to_string(::getpid()) + "_" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
  }
  ~Learning() override { fs::remove_all(directory_); }

  std::unique_ptr<Engine> open() const {
    EngineOptions options;
    options.reload_interval = std::chrono::milliseconds(0);
    return Engine::open(directory_, options);
  }
  /// A shop small enough to be learned in a second or two.
  void stock(bool events) const {
    const SyntheticOptions shop{.users = 60, .items = 80, .events_per_user = 10};
    const auto engine = open();
    engine->put_items(synthetic_items(shop));
    if (!events) return;
    engine->declare_action("view", 1);
    engine->declare_action("purchase", 1);
    synthetic_events(shop, [&](std::span<const Event> user) { engine->record(user); });
  }
  static LearnOptions small(Split split = Split::kNone) {
    LearnOptions options;
    options.split = split;
    options.train.width = 16;
    options.train.threads = 1;  // tests run side by side
    options.train.epochs_max = 2;
    options.train.ranker_epochs_max = 2;
    options.force = true;  // two epochs are no version to be proud of
    return options;
  }
  LearnResult learn(Split split = Split::kNone) { return learn(small(split)); }
  LearnResult learn(const LearnOptions& options) {
    stages_.clear();
    messages_.clear();
    return engine::learn(directory_, options, [this](const LearnProgress& step) {
      if (step.message.starts_with("epoch") && --epochs_left_ == 0) throw Killed();
      stages_.push_back(step.stage);
      messages_ += step.stage + ": " + step.message + "\n";
    });
  }
  /// What stays of a training that is killed at the end of its n-th epoch.
  struct Killed {};
  void kill_at_epoch(int n, const LearnOptions& options) {
    epochs_left_ = n;
    EXPECT_THROW(learn(options), Killed);
  }
  Version version(const std::string& name) const { return Versions(directory_).load(name); }
  bool checkpoint_is_there() const { return fs::exists(directory_ / "versions" / "checkpoint"); }
  /// Two more views by each of `users` readers, newer than all the others.
  void view_more(std::size_t users, const std::string& item, const std::string& then) const {
    const auto engine = open();
    std::vector<Event> events;
    for (std::size_t user = 1; user <= users; ++user) {
      const std::string reader = fmt::format("reader-{:04}", user);
      const std::int64_t newest_ms = SyntheticOptions().end_ms;
      events.push_back({reader, item, "view", newest_ms + 1000, {}, {}, {}});
      events.push_back({reader, then, "view", newest_ms + 2000, {}, {}, {}});
    }
    ASSERT_EQ(engine->record(events), events.size());
  }

  fs::path directory_;
  std::vector<std::string> stages_;
  std::string messages_;
  int epochs_left_ = -1;  // before it is killed; negative: never
};

TEST_F(Learning, ACatalogueAloneCanBeSearched) {
  stock(false);
  const LearnResult result = learn();
  EXPECT_FALSE(result.has_model);
  EXPECT_EQ(result.items, 80U);
  EXPECT_EQ(result.users, 0U);
  EXPECT_THAT(stages_, testing::ElementsAre("read", "text", "index", "publish"));

  const auto engine = open();
  const std::string item = "book-0001";
  const Item wanted = engine->get_items(std::span(&item, 1)).at(0);
  const RankResponse response = engine->rank({.query = wanted.text, .limit = 1});
  ASSERT_EQ(response.items.size(), 1U);
  EXPECT_EQ(response.items[0].item_id, item);
  EXPECT_EQ(response.model_version, result.version);
}

TEST_F(Learning, BehavioursMakeAModelThatServes) {
  stock(true);
  const LearnResult result = learn();
  EXPECT_TRUE(result.has_model);
  EXPECT_EQ(result.users, 60U);
  EXPECT_THAT(stages_,
              testing::IsSupersetOf({"read", "text", "ranker", "encoder", "index", "publish"}));

  const auto engine = open();
  const RankResponse response = engine->rank({.user_id = "reader-0001", .limit = 5});
  EXPECT_EQ(response.items.size(), 5U);
  EXPECT_EQ(response.model_version, result.version);
}

TEST_F(Learning, WithoutAGpuATrainingOnOneSaysWhyBeforeItBegins) {
  const ranking::DeviceCount devices = ranking::device_count();
  if (devices.count > 0) GTEST_SKIP() << "there is a GPU";
  stock(true);
  LearnOptions options = small();
  options.device = DeviceChoice::kGpu;
  try {
    learn(options);
    FAIL() << "it was trained";
  } catch (const ranking::DeviceError& error) {
    EXPECT_THAT(error.what(), HasSubstr(devices.reason));
  }
  EXPECT_THAT(stages_, testing::IsEmpty());
  EXPECT_FALSE(Versions(directory_).current());
}

TEST_F(Learning, TheCardSaysWhatWasLearnedFrom) {
  stock(true);
  const LearnResult all = learn();
  const LearnResult held_out = learn(Split::kLeaveOneOut);
  EXPECT_EQ(held_out.behaviours, all.behaviours - 2 * held_out.users);
  EXPECT_GT(held_out.version, all.version);

  const Version version = Versions(directory_).load(held_out.version);
  EXPECT_EQ(version.card.split, Split::kLeaveOneOut);
  EXPECT_EQ(version.card.device, "CPU");
  EXPECT_EQ(version.card.behaviours, held_out.behaviours);
  EXPECT_EQ(version.card.users, held_out.users);
  EXPECT_EQ(version.card.items, 80U);
  EXPECT_NEAR(version.card.metrics.at("validation_ranker_ndcg@10"),
              held_out.metrics.at("validation_ranker_ndcg@10"), 1e-9);
  double behaviours = 0;
  for (const float log_count : version.log_popularity) behaviours += std::expm1(log_count);
  EXPECT_NEAR(behaviours, static_cast<double>(held_out.behaviours), 0.1);
}

TEST_F(Learning, ARemovedItemKeepsNothing) {
  stock(true);
  const std::string gone = "book-0007";
  std::uint32_t row = 0;
  {
    const auto engine = open();
    row = *engine->db().catalog().row(gone);
    engine->remove_items(std::span(&gone, 1));
  }
  const Version version = Versions(directory_).load(learn().version);
  EXPECT_EQ(version.item_index->size(), 79U);
  EXPECT_EQ(version.text_index->size(), 79U);
  const std::size_t width = version.text_space.width();
  for (std::size_t k = 0; k < width; ++k) EXPECT_EQ(version.texts[row * width + k], 0);
  for (std::size_t d = 0; d < 16; ++d) EXPECT_EQ(version.vectors[row * 16 + d], 0);
  EXPECT_EQ(version.log_popularity[row], 0);
}

TEST_F(Learning, EmbeddingsAreUsedWithTheirOwnWidth) {
  {
    const auto engine = open();
    std::vector<Item> items(20);
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].item_id = std::to_string(i);
      if (i == 3) continue;  // neither text nor embedding
      items[i].embedding =
          std::vector<float>{1, static_cast<float>(i), static_cast<float>(i * i), -1, 0.5F};
    }
    engine->put_items(items);
  }
  const Version version = Versions(directory_).load(learn().version);
  EXPECT_EQ(version.text_space.width(), 5U);
  EXPECT_EQ(version.text_index->size(), 19U);
}

TEST_F(Learning, AnEmptyCatalogueIsRefused) {
  {
    open();
  }
  EXPECT_THAT([&] { learn(); },
              testing::ThrowsMessage<InvalidRequest>(HasSubstr("the catalogue is empty")));
}

TEST_F(Learning, AMissingDirectoryIsRefusedAndNotMade) {
  EXPECT_THROW(learn(), storage::StoreError);
  EXPECT_FALSE(fs::exists(directory_));
}

TEST_F(Learning, AnotherTrainingOfTheSameDirectoryIsRefused) {
  stock(false);
  const auto lock = Versions(directory_).lock_training();
  EXPECT_THROW(learn(), Unavailable);
}

TEST_F(Learning, WorksBesideAProcessThatHasTheStoreOpen) {
  stock(true);
  const auto engine = open();
  const LearnResult result = learn();
  EXPECT_TRUE(engine->reload());
  EXPECT_EQ(engine->status().model_version, result.version);
}

TEST_F(Learning, TheSameSeedGivesTheSameVersion) {
  stock(true);
  const Version first = Versions(directory_).load(learn().version);
  const Version second = Versions(directory_).load(learn().version);
  EXPECT_EQ(first.texts, second.texts);
  EXPECT_EQ(first.vectors, second.vectors);
}

TEST_F(Learning, EveryEpochIsLogged) {
  stock(true);
  const LearnResult result = learn(Split::kLeaveOneOut);
  std::ifstream file(directory_ / "versions" / result.version / "training.jsonl");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_EQ(text, to_jsonl(result.log));
  ASSERT_EQ(result.log.size(), 6U);  // two of each stage
  EXPECT_EQ(result.log[0].stage, "encoder for the ranker");
  EXPECT_EQ(result.log[2].stage, "ranker");
  EXPECT_EQ(result.log[5].stage, "encoder");
  EXPECT_EQ(result.log[5].epoch, 2U);
  EXPECT_GT(result.log[5].loss, 0);
  EXPECT_GT(result.log[5].seconds, 0);
  EXPECT_DOUBLE_EQ(*result.log[4 + result.log[5].best_epoch - 1].validation_ndcg_10,
                   result.metrics.at("validation_encoder_ndcg@10"));
}

TEST_F(Learning, AKilledTrainingEndsAsOneThatWasNot) {
  stock(true);
  const LearnResult whole = learn(Split::kLeaveOneOut);
  const Version expected = version(whole.version);
  for (int epoch = 1; epoch <= 6; ++epoch) {  // two of each stage
    kill_at_epoch(epoch, small(Split::kLeaveOneOut));
    ASSERT_EQ(checkpoint_is_there(), epoch > 1) << "killed before the first epoch was kept";
    const LearnResult resumed = learn(Split::kLeaveOneOut);
    if (epoch > 1) {
      EXPECT_THAT(messages_, HasSubstr("checkpoint: resuming at epoch")) << epoch;
      EXPECT_LT(std::ranges::count(stages_, "encoder for the ranker"), 2) << epoch;
    }
    EXPECT_FALSE(checkpoint_is_there());
    EXPECT_EQ(resumed.log.size(), whole.log.size());
    EXPECT_EQ(resumed.metrics, whole.metrics);
    const Version got = version(resumed.version);
    EXPECT_EQ(got.vectors, expected.vectors) << epoch;
    ranking::Weights a;
    ranking::Weights b;
    got.model->save(a);
    expected.model->save(b);
    EXPECT_TRUE(std::ranges::equal(a.floats("ranker.theta"), b.floats("ranker.theta"))) << epoch;
    EXPECT_TRUE(std::ranges::equal(a.floats("ranker.hidden1"), b.floats("ranker.hidden1")));
  }
}

TEST_F(Learning, OnlyTheSameTrainingGoesOn) {
  stock(true);
  const auto refusal = [&](const LearnOptions& options) {
    kill_at_epoch(3, small());
    learn(options);
    EXPECT_EQ(std::ranges::count(stages_, "encoder for the ranker"), 2) << "not begun anew";
    return messages_;
  };
  LearnOptions other = small();
  other.train.seed = 2;
  EXPECT_THAT(refusal(other), HasSubstr("its seed is \"1\" and this one's \"2\""));
  other = small();
  other.train.dropout = 0.25;
  EXPECT_THAT(refusal(other), HasSubstr("its dropout is \"0.3\" and this one's \"0.25\""));
  EXPECT_THAT(refusal(small(Split::kLeaveOneOut)), HasSubstr("its split is \"none\""));
  other = small();
  other.fresh = true;
  EXPECT_THAT(refusal(other), testing::Not(HasSubstr("checkpoint")));
  kill_at_epoch(3, small());
  view_more(1, "book-0001", "book-0002");
  learn();
  EXPECT_THAT(messages_, HasSubstr("its behaviours are others; training starts anew"));
}

TEST_F(Learning, AVersionGoesOnFromAnother) {
  stock(true);
  const LearnResult base = learn();
  const std::string fresh_item = "new-book";
  {
    const auto engine = open();
    Item item;
    item.item_id = fresh_item;
    item.text = "An Expedition for the Canyon, a slow-burning adventure";
    engine->put_items(std::span(&item, 1));
  }
  view_more(30, fresh_item, fresh_item);
  LearnOptions options = small();
  options.from = "CURRENT";
  options.train.epochs_max = 20;
  options.train.patience = 20;
  const LearnResult next = learn(options);
  EXPECT_EQ(next.from, base.version);
  EXPECT_THAT(messages_, HasSubstr(fmt::format("from: version {}, 60 of", base.version)));
  EXPECT_THAT(messages_, HasSubstr("30 users have unseen behaviours, and fewer than 2000"));
  EXPECT_FALSE(std::ranges::any_of(next.log, [](const auto& epoch) {
    return epoch.stage == "ranker";
  })) << "fitted on too little";

  const Version old_version = Versions(directory_).load_older(base.version);
  const Version new_version = version(next.version);
  EXPECT_EQ(new_version.card.from, base.version);
  EXPECT_EQ(new_version.card.items, 81U);
  EXPECT_TRUE(
      std::equal(old_version.texts.begin(), old_version.texts.end(), new_version.texts.begin()))
      << "a text space of its own";
  ranking::Weights before;
  ranking::Weights after;
  old_version.model->save(before);
  new_version.model->save(after);
  EXPECT_TRUE(std::ranges::equal(before.floats("ranker.linear"), after.floats("ranker.linear")));
  // A few epochs away from the base, and not a training away.
  double moved = 0;
  double length = 0;
  for (std::size_t i = 0; i < old_version.vectors.size(); ++i) {
    moved += std::pow(new_version.vectors[i] - old_version.vectors[i], 2);
    length += std::pow(old_version.vectors[i], 2);
  }
  EXPECT_GT(moved, 0);
  EXPECT_LT(moved, length / 4);
  EXPECT_EQ(after.floats("encoder.learned")[80], 1) << "the new item has been touched";
  learn();
  EXPECT_EQ(version(*Versions(directory_).current()).card.from, "");
}

TEST_F(Learning, EnoughUnseenBehavioursRefitTheRankerAndNoOthersAreAsked) {
  stock(true);
  const Version base = version(learn().version);
  view_more(30, "book-0001", "book-0002");
  LearnOptions options = small();
  options.from = "CURRENT";
  options.train.refit_questions_min = 30;
  const LearnResult next = learn(options);
  const auto ranker = [](const auto& epoch) { return epoch.stage == "ranker"; };
  EXPECT_TRUE(std::ranges::any_of(next.log, ranker));
  options.from = base.card.version;
  options.train.refit_questions_min = 31;
  EXPECT_FALSE(std::ranges::any_of(learn(options).log, ranker));
  EXPECT_THAT(messages_, HasSubstr("30 users have unseen behaviours"));
}

TEST_F(Learning, WithoutNewBehavioursWhatItGoesOnFromStays) {
  stock(true);
  const Version base = version(learn().version);
  LearnOptions options = small();
  options.from = base.card.version;
  const LearnResult next = learn(options);
  EXPECT_THAT(messages_, HasSubstr(", 0 of"));
  EXPECT_EQ(version(next.version).vectors, base.vectors);
  EXPECT_FALSE(next.metrics.contains("validation_ranker_ndcg@10")) << "it was not measured again";
}

TEST_F(Learning, WhatCannotBeGoneOnFromIsRefusedWithWhatWouldBeRight) {
  stock(false);
  LearnOptions options = small(Split::kLeaveOneOut);
  const auto refusal = [&](const auto& change) {
    LearnOptions changed = options;
    change(changed);
    try {
      learn(changed);
      return std::string("learned");
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
  const auto unchanged = [](LearnOptions&) {};
  options.from = "CURRENT";
  EXPECT_THAT(refusal(unchanged), HasSubstr("no version was published yet"));
  learn();
  EXPECT_THAT(refusal(unchanged), HasSubstr("knows texts only"));
  stock(true);
  const std::string name = learn(Split::kLeaveOneOut).version;
  EXPECT_THAT(refusal([](LearnOptions& o) { o.from = "20200101T000000.000Z"; }),
              HasSubstr("holds no version \"20200101T000000.000Z\"; it holds 2"));
  EXPECT_THAT(refusal([](LearnOptions& o) { o.from = "../.."; }), HasSubstr("holds no version"));
  EXPECT_THAT(refusal([](LearnOptions& o) { o.split = Split::kNone; }),
              HasSubstr("was trained with --split leave-one-out and this training has none"));
  EXPECT_THAT(refusal([](LearnOptions& o) { o.train.width = 32; }),
              HasSubstr("has width 16 and this training 32; give --width 16"));
  EXPECT_THAT(refusal([](LearnOptions& o) { o.train.behaviours_max = 10; }),
              HasSubstr("give --behaviours-max 50"));
  EXPECT_THAT(refusal([](LearnOptions& o) { o.train.ranker_candidates = 10; }),
              HasSubstr("give --ranker-candidates 200"));
  EXPECT_EQ(Versions(directory_).current(), name);
  EXPECT_EQ(refusal(unchanged), "learned");
}

}  // namespace
}  // namespace fovea::engine
