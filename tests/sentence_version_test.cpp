// Claim: a version whose texts a sentence encoder encodes is a version like any other. Queries and
// new items are read by that encoder, its files are checked, kept, shared and backed up with the
// version, and no text is encoded twice, also not after a training that was stopped. The encoder is
// the tiny one of golden/sentence, whose vectors sentence_encoder_test holds against the
// reference.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/backup.h"
#include "engine/engine.h"
#include "engine/learning.h"
#include "engine/live_model.h"
#include "engine/models.h"
#include "engine/pipeline.h"
#include "ranking/sentence_encoder.h"
#include "ranking/weights.h"
#include "tests/sentence_golden.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using ranking::sentence_folder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kWidth = 12;
constexpr std::size_t kItems = 200;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// No two alike, of words that the tiny encoder knows.
std::string text_of(std::size_t i) {
  constexpr std::array<const char*, 6> kWords = {"red",  "blue",   "running",
                                                 "shoe", "zurich", "wireless"};
  std::string text;
  for (std::size_t rest = i + 1; rest > 0; rest /= kWords.size()) {
    text += std::string(text.empty() ? "" : " ") + kWords[rest % kWords.size()];
  }
  return text;
}

std::vector<float> scaled(std::vector<float> vector, std::span<const float> mean) {
  double squares = 0;
  for (std::size_t k = 0; k < vector.size(); ++k) {
    vector[k] -= mean[k];
    squares += static_cast<double>(vector[k]) * vector[k];
  }
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
  return vector;
}

