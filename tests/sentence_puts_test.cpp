// Claim: encoding the texts of a put keeps nobody from changing the catalogue or the version that
// serves, a text is read by the version that it is put in, whatever changed meanwhile, and one that
// is known is not read again. The encoder is the tiny one of golden/sentence.
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/encoded_items.h"
#include "engine/learning.h"
#include "engine/live_versions.h"
#include "engine/models.h"
#include "storage/db.h"
#include "tests/sentence_golden.h"

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using storage::Item;

Item item(const std::string& id, const std::string& text) {
  Item result;
  result.item_id = id;
  result.text = text;
  return result;
}

class SentencePuts : public testing::Test {
 protected:
  SentencePuts() {
    data_ = fs::path(testing::TempDir()) /
            ("sentence_puts_" + std::to_string(::getpid()) + "_" +
             testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(data_);
    db_ = storage::Db::open(data_, storage::Access::kReadWrite);
    db_->catalog().put(std::vector{item("red", "red shoe"), item("blue", "blue wireless head"),
                                   item("run", "running zurich"), item("gone", "red zurich")});
    sentences_ = learn(ranking::sentence_folder());
    lsa_ = learn("lsa");
    versions_ = std::make_unique<LiveVersions>(*db_, data_, nullptr, index::RebuildOptions());
    versions_->open();
    versions_->roll_back(sentences_);
  }
  ~SentencePuts() override {
    versions_.reset();
    db_.reset();
    fs::remove_all(data_);
  }

  std::string learn(const std::string& encoder) {
    LearnOptions options;
    options.text_encoder = encoder;
    options.train.threads = 1;
    db_.reset();  // it is read by who learns
    const auto version = engine::learn(data_, options, [](const LearnProgress&) {}).version;
    db_ = storage::Db::open(data_, storage::Access::kReadWrite);
    return version;
  }

  std::shared_ptr<LiveModel> serving() const { return versions_->serving()->current; }

  /// As Engine::put_items(). Returns how often the encoder was asked to go on, once for each batch.
  int put(const std::vector<Item>& items, const std::function<void()>& meanwhile = [] {}) {
    int asked = 0;
    const std::function<bool()> stop = [&] {
      ++asked;
      meanwhile();
      return false;
    };
    EncodedItems encoded(db_->catalog(), items, {.stop = &stop});
    const auto changing = versions_->changing(encoded);
    const int before = asked;
    put(items, encoded);
    EXPECT_EQ(asked, before) << "encoded under the lock";
    return asked;
  }
  void put(const std::vector<Item>& items, const EncodedItems& encoded) {
    versions_->put(db_->catalog().put(items).rows, encoded);
  }
  void remove(const std::string& id) {
    const auto changing = versions_->changing();
    versions_->remove(db_->catalog().remove(std::vector<std::string_view>{id}));
  }

  std::uint32_t row(const std::string& id) const { return *db_->catalog().row(id); }
  std::vector<float> vector_of(const std::string& id) const {
    const std::uint32_t row = this->row(id);
    return serving()->vectors().gather({&row, 1}).texts;
  }
  /// The same bits as the version that serves makes of the text alone, and found by them.
  void expect_read(const std::string& id, const std::string& text) const {
    std::vector<float> expected(serving()->text_space().width());
    ASSERT_TRUE(serving()->text_space().encode({text, {}}, expected)) << text;
    EXPECT_EQ(vector_of(id), expected) << id;
    const auto found = serving()->text_index().search(expected, 1);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(db_->catalog().item_id(found[0].row), id);
  }

  fs::path data_;
  std::unique_ptr<storage::Db> db_;
  std::string sentences_, lsa_;
  std::unique_ptr<LiveVersions> versions_;
};

TEST_F(SentencePuts, OthersChangeTheCatalogueWhileTextsAreEncoded) {
  bool first = true;
  std::future<void> others;  // where they wait for the put, it must go on
  put({item("slow", "wireless blue running shoe")}, [&] {
    if (!std::exchange(first, false)) return;
    others = std::async(std::launch::async, [&] {
      put({item("fast", "zurich head")});
      remove("gone");
    });
    EXPECT_EQ(others.wait_for(std::chrono::seconds(20)), std::future_status::ready)
        << "they wait for the encoder";
    EXPECT_FALSE(db_->catalog().row("slow"));
  });
  ASSERT_FALSE(first) << "nothing was encoded";
  others.get();
  expect_read("slow", "wireless blue running shoe");
  expect_read("fast", "zurich head");
  EXPECT_FALSE(db_->catalog().present(row("gone")));
}

TEST_F(SentencePuts, AnotherVersionServesWhileTextsAreEncodedAndReadsThemToo) {
  bool first = true;
  std::future<void> swap;
  put({item("slow", "wireless blue running shoe")}, [&] {
    if (!std::exchange(first, false)) return;
    swap = std::async(std::launch::async, [&] { versions_->roll_back(lsa_); });
    EXPECT_EQ(swap.wait_for(std::chrono::seconds(20)), std::future_status::ready)
        << "the swap waits for the encoder";
  });
  ASSERT_FALSE(first) << "nothing was encoded";
  swap.get();
  ASSERT_EQ(serving()->card().version, lsa_);
  expect_read("slow", "wireless blue running shoe");
  versions_->roll_back(sentences_);  // loaded anew
  expect_read("slow", "wireless blue running shoe");
}

TEST_F(SentencePuts, WhatWasEncodedForOneVersionIsEncodedForTheNext) {
  for (const std::string& next : {lsa_, sentences_}) {
    const std::vector<Item> items = {item("new-" + next, "blue shoe head"),
                                     item("red", "red shoe")};
    EncodedItems encoded(db_->catalog(), items, {});
    encoded.encode(serving());
    EXPECT_TRUE(encoded.settle(serving()));
    versions_->roll_back(next);
    EXPECT_FALSE(encoded.settle(serving()));
    {
      const auto changing = versions_->changing(encoded);
      put(items, encoded);
    }
    expect_read("red", "red shoe");
    expect_read("new-" + next, "blue shoe head");
    remove("new-" + next);
  }
}

TEST_F(SentencePuts, ATextThatIsKnownIsNotEncodedAgain) {
  const std::vector<float> before = vector_of("red");
  Item dearer = item("red", "red shoe");
  dearer.attributes["price"] = 12.0;
  EXPECT_EQ(put({dearer}), 0);
  EXPECT_EQ(vector_of("red"), before);
  expect_read("red", "red shoe");
  EXPECT_EQ(db_->catalog().get(row("red"))->attributes, dearer.attributes);

  EXPECT_EQ(put({item("red", "red running shoe")}), 1);
  expect_read("red", "red running shoe");
  EXPECT_EQ(put({item("red", "red shoe")}), 1) << "by then it was another text";
  expect_read("red", "red shoe");
  remove("red");
  EXPECT_EQ(put({item("red", "red shoe")}), 1) << "by then there was none";
  expect_read("red", "red shoe");

  Item own = item("red", "red shoe");
  own.embedding = std::vector<float>(12, 0);
  own.embedding->back() = 2;
  put({own});
  std::vector<float> unit(12, 0);
  unit.back() = 1;
  EXPECT_EQ(vector_of("red"), unit);
  EXPECT_EQ(put({item("red", "red shoe")}), 1) << "by then its embedding was read";
  expect_read("red", "red shoe");
}

TEST_F(SentencePuts, ATextThatWasKnownAndChangesMeanwhileIsEncoded) {
  const std::vector<Item> same = {item("red", "red shoe")};
  int asked = 0;
  const std::function<bool()> stop = [&] { return ++asked < 0; };
  EncodedItems encoded(db_->catalog(), same, {.stop = &stop});
  encoded.encode(serving());
  EXPECT_TRUE(encoded.settle(serving()));
  EXPECT_EQ(asked, 0) << "it is known";
  put({item("red", "zurich")});
  EXPECT_FALSE(encoded.settle(serving()));
  const auto changing = versions_->changing(encoded);
  EXPECT_EQ(asked, 1);
  put(same, encoded);
  expect_read("red", "red shoe");
}

TEST_F(SentencePuts, OfAnItemThatIsPutTwiceAtOnceTheLastCounts) {
  put({item("red", "zurich wireless"), item("red", "red shoe")});
  expect_read("red", "red shoe");
  put({item("red", "red shoe"), item("red", "zurich wireless")});
  expect_read("red", "zurich wireless");
  EXPECT_EQ(db_->catalog().get(row("red"))->text, "zurich wireless");
}

TEST_F(SentencePuts, WhoPutsBesideManySwapsIsFound) {
  std::atomic<bool> done = false;
  auto swaps = std::async(std::launch::async, [&] {
    for (int i = 0; !done; ++i) versions_->roll_back(i % 2 == 0 ? lsa_ : sentences_);
  });
  for (int i = 0; i < 40; ++i) {
    const std::string id = "new-" + std::to_string(i);
    put({item(id, i % 2 == 0 ? "blue wireless shoe" : "zurich head head")});
    if (i % 3 == 0) put({item(id, "running " + std::string(i % 2 == 0 ? "red" : "blue"))});
  }
  done = true;
  swaps.get();
  for (const std::string& version : {lsa_, sentences_}) {
    if (serving()->card().version != version) versions_->roll_back(version);
    const auto live = serving();
    db_->catalog().for_each([&](const storage::StoredItem& stored) {
      std::vector<float> expected(live->text_space().width());
      live->text_space().encode({*stored.text, {}}, expected);
      EXPECT_EQ(vector_of(stored.item_id), expected) << stored.item_id;
    });
    EXPECT_EQ(live->text_index().size(), 44U);
  }
}

}  // namespace
}  // namespace fovea::engine
