// An earlier version serves again, at once and whole, and none that is unknown or damaged ever
// does.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "engine/models.h"
#include "engine/request.h"
#include "shop.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

class Rollback : public testing::Test {
 protected:
  Rollback() : engine_(shop_.open()) { shop_.stock(*engine_); }

  std::string publish(std::size_t kept = 5) {
    return versions_.publish(shop_.learned_version(engine_->db()), kept);
  }
  fs::path file(const std::string& version, const char* name) const {
    return shop_.directory() / "versions" / version / name;
  }
  static void flip(const fs::path& path) {
    std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekg(40);
    const int byte = stream.get();
    stream.seekp(40);
    stream.put(static_cast<char>(byte ^ 1));
  }
  std::string serving() const { return engine_->status().model_version; }

  Shop shop_;
  Versions versions_{shop_.directory()};
  std::unique_ptr<Engine> engine_;
};

TEST_F(Rollback, GoesToTheVersionThatServedBefore) {
  const std::string a = publish();
  const std::string b = publish();
  const std::string c = publish();
  ASSERT_TRUE(engine_->reload());
  EXPECT_EQ(versions_.roll_back({}), b);
  EXPECT_EQ(versions_.current(), b);
  EXPECT_TRUE(engine_->reload());
  EXPECT_EQ(serving(), b);
  EXPECT_EQ(versions_.roll_back({}), a);
  EXPECT_THAT([&] { versions_.roll_back({}); },
              ThrowsMessage<InvalidRequest>(HasSubstr("nothing served before version " + a)));
  EXPECT_EQ(versions_.roll_back(c), c) << "and forward again";
  EXPECT_TRUE(engine_->reload());
  EXPECT_EQ(serving(), c);
}

TEST_F(Rollback, WhatWasRolledBackFromIsNotWhatServedBeforeTheNextOne) {
  const std::string good = publish();
  publish();
  ASSERT_EQ(versions_.roll_back({}), good);
  const std::string next = publish();
  EXPECT_EQ(versions_.current(), next);
  EXPECT_EQ(versions_.roll_back({}), good);
}

TEST_F(Rollback, TheVersionThatServedBeforeIsKeptHoweverOld) {
  const std::string good = publish();
  for (int i = 0; i < 3; ++i) publish();
  ASSERT_EQ(versions_.roll_back(good), good);
  publish(1);
  EXPECT_EQ(versions_.roll_back({}), good);
}

TEST_F(Rollback, UnknownOnesAreRefusedByName) {
  const std::string a = publish();
  for (const char* name : {"20200101T000000.000Z", "", "../..", "CURRENT", "checkpoint"}) {
    EXPECT_THAT([&] { versions_.roll_back(name); },
                ThrowsMessage<VersionError>(HasSubstr("it holds " + a)))
        << name;
  }
  EXPECT_THAT([&] { versions_.roll_back(a); },
              ThrowsMessage<InvalidRequest>(HasSubstr("is the one that serves")));
  EXPECT_EQ(versions_.current(), a);
}

TEST_F(Rollback, WithoutAVersionThereIsNothingToGoBackTo) {
  EXPECT_THAT([&] { versions_.roll_back({}); },
              ThrowsMessage<VersionError>(HasSubstr("nothing was published yet")));
}

TEST_F(Rollback, ADamagedVersionIsRefusedWhicheverFileIsDamaged) {
  const std::string a = publish();
  const std::string b = publish();
  for (const char* name : {"card.json", "model.safetensors", "items.faiss", "texts.faiss",
                           "training.jsonl", "goldens.json", "PUBLISHED"}) {
    if (fs::file_size(file(a, name)) <= 40) continue;  // the log of a version that was not trained
    flip(file(a, name));
    EXPECT_THROW(versions_.roll_back({}), VersionError) << name;
    EXPECT_EQ(versions_.current(), b);
    flip(file(a, name));
  }
  EXPECT_EQ(versions_.roll_back({}), a);
}

TEST_F(Rollback, ADamagedCurrentIsLeftForOneThatIsNamed) {
  const std::string a = publish();
  publish();
  std::ofstream(shop_.directory() / "versions" / "CURRENT") << "nonsense";
  EXPECT_THROW(versions_.roll_back({}), VersionError);
  EXPECT_EQ(versions_.roll_back(a), a);
  EXPECT_TRUE(engine_->reload());
  EXPECT_EQ(serving(), a);
}

TEST_F(Rollback, TheEngineServesItWhenTheCallReturns) {
  const std::string a = publish();
  const std::string b = publish();
  ASSERT_TRUE(engine_->reload());
  engine_->roll_back(a);
  EXPECT_EQ(serving(), a);
  EXPECT_EQ(versions_.current(), a);
  EXPECT_FALSE(engine_->reload()) << "there is nothing left to take up";
  EXPECT_THROW(engine_->roll_back(a), InvalidRequest);
  flip(file(b, "model.safetensors"));
  EXPECT_THROW(engine_->roll_back(b), VersionError);
  EXPECT_EQ(serving(), a);
  EXPECT_EQ(versions_.current(), a);
  flip(file(b, "model.safetensors"));
  engine_->roll_back(b);
  EXPECT_EQ(serving(), b);
}

TEST_F(Rollback, ToOneThatTheEngineHadRefusedBeforeItWasMended) {
  const std::string a = publish();
  ASSERT_TRUE(engine_->reload());
  const std::string b = publish();
  flip(file(b, "model.safetensors"));
  ASSERT_FALSE(engine_->reload());
  versions_.roll_back(a);
  flip(file(b, "model.safetensors"));
  engine_->roll_back(b);
  EXPECT_EQ(serving(), b);
}

TEST_F(Rollback, TheListSaysWhichServesAndWhichIsDamaged) {
  const std::string a = publish();
  const std::string b = publish();
  publish();
  versions_.roll_back({});
  flip(file(a, "card.json"));
  const auto list = versions_.list();
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].name, a);
  EXPECT_FALSE(list[0].card);
  EXPECT_THAT(list[0].complaint, HasSubstr("card.json"));
  EXPECT_EQ(list[1].name, b);
  EXPECT_TRUE(list[1].current);
  EXPECT_EQ(list[1].card->replaced, a);
  EXPECT_FALSE(list[2].current);
  EXPECT_EQ(list[2].card->trained_ms, shop_.now_ms);
}

}  // namespace
}  // namespace fovea::engine