class SentenceVersion : public testing::Test {
 protected:
  SentenceVersion() {
    scratch_ = fs::path(testing::TempDir()) /
               ("sentence_version_" + std::to_string(::getpid()) + "_" +
                testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(scratch_);
    fs::create_directories(scratch_);
    fs::copy(sentence_folder(), folder_ = scratch_ / "tiny", fs::copy_options::recursive);
    stock(data_ = scratch_ / "data");
  }
  ~SentenceVersion() override { fs::remove_all(scratch_); }

  static std::unique_ptr<Engine> open(const fs::path& data) {
    EngineOptions options;
    options.reload_interval = std::chrono::milliseconds(0);
    options.search.weights.words = 0;  // vectors alone are asked here
    return Engine::open(data, options);
  }
  std::unique_ptr<Engine> open() const { return open(data_); }
  static void stock(const fs::path& data) {
    std::vector<Item> items(kItems);
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].item_id = "item-" + std::to_string(i);
      items[i].text = text_of(i);
    }
    open(data)->put_items(items);
  }
  static void put(Engine& engine, const std::string& id, const std::string& text) {
    Item item;
    item.item_id = id;
    item.text = text;
    engine.put_items(std::span(&item, 1));
  }

  static LearnOptions options(std::optional<std::string> encoder = std::nullopt) {
    LearnOptions options;
    options.text_encoder = std::move(encoder);
    options.train.threads = 2;
    return options;
  }
  LearnResult learn(const LearnOptions& options) {
    said_.clear();
    return engine::learn(data_, options, [this](const LearnProgress& step) {
      said_ += step.stage + ": " + step.message + "\n";
      if (on_step_) on_step_(step);
    });
  }
  /// With the tiny encoder, from its folder.
  LearnResult learn() { return learn(options(folder_)); }
  std::string refusal(const LearnOptions& options) {
    try {
      learn(options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
  Version current(const fs::path& data) const {
    const Versions versions(data);
    return versions.load(*versions.current());
  }
  Version current() const { return current(data_); }
  fs::path encoder_of(const std::string& version) const {
    return data_ / "versions" / version / "text_encoder";
  }
  std::vector<fs::path> kept() const {
    const fs::path folder = data_ / "versions" / "encoded";
    if (!fs::exists(folder)) return {};
    return {fs::directory_iterator(folder), {}};
  }

  fs::path scratch_, folder_, data_;
  std::string said_;
  std::function<void(const LearnProgress&)> on_step_;
};

TEST_F(SentenceVersion, TextsQueriesAndNewItemsAreReadByTheEncoder) {
  learn();
  const auto engine = open();
  put(*engine, "new", "wireless head zurich shoe");
  put(*engine, "wordless", " \t ");
  const auto tiny = ranking::SentenceEncoder::load({}, sentence_folder());
  const auto weights =
      ranking::Weights::load(data_ / "versions" / current().card.version / "model.safetensors");
  const auto expected = [&](const std::string& text) {
    const std::string_view view = text;
    std::vector<float> vector(kWidth);
    tiny.encode({}, std::span(&view, 1), vector);
    return scaled(vector, weights.floats("text.mean"));
  };
  const auto snapshot = engine->snapshot();
  const auto vector_of = [&](const std::string& id) {
    const auto row = engine->db().catalog().row(id);
    return snapshot.model->vectors().gather(std::span(&*row, 1)).texts;
  };
  const auto near = [](const std::vector<float>& vector) {
    return testing::Pointwise(testing::FloatNear(2e-6F), vector);
  };
  for (const std::size_t i : {0, 7, 199}) {
    EXPECT_THAT(vector_of("item-" + std::to_string(i)), near(expected(text_of(i))));
  }
  EXPECT_THAT(vector_of("new"), near(expected("wireless head zurich shoe")));
  std::vector<float> query(kWidth);
  EXPECT_TRUE(snapshot.model->text_space().encode({"a red runner", {}}, query));
  EXPECT_THAT(query, near(expected("a red runner")));

  EXPECT_THAT(vector_of("wordless"), testing::Each(0)) << "says nothing of what it is";
  EXPECT_FALSE(snapshot.model->text_space().encode({" \t ", {}}, query));
  const auto found = engine->rank({.query = "wireless head zurich shoe", .limit = 1});
  ASSERT_EQ(found.items.size(), 1U);
  EXPECT_EQ(found.items[0].item_id, "new");
}

TEST_F(SentenceVersion, AnItemThatIsPutAgainKeepsItsVectorToTheBit) {
  learn();
  const auto engine = open();
  const auto row = engine->db().catalog().row("item-7");
  const auto vector = [&] {
    return engine->snapshot().model->vectors().gather(std::span(&*row, 1)).texts;
  };
  const auto before = vector();
  put(*engine, "item-7", text_of(7));
  EXPECT_EQ(vector(), before);
}

TEST_F(SentenceVersion, TheNextTrainingKeepsTheEncoderAndItsBytesAndLsaGoesBack) {
  const std::string first = learn().version;
  EXPECT_THAT(said_, HasSubstr("text: 200 texts to encode, 0 are encoded already"));
  fs::remove_all(folder_);
  put(*open(), "new", "a blue runner");
  const std::string second = learn(options()).version;
  EXPECT_THAT(said_, AllOf(HasSubstr("text: 1 texts to encode, 200 are encoded already"),
                           HasSubstr("12 channels by tiny")));
  EXPECT_EQ(current().card.text_encoder, "tiny");
  for (const char* name : {"model.safetensors", "vocab.txt", "1_Pooling/config.json"}) {
    EXPECT_TRUE(fs::equivalent(encoder_of(first) / name, encoder_of(second) / name)) << name;
  }
  // Named again, also from another place, it is the same encoder.
  fs::copy(sentence_folder(), folder_, fs::copy_options::recursive);
  const std::string third = learn().version;
  EXPECT_THAT(said_, HasSubstr("text: 0 texts to encode, 201 are encoded already"));
  EXPECT_TRUE(fs::equivalent(encoder_of(second) / "vocab.txt", encoder_of(third) / "vocab.txt"));
  EXPECT_EQ(current().texts.size(), 201 * kWidth);

  const std::string back = learn(options("lsa")).version;
  EXPECT_EQ(current().card.text_encoder, "lsa");
  EXPECT_EQ(current().text_space.width(), 128U);
  EXPECT_FALSE(fs::exists(encoder_of(back)));
  EXPECT_THAT(kept(), testing::IsEmpty());
  learn(options());
  EXPECT_EQ(current().card.text_encoder, "lsa");
}

TEST_F(SentenceVersion, AStoppedTrainingGoesOnAndPublishesTheSameBytes) {
  const LearnResult whole = learn();
  const std::string expected = read(data_ / "versions" / whole.version / "model.safetensors");
  data_ = scratch_ / "other";
  stock(data_);
  std::stop_source stop;
  LearnOptions stopped = options(folder_);
  stopped.stop = stop.get_token();
  on_step_ = [&](const LearnProgress& step) {
    if (step.of > 0 && step.done >= 64) stop.request_stop();
  };
  EXPECT_THROW(learn(stopped), Stopped);
  on_step_ = {};
  const std::string part = read(kept().at(0));
  const LearnResult result = learn();
  EXPECT_THAT(said_, AllOf(HasSubstr(" are encoded already"), Not(HasSubstr(" 0 are encoded")),
                           Not(HasSubstr("text: 0 texts to encode"))));
  EXPECT_EQ(read(data_ / "versions" / result.version / "model.safetensors"), expected);
  EXPECT_TRUE(read(kept().at(0)).starts_with(part)) << "it was encoded again";
}

TEST_F(SentenceVersion, WhatIsDamagedOfTheEncodedTextsIsEncodedAgain) {
  const std::string expected = read(data_ / "versions" / learn().version / "model.safetensors");
  const auto file = kept().at(0);
  const std::string whole = read(file);
  const std::size_t header = whole.find('\n') + 1;
  const std::size_t record = (whole.size() - header) / kItems;
  const auto said_after = [&](const std::string& bytes) {
    write(file, bytes);
    const std::string again = learn().version;
    EXPECT_EQ(read(data_ / "versions" / again / "model.safetensors"), expected);
    EXPECT_EQ(read(file).size(), whole.size());
    return said_;
  };
  for (const std::size_t at : {std::size_t{0}, std::size_t{40}, record - 1}) {
    std::string changed = whole;
    changed[header + 3 * record + at] ^= 1;
    EXPECT_THAT(said_after(changed), HasSubstr("text: 1 texts to encode, 199 are"))
        << "byte " << at << " of a record";
  }
  EXPECT_THAT(said_after(whole.substr(0, header + 3 * record + 5)),
              HasSubstr("text: 197 texts to encode, 3 are"));
  EXPECT_THAT(said_after("x" + whole), HasSubstr("text: 200 texts to encode, 0 are"));
  EXPECT_THAT(said_after(""), HasSubstr("text: 200 texts to encode, 0 are"));
}

TEST_F(SentenceVersion, TextsThatAreGoneLeaveTheFileWithTheNextTraining) {
  learn();
  const auto size = fs::file_size(kept().at(0));
  std::vector<std::string> gone;
  for (std::size_t i = 0; i < 50; ++i) gone.push_back("item-" + std::to_string(i));
  open()->remove_items(gone);
  learn();
  EXPECT_THAT(said_, HasSubstr("text: 0 texts to encode, 150 are"));
  EXPECT_LT(fs::file_size(kept().at(0)), size * 4 / 5);
}

TEST_F(SentenceVersion, AFlippedByteInAnyOfItsFilesIsRefusedAndTheOldOneServes) {
  const std::string old = learn(options("lsa")).version;
  const std::string next = learn().version;
  const std::string current_next = read(data_ / "versions/CURRENT");
  Versions(data_).roll_back(old);
  const std::string current_old = read(data_ / "versions/CURRENT");
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(encoder_of(next))) {
    if (!entry.is_regular_file()) continue;
    SCOPED_TRACE(entry.path());
    ++files;
    const std::string whole = read(entry.path());
    std::string changed = whole;
    changed[changed.size() / 2] ^= 4;
    for (const std::string& damaged : {changed, whole.substr(1)}) {
      const auto engine = open();
      write(entry.path(), damaged);
      write(data_ / "versions/CURRENT", current_next);
      EXPECT_FALSE(engine->reload());
      EXPECT_EQ(engine->status().model_version, old);
      EXPECT_EQ(engine->rank({.query = "red shoe", .limit = 3}).items.size(), 3U);
      // Which encoder it was cannot be told any more; silently taking another would change every
      // list.
      EXPECT_THAT(refusal(options()),
                  AllOf(HasSubstr(entry.path().filename()), HasSubstr("--text-encoder")));
      write(data_ / "versions/CURRENT", current_old);
    }
    write(entry.path(), whole);
  }
  EXPECT_EQ(files, 7U);
  write(data_ / "versions/CURRENT", current_next);
  EXPECT_EQ(open()->status().model_version, next) << "repaired it serves";
}

TEST_F(SentenceVersion, ABackupHoldsTheEncoderOnce) {
  const std::string first = learn().version;
  const std::string second = learn().version;
  back_up(data_, scratch_ / "backup", [](std::uint64_t, std::uint64_t) {});
  fs::remove_all(data_);
  fs::remove_all(folder_);
  data_ = scratch_ / "backup";
  EXPECT_TRUE(fs::equivalent(encoder_of(first) / "model.safetensors",
                             encoder_of(second) / "model.safetensors"));
  EXPECT_EQ(open()->rank({.query = text_of(7), .limit = 1}).items.at(0).item_id, "item-7");
  learn(options());
  EXPECT_EQ(current().card.text_encoder, "tiny");
}

TEST_F(SentenceVersion, AnItemsOwnEmbeddingWinsAndHasTheEncodersWidth) {
  Item item;
  item.item_id = "embedded";
  item.text = text_of(7);
  item.embedding = std::vector<float>(kWidth, 0);
  item.embedding->front() = 3;
  open()->put_items(std::span(&item, 1));
  learn();
  const auto engine = open();
  const auto row = engine->db().catalog().row("embedded");
  const auto weights =
      ranking::Weights::load(data_ / "versions" / current().card.version / "model.safetensors");
  std::vector<float> unit(kWidth, 0);
  unit.front() = 1;
  EXPECT_THAT(
      engine->snapshot().model->vectors().gather(std::span(&*row, 1)).texts,
      testing::Pointwise(testing::FloatNear(2e-6F), scaled(unit, weights.floats("text.mean"))));
}

TEST_F(SentenceVersion, EmbeddingsOfAnotherWidthAreRefused) {
  Item item;
  item.item_id = "embedded";
  item.embedding = std::vector<float>(5, 1);
  open()->put_items(std::span(&item, 1));
  EXPECT_THAT(refusal(options(folder_)),
              AllOf(HasSubstr("the items' embeddings have 5 channels"), HasSubstr("makes 12")));
  EXPECT_EQ(Versions(data_).current(), std::nullopt);
}

TEST_F(SentenceVersion, FoldersThatHoldNoEncoderAreRefusedBeforeAnythingIsWritten) {
  EXPECT_THAT(refusal(options(scratch_ / "nowhere")),
              AllOf(HasSubstr("nowhere' is no folder"), HasSubstr("Hugging Face")));
  EXPECT_THAT(refusal(options(folder_ / "config.json")), HasSubstr("is no folder"));
  EXPECT_THAT(refusal(options("")), HasSubstr("'' is no folder"));
  EXPECT_THAT(refusal(options(data_)), HasSubstr("config.json is not there"));
  for (const char* name : {"config.json", "vocab.txt", "model.safetensors"}) {
    fs::rename(folder_ / name, scratch_ / "away");
    EXPECT_THAT(refusal(options(folder_)), HasSubstr(std::string(name) + " is not there"));
    fs::create_directory(folder_ / name);
    EXPECT_THAT(refusal(options(folder_)), HasSubstr(std::string(name) + " is no file"));
    fs::remove(folder_ / name);
    fs::rename(scratch_ / "away", folder_ / name);
  }
  write(folder_ / "vocab.txt", "");
  EXPECT_THAT(refusal(options(folder_)), HasSubstr("vocab.txt: has no token [UNK]"));
  EXPECT_FALSE(fs::exists(data_ / "versions" / "encoded"));
  EXPECT_EQ(Versions(data_).current(), std::nullopt);
}

TEST_F(SentenceVersion, AFolderThatChangesMeanwhileIsNotPublished) {
  on_step_ = [this](const LearnProgress& step) {
    if (step.stage == "index") write(folder_ / "vocab.txt", read(folder_ / "vocab.txt") + "more\n");
  };
  EXPECT_THAT(refusal(options(folder_)),
              AllOf(HasSubstr("vocab.txt"), HasSubstr("changed while the training ran")));
  EXPECT_EQ(Versions(data_).current(), std::nullopt);
}

TEST_F(SentenceVersion, GoingOnFromAVersionGoesOnWithItsEncoder) {
  {
    const auto engine = open();
    engine->declare_action("view", 1);
    std::vector<Event> events;
    for (int user = 0; user < 30; ++user) {
      for (int i = 0; i < 6; ++i) {
        events.push_back({"user-" + std::to_string(user),
                          "item-" + std::to_string(user + 7 * i),
                          "view",
                          1'700'000'000'000 + 1000 * i,
                          {},
                          {},
                          {}});
      }
    }
    ASSERT_EQ(engine->record(events), events.size());
  }
  LearnOptions small = options(folder_);
  small.train.width = 16;
  small.train.epochs_max = small.train.ranker_epochs_max = 1;
  small.force = true;
  const std::string first = learn(small).version;
  LearnOptions from = small;
  from.from = "CURRENT";
  from.text_encoder.reset();
  put(*open(), "new", "a blue runner");
  EXPECT_EQ(learn(from).from, first);
  EXPECT_THAT(said_, HasSubstr("text: 1 texts to encode, 200 are"));
  EXPECT_EQ(current().card.text_encoder, "tiny");
  from.text_encoder = folder_;
  learn(from);
  from.text_encoder = "lsa";
  EXPECT_THAT(refusal(from), AllOf(HasSubstr("were encoded by tiny"), HasSubstr("names lsa")));
}

}  // namespace
}  // namespace fovea::engine
