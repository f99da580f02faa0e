// A version is published whole or not at all, and no damaged byte of one is ever served.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "engine/models.h"
#include "engine/request.h"
#include "engine/training_log.h"
#include "sanitized.h"
#include "shop.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Every byte; with sanitizers some, which lie in each part of each file.
constexpr std::size_t kStride = unless_sanitized<std::size_t>(1, 37);

class VersionsTest : public testing::Test {
 protected:
  VersionsTest() : versions_(shop_.directory()) {
    const auto engine = shop_.open();
    shop_.stock(*engine);
    text_ = shop_.text_version(engine->db());
    learned_ = shop_.learned_version(engine->db());
  }

  fs::path folder(const std::string& version) const {
    return shop_.directory() / "versions" / version;
  }
  /// All but PUBLISHED, which is read when CURRENT names another version.
  static std::vector<fs::path> served_files(const fs::path& version) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(version)) {
      if (entry.path().filename() != "PUBLISHED") files.push_back(entry.path());
    }
    return files;
  }
  /// What loading the published version says; "" when it loads.
  std::string complaint() const {
    try {
      const auto current = versions_.current();
      if (!current) return "nothing published";
      versions_.load(*current);
      return "";
    } catch (const VersionError& error) {
      return error.what();
    }
  }

  Shop shop_;
  Versions versions_;
  Version text_;
  Version learned_;
};

TEST_F(VersionsTest, NothingIsCurrentBeforeTheFirstPublish) {
  EXPECT_EQ(versions_.current(), std::nullopt);
  EXPECT_THROW(versions_.load("20260101T000000.000Z"), VersionError);
}

TEST_F(VersionsTest, WhatIsPublishedIsLoaded) {
  const auto texts = learned_.texts;
  const auto vectors = learned_.vectors;
  const auto popularity = learned_.log_popularity;
  learned_.card.split = Split::kLeaveOneOut;
  learned_.card.options.dropout = 0.125;
  learned_.card.options.seed = 18'446'744'073'709'551'615U;
  const VersionCard card = learned_.card;
  const auto query = learned_.text_index->search(std::span(texts).first(8), 5, {});

  const std::string name = shop_.publish(std::move(learned_));
  EXPECT_EQ(versions_.current(), name);
  const Version loaded = versions_.load(name);
  EXPECT_EQ(loaded.card.version, name);
  EXPECT_EQ(loaded.card.split, card.split);
  EXPECT_EQ(loaded.card.options.seed, card.options.seed);
  EXPECT_EQ(loaded.card.options.dropout, card.options.dropout);
  EXPECT_EQ(loaded.card.items, card.items);
  EXPECT_EQ(loaded.card.users, card.users);
  EXPECT_EQ(loaded.card.behaviours, card.behaviours);
  EXPECT_EQ(loaded.card.catalog_revision, card.catalog_revision);
  EXPECT_EQ(loaded.card.trained_ms, card.trained_ms);
  EXPECT_EQ(loaded.card.metrics, card.metrics);
  EXPECT_EQ(loaded.card.fovea_version, card.fovea_version);
  EXPECT_EQ(loaded.texts, texts);
  EXPECT_EQ(loaded.vectors, vectors);
  EXPECT_EQ(loaded.log_popularity, popularity);
  ASSERT_TRUE(loaded.model.has_value());
  EXPECT_EQ(loaded.item_index->size(), card.items);
  const auto again = loaded.text_index->search(std::span(texts).first(8), 5, {});
  ASSERT_EQ(again.size(), query.size());
  for (std::size_t i = 0; i < query.size(); ++i) EXPECT_EQ(again[i].row, query[i].row);
}

TEST_F(VersionsTest, AVersionWithoutALearnedModelHasNone) {
  const Version loaded = versions_.load(shop_.publish(std::move(text_)));
  EXPECT_FALSE(loaded.model.has_value());
  EXPECT_EQ(loaded.item_index, nullptr);
  EXPECT_NE(loaded.text_index, nullptr);
}

TEST_F(VersionsTest, TheTrainingLogIsReadAsItWasWritten) {
  learned_.log = {{.stage = "encoder", .epoch = 1, .loss = 2.5},
                  {.stage = "encoder", .epoch = 2, .loss = 1.25}};
  const std::string text = to_jsonl(learned_.log);
  const std::string without = shop_.publish(std::move(text_));
  const std::string with = shop_.publish(std::move(learned_));
  EXPECT_EQ(versions_.training_log(with), text);
  EXPECT_EQ(versions_.training_log(without), "") << "nothing was learned";
  for (const char* name : {"20200101T000000.000Z", "", "../..", "CURRENT"}) {
    EXPECT_THROW(versions_.training_log(name), VersionError) << name;
  }
  write(folder(with) / "training.jsonl", text.substr(0, text.size() - 1) + "x");
  EXPECT_THAT([&] { versions_.training_log(with); },
              testing::ThrowsMessage<VersionError>(testing::HasSubstr("training.jsonl")));
}

