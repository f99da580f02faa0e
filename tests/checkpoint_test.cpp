// What a training keeps of itself is taken up whole by the same training, or named and thrown away.
#include "engine/checkpoint.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <thread>

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    versions_ = fs::path(testing::TempDir()) /
                ("checkpoint_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(versions_);
    fs::create_directories(versions_);
  }
  ~CheckpointTest() override { fs::remove_all(versions_); }

  Checkpoint checkpoint(Checkpoint::Identity identity = {{"seed", "1"}}) {
    said_.clear();
    return {versions_, std::move(identity), [this](const std::string& line) { said_ = line; }};
  }
  static ranking::Weights state(float value) {
    ranking::Weights weights;
    weights.put("x", {3}, {value, value, value});
    return weights;
  }
  static std::vector<ranking::TrainProgress> log(std::size_t epochs) {
    std::vector<ranking::TrainProgress> result;
    for (std::size_t i = 1; i <= epochs; ++i) result.push_back({"encoder", i, 1.5, 0.25, 0.1, 1});
    return result;
  }
  void keep_one() {
    checkpoint().keep("encoder", true, [] { return state(7); }, log(3));
  }
  /// What keep_one() leaves, file by file; written back without the syncs that would take minutes.
  std::map<std::string, std::string> bytes() const {
    std::map<std::string, std::string> result;
    for (const auto& file : files()) {
      std::ifstream stream(file, std::ios::binary);
      result[file.filename()] = {std::istreambuf_iterator<char>(stream), {}};
    }
    return result;
  }
  void put(const std::map<std::string, std::string>& bytes) const {
    fs::create_directories(versions_ / "checkpoint");
    for (const auto& [name, text] : bytes) {
      std::ofstream(versions_ / "checkpoint" / name, std::ios::binary) << text;
    }
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> result;
    for (const auto& entry : fs::directory_iterator(versions_ / "checkpoint")) {
      result.push_back(entry.path());
    }
    return result;
  }

  fs::path versions_;
  std::string said_;
};

TEST_F(CheckpointTest, WhereNothingLiesNothingIsSaid) {
  auto training = checkpoint();
  training.take_up();
  EXPECT_EQ(said_, "");
  EXPECT_FALSE(training.resume("encoder").has_value());
}

TEST_F(CheckpointTest, TheNewestStateOfEachStageIsTakenUp) {
  {
    auto training = checkpoint();
    training.keep("ranker", true, [] { return state(1); }, log(1));
    training.keep("encoder", true, [] { return state(2); }, log(2));
    training.keep("encoder", true, [] { return state(3); }, log(3));
  }
  auto training = checkpoint();
  training.take_up();
  EXPECT_EQ(said_, "resuming at epoch 4 of the stage \"encoder\"");
  EXPECT_EQ(training.log().size(), 3U);
  EXPECT_EQ(training.resume("ranker")->floats("x")[0], 1);
  EXPECT_EQ(training.resume("encoder")->floats("x")[0], 3);
  EXPECT_EQ(files().size(), 3U) << "the older state of a stage is deleted";
  training.remove();
  EXPECT_FALSE(fs::exists(versions_ / "checkpoint"));
}

TEST_F(CheckpointTest, EveryTruncationIsNamedAndThrownAway) {
  keep_one();
  const auto whole = bytes();
  ASSERT_EQ(whole.size(), 2U);
  for (const auto& [name, text] : whole) {
    for (std::size_t kept = 0; kept < text.size(); ++kept) {
      put(whole);
      fs::resize_file(versions_ / "checkpoint" / name, kept);
      auto training = checkpoint();
      training.take_up();
      ASSERT_THAT(said_, testing::AllOf(HasSubstr(name), HasSubstr("training starts anew")));
      ASSERT_FALSE(training.resume("encoder").has_value());
      ASSERT_TRUE(training.log().empty());
      ASSERT_FALSE(fs::exists(versions_ / "checkpoint"));
    }
  }
}

TEST_F(CheckpointTest, EveryFlippedByteIsNamedAndThrownAway) {
  keep_one();
  const auto whole = bytes();
  for (const auto& [name, text] : whole) {
    for (std::size_t at = 0; at < text.size(); ++at) {
      auto flipped = whole;
      flipped[name][at] = static_cast<char>(text[at] ^ (1 << (at % 8)));
      put(flipped);
      auto training = checkpoint();
      training.take_up();
      ASSERT_THAT(said_, HasSubstr(name)) << at;
      ASSERT_FALSE(training.resume("encoder").has_value());
    }
  }
}

TEST_F(CheckpointTest, AMissingStateIsNamedAndThrownAway) {
  keep_one();
  fs::remove(versions_ / "checkpoint" / "1.safetensors");
  auto training = checkpoint();
  training.take_up();
  EXPECT_THAT(said_, HasSubstr("1.safetensors: cannot be read"));
}

TEST_F(CheckpointTest, AnotherTrainingSaysWhatDiffers) {
  keep_one();
  auto training = checkpoint({{"seed", "2"}});
  training.take_up();
  EXPECT_THAT(said_, HasSubstr("is of another training: its seed is \"1\" and this one's \"2\""));
  EXPECT_FALSE(training.resume("encoder").has_value());
}

TEST_F(CheckpointTest, WhatCostsMuchIsKeptSeldomButAlwaysAtTheEndOfAStage) {
  auto training = checkpoint();
  int made = 0;
  const auto slow = [&] {
    ++made;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return state(1);
  };
  for (int epoch = 0; epoch < 10; ++epoch) training.keep("encoder", false, slow, log(1));
  EXPECT_EQ(made, 1) << "a second has not passed";
  training.keep("encoder", true, slow, log(1));
  EXPECT_EQ(made, 2);
}

TEST_F(CheckpointTest, ADiskThatRefusesDoesNotStopTheTraining) {
  std::ofstream(versions_ / "checkpoint") << "a file where the folder should be";
  auto training = checkpoint();
  training.keep("encoder", true, [] { return state(1); }, log(1));
  EXPECT_THAT(said_, HasSubstr("training goes on"));
}

}  // namespace
}  // namespace fovea::engine
