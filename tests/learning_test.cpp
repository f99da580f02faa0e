// From a store to a version: what is learned from, what is published, what is refused.
#include "engine/learning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/engine.h"
#include "engine/models.h"
#include "engine/synthetic.h"

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
  LearnResult learn(Split split = Split::kNone) {
    LearnOptions options;
    options.split = split;
    options.train.width = 16;
    options.train.threads = 1;  // tests run side by side
    options.train.epochs_max = 2;
    options.train.ranker_epochs_max = 2;
    stages_.clear();
    return engine::learn(directory_, options,
                         [this](const LearnProgress& step) { stages_.push_back(step.stage); });
  }

  fs::path directory_;
  std::vector<std::string> stages_;
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

TEST_F(Learning, TheCardSaysWhatWasLearnedFrom) {
  stock(true);
  const LearnResult all = learn();
  const LearnResult held_out = learn(Split::kLeaveOneOut);
  EXPECT_EQ(held_out.behaviours, all.behaviours - 2 * held_out.users);
  EXPECT_GT(held_out.version, all.version);

  const Version version = Versions(directory_).load(held_out.version);
  EXPECT_EQ(version.card.split, Split::kLeaveOneOut);
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

}  // namespace
}  // namespace fovea::engine
