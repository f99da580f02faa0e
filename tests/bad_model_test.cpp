// Claim: a version that was damaged anywhere is refused or ranks as before, and what serves serves
// on. versions_test tries every byte against the loader; here the damage meets a server's engine,
// in every kind of file that a version has, and a start from nothing.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/models.h"
#include "ranking/encoder.h"
#include "ranking/ranker.h"
#include "tests/shop.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPlaces = 8;  // of a file, cut and changed at each

using Scores = std::vector<std::pair<std::string, double>>;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// A file as it might be after an accident, and what that was.
struct Damage {
  std::string what;
  std::string bytes;
};

std::vector<Damage> damages(const std::string& whole) {
  std::vector<Damage> made;
  for (std::size_t i = 0; i < kPlaces; ++i) {
    const std::size_t at = i * whole.size() / kPlaces;
    made.push_back({"cut to " + std::to_string(at) + " bytes", whole.substr(0, at)});
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (i % 8)));
    made.push_back({"changed in byte " + std::to_string(at), changed});
  }
  made.push_back({"cut by a byte", whole.substr(0, whole.size() - 1)});
  made.push_back({"longer by a byte", whole + '\0'});
  std::string last = whole;
  last.back() = static_cast<char>(last.back() ^ 1);
  made.push_back({"changed in its last byte", last});
  return made;
}

class BadModel : public testing::Test {
 protected:
  BadModel() {
    const auto engine = shop_.open();
    shop_.stock(*engine);
    good_ = shop_.publish(shop_.learned_version(engine->db()));
    Version next = shop_.learned_version(engine->db());
    next.log.push_back({.stage = "encoder", .epoch = 1, .loss = 1});
    auto ranker = std::make_shared<ranking::RankerWeights>(next.model->ranker());
    for (std::size_t f = 0; f < ranker->linear.size(); ++f) ranker->linear[f] *= 1.5F;
    ranking::Model model(std::make_shared<ranking::EncoderWeights>(next.model->encoder()), ranker,
                         next.model->transitions(), next.model->relations().ease);
    next.model = std::move(model);
    next_ = shop_.publish(std::move(next));
    engine->reload();
    of_next_ = lists(*engine);
    current_next_ = read(versions() / "CURRENT");
    Versions(shop_.directory()).roll_back(good_);
    engine->reload();
    of_good_ = lists(*engine);
    current_good_ = read(versions() / "CURRENT");
  }

  fs::path versions() const { return shop_.directory() / "versions"; }

  static std::vector<Scores> lists(Engine& engine) {
    std::vector<Scores> all;
    for (std::size_t user = 0; user < Shop::kUsers; user += 5) {
      Scores& list = all.emplace_back();
      for (const auto& item : engine.rank({.user_id = "user-" + std::to_string(user)}).items) {
        list.emplace_back(item.item_id, item.score);
      }
    }
    return all;
  }

  // What CURRENT holds while either is the one to serve.
  void publish_next() const { write(versions() / "CURRENT", current_next_); }
  void publish_good() const { write(versions() / "CURRENT", current_good_); }

  Shop shop_;
  std::string good_, next_, current_good_, current_next_;
  std::vector<Scores> of_good_, of_next_;
};

TEST_F(BadModel, IsRefusedOrIdenticalWhicheverFileWasDamagedAndTheOldOneServesOn) {
  ASSERT_NE(of_good_, of_next_) << "they cannot be told apart";
  std::map<std::string, int> refused;
  for (const auto& entry : fs::directory_iterator(versions() / next_)) {
    const std::string file = entry.path().filename();
    const std::string whole = read(entry.path());
    refused[file] = 0;
    for (const Damage& damage : damages(whole)) {
      SCOPED_TRACE(file + " " + damage.what);
      publish_good();
      const auto engine = shop_.open();
      write(entry.path(), damage.bytes);
      publish_next();
      const bool taken = engine->reload();
      EXPECT_EQ(engine->status().model_version, taken ? next_ : good_);
      ASSERT_EQ(lists(*engine), taken ? of_next_ : of_good_);
      refused[file] += taken ? 0 : 1;
      write(entry.path(), whole);
    }
  }
  EXPECT_THAT(refused, testing::UnorderedElementsAre(
                           testing::Pair("model.safetensors", 19), testing::Pair("card.json", 19),
                           testing::Pair("items.faiss", 19), testing::Pair("texts.faiss", 19),
                           testing::Pair("goldens.json", 19), testing::Pair("training.jsonl", 19),
                           // Not read of the version that CURRENT names.
                           testing::Pair("PUBLISHED", 0)));
  publish_next();
  EXPECT_EQ(lists(*shop_.open()), of_next_) << "repaired it serves";
}

TEST_F(BadModel, IsRefusedWhereCurrentIsDamagedAndTheOldOneServesOn) {
  const std::string& whole = current_next_;
  for (std::size_t at = 0; at < whole.size(); at += 4) {
    SCOPED_TRACE(at);
    const auto engine = shop_.open();
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    for (const std::string& damaged : {whole.substr(0, at), changed}) {
      write(versions() / "CURRENT", damaged);
      EXPECT_FALSE(engine->reload());
      EXPECT_EQ(engine->status().model_version, good_);
    }
    publish_good();
  }
}

TEST_F(BadModel, IsNotRolledBackToWhereWhatWasPublishedIsDamaged) {
  const fs::path file = versions() / next_ / "PUBLISHED";
  const std::string whole = read(file);
  for (const Damage& damage : damages(whole)) {
    SCOPED_TRACE(damage.what);
    write(file, damage.bytes);
    EXPECT_THROW(Versions(shop_.directory()).roll_back(next_), VersionError);
    EXPECT_EQ(Versions(shop_.directory()).current(), good_);
  }
}

TEST_F(BadModel, KeepsAServerFromStartingOnItAndSaysWhichFile) {
  publish_next();
  for (const char* name : {"model.safetensors", "items.faiss", "texts.faiss", "goldens.json"}) {
    const fs::path file = versions() / next_ / name;
    const std::string whole = read(file);
    write(file, whole.substr(0, whole.size() / 2));
    EXPECT_THAT([&] { shop_.open(); },
                testing::ThrowsMessage<VersionError>(testing::HasSubstr(name)));
    write(file, whole);
  }
}

}  // namespace
}  // namespace fovea::engine