TEST_F(VersionsTest, EveryTruncationIsRefused) {
  const auto published = folder(shop_.publish(std::move(learned_)));
  std::vector<fs::path> files = {folder("CURRENT")};
  for (const auto& entry : served_files(published)) files.push_back(entry);
  ASSERT_EQ(files.size(), 7U);
  for (const auto& file : files) {
    const std::string whole = read(file);
    write(file, whole);
    for (std::size_t size = whole.size(); size > 0;) {
      size -= std::min(size, kStride);
      fs::resize_file(file, size);
      ASSERT_THAT(complaint(), testing::HasSubstr(file.filename())) << size;
    }
    write(file, whole + "x");
    EXPECT_THAT(complaint(), testing::HasSubstr(file.filename()));
    fs::remove(file);
    EXPECT_NE(complaint(), "") << file;
    write(file, whole);
    ASSERT_EQ(complaint(), "");
  }
}

TEST_F(VersionsTest, EveryFlippedByteIsRefused) {
  const auto published = folder(shop_.publish(std::move(learned_)));
  std::vector<fs::path> files = {folder("CURRENT")};
  for (const auto& entry : served_files(published)) files.push_back(entry);
  for (const auto& file : files) {
    const std::string whole = read(file);
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    const auto put = [&](std::size_t at, char byte) {
      stream.seekp(static_cast<std::streamoff>(at));
      stream.put(byte).flush();
    };
    for (std::size_t at = 0; at < whole.size(); at += kStride) {
      put(at, static_cast<char>(whole[at] ^ (1 << (at / kStride % 8))));
      ASSERT_NE(complaint(), "") << file << " byte " << at;
      put(at, whole[at]);
    }
    ASSERT_EQ(complaint(), "");
  }
}

TEST_F(VersionsTest, AVersionThatIsNotCurrentIsNotLoaded) {
  const std::string old = shop_.publish(std::move(text_));
  shop_.publish(std::move(learned_));
  EXPECT_THROW(versions_.load(old), VersionError);
}

TEST_F(VersionsTest, OldVersionsAreDeletedBeyondThoseKept) {
  const auto engine = shop_.open();
  std::vector<std::string> names;
  for (int i = 0; i < 4; ++i) {
    names.push_back(versions_.publish(shop_.text_version(engine->db()), 2));
  }
  EXPECT_THAT(names, testing::WhenSorted(names)) << "names sort by time";
  EXPECT_FALSE(fs::exists(folder(names[0])));
  EXPECT_FALSE(fs::exists(folder(names[1])));
  EXPECT_TRUE(fs::exists(folder(names[2])));
  EXPECT_TRUE(fs::exists(folder(names[3])));
  EXPECT_EQ(versions_.current(), names[3]);
}

TEST_F(VersionsTest, WhatADeadTrainingLeftIsNeitherServedNorKept) {
  const fs::path left = folder(".unfinished-20260101T000000.000Z");
  fs::create_directories(left);
  write(left / "model.safetensors", "half");
  EXPECT_EQ(versions_.current(), std::nullopt);
  shop_.publish(std::move(text_));
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(complaint(), "");
}

TEST_F(VersionsTest, APublishThatTheDiskRefusesLeavesTheCurrentVersionAlone) {
  const std::string name = shop_.publish(std::move(text_));
  const auto engine = shop_.open();
  // A limit on the size of a file fails writes as a full disk does, for root too.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit unlimited{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &unlimited), 0);
  for (const rlim_t bytes : {0, 300, 3000}) {
    Version version = shop_.learned_version(engine->db());
    const rlimit limited = {bytes, unlimited.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
    EXPECT_ANY_THROW(shop_.publish(std::move(version))) << bytes;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    EXPECT_EQ(versions_.current(), name);
    EXPECT_EQ(complaint(), "");
  }
  for (const auto& entry : fs::directory_iterator(shop_.directory() / "versions")) {
    EXPECT_THAT(entry.path().filename().string(), testing::Not(testing::StartsWith(".unfinished")));
  }
}

TEST_F(VersionsTest, OneTrainingAtATime) {
  {
    const auto lock = versions_.lock_training();
    EXPECT_THROW(versions_.lock_training(), Unavailable);
  }
  const auto again = versions_.lock_training();
}

}  // namespace
}  // namespace fovea::engine
