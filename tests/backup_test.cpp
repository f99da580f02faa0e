// Claim: fovea backup, beside a server that is being written to, makes a data directory that can be
// served from elsewhere and holds what was acknowledged before; killed or refused, it leaves
// nothing that can be opened. The program itself runs, in its own process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/models.h"
#include "shop.h"

extern char** environ;

namespace fovea::engine {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Clock = std::chrono::steady_clock;

struct Ended {
  int code = -1;
  std::string output;  ///< Of both streams.
};

/// The program, told to back up `data` to `target`; `before` is shell that changes its limits.
Ended backup(const fs::path& data, const fs::path& target, const std::string& before = "",
             const std::string& as_user = "") {
  const std::string line = before + "exec " + as_user + "\"" FOVEA_PROGRAM "\" backup --data " +
                           data.string() + " --to " + target.string() + " 2>&1";
  FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start the program");
  Ended ended;
  std::array<char, 4096> block;
  while (const std::size_t got = std::fread(block.data(), 1, block.size(), pipe)) {
    ended.output.append(block.data(), got);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
  return ended;
}

/// What writers have sent and what was acknowledged to them.
class Acknowledgements {
 public:
  void sent(std::int64_t number) {
    const std::lock_guard lock(mutex_);
    sent_.insert(number);
  }
  void acknowledged(std::int64_t number) {
    const std::lock_guard lock(mutex_);
    acknowledged_.insert(number);
  }
  std::set<std::int64_t> all_sent() const {
    const std::lock_guard lock(mutex_);
    return sent_;
  }
  std::set<std::int64_t> all_acknowledged() const {
    const std::lock_guard lock(mutex_);
    return acknowledged_;
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::int64_t> sent_;
  std::set<std::int64_t> acknowledged_;
};

constexpr std::int64_t kEventsOfAUser = 200;  // fewer than a history keeps
constexpr std::int64_t kWriters = 3;

std::string writer_user(std::string_view side, std::int64_t number) {
  return std::string(side) + "-" + std::to_string(number % kWriters) + "-" +
         std::to_string(number / kWriters / kEventsOfAUser);
}

/// One call with an event of two users, both of an item that nobody knew.
void record_pair(Engine& engine, std::int64_t number, std::int64_t time_ms) {
  std::vector<Event> pair(2);
  for (std::size_t side = 0; side < 2; ++side) {
    pair[side].user_id = writer_user(side == 0 ? "left" : "right", number);
    pair[side].item_id = "seen-" + std::to_string(number);
    pair[side].action = "view";
    pair[side].time_ms = time_ms + number;
    pair[side].event_id = std::to_string(number);
  }
  engine.record(pair);
}

std::set<std::int64_t> numbers_of(storage::Db& db, std::string_view side) {
  std::set<std::int64_t> numbers;
  std::vector<std::string> users;
  db.history().for_each_user([&](std::string_view user, std::span<const storage::Event>) {
    if (user.starts_with(side)) users.emplace_back(user);
  });
  for (const std::string& user : users) {
    for (const auto& event : db.history().read_detailed(user, SIZE_MAX)) {
      EXPECT_TRUE(event.event_id.has_value()) << user;
      if (!event.event_id) continue;
      EXPECT_EQ(db.catalog().item_id(event.row), "seen-" + *event.event_id);
      EXPECT_TRUE(numbers.insert(std::stoll(*event.event_id)).second) << *event.event_id;
    }
  }
  return numbers;
}

/// How many of `expected` are not among `found`.
std::size_t missing(const std::set<std::int64_t>& expected, const std::set<std::int64_t>& found) {
  return static_cast<std::size_t>(std::ranges::count_if(
      expected, [&](std::int64_t number) { return !found.contains(number); }));
}

/// A folder for backups, gone with the test.
class Backup : public ::testing::Test {
 protected:
  Backup() {
    std::string pattern = fs::temp_directory_path() / "fovea-backup-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    folder_ = pattern;
  }
  ~Backup() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  /// A shop with a learned version that serves.
  std::unique_ptr<Engine> served() {
    auto engine = shop_->open();
    shop_->stock(*engine);
    shop_->publish(shop_->learned_version(engine->db()));
    engine->reload();
    return engine;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }

  std::unique_ptr<Shop> shop_ = std::make_unique<Shop>();
  fs::path folder_;
};

TEST_F(Backup, TakenUnderWritesHoldsAllThatWasAcknowledgedBefore) {
  auto engine = served();
  Acknowledgements events;
  Acknowledgements items;
  Acknowledgements deleted;
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  for (std::int64_t writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::int64_t number = writer; !stop; number += kWriters) {
        events.sent(number);
        record_pair(*engine, number, shop_->now_ms);
        events.acknowledged(number);
      }
    });
  }
  threads.emplace_back([&] {
    for (std::int64_t number = 0; !stop; ++number) {
      Item item = Shop::item(0, 0);
      item.item_id = "put-" + std::to_string(number);
      items.sent(number);
      engine->put_items({&item, 1});
      items.acknowledged(number);
      RankRequest request;
      request.user_id = "user-0";
      engine->rank(request);  // writes what it showed
    }
  });
  threads.emplace_back([&] {  // every deletion turns the log into tables and rewrites some
    for (std::int64_t number = 0; !stop; ++number) {
      const std::string user = "passer-by-" + std::to_string(number);
      const Event event = shop_->event(user, Shop::id(0, 0));
      engine->record({&event, 1});
      engine->delete_user(user);
      deleted.acknowledged(number);
    }
  });

  struct Taken {
    std::set<std::int64_t> events, events_sent, items, items_sent, deleted;
  };
  std::vector<Taken> taken;
  for (int round = 0; round < 4; ++round) {
    const std::size_t wanted = events.all_acknowledged().size() + 30;
    while (events.all_acknowledged().size() < wanted ||
           deleted.all_acknowledged().size() < static_cast<std::size_t>(round) + 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    Taken& now = taken.emplace_back();
    now.events = events.all_acknowledged();
    now.items = items.all_acknowledged();
    now.deleted = deleted.all_acknowledged();
    const Ended ended = backup(shop_->directory(), folder_ / std::to_string(round));
    ASSERT_EQ(ended.code, 0) << ended.output;
    now.events_sent = events.all_sent();
    now.items_sent = items.all_sent();
  }
  stop = true;
  threads.clear();
  engine.reset();
  EngineOptions options = shop_->options();
  fs::remove_all(shop_->directory());

  for (std::size_t round = 0; round < taken.size(); ++round) {
    SCOPED_TRACE(round);
    const Taken& then = taken[round];
    const fs::path elsewhere = folder_ / ("restored-" + std::to_string(round));
    fs::rename(folder_ / std::to_string(round), elsewhere);
    const auto restored = Engine::open(elsewhere, options);
    storage::Db& db = restored->db();
    const auto left = numbers_of(db, "left-");
    EXPECT_EQ(left, numbers_of(db, "right-")) << "a call is there in half";
    EXPECT_EQ(missing(then.events, left), 0U) << "of " << then.events.size();
    EXPECT_EQ(missing(left, then.events_sent), 0U) << "events that nobody sent";

    std::set<std::int64_t> put;
    db.catalog().for_each([&](const storage::StoredItem& item) {
      if (!item.item_id.starts_with("put-")) return;
      EXPECT_EQ(item.text, Shop::item(0, 0).text);
      put.insert(std::stoll(item.item_id.substr(4)));
    });
    EXPECT_EQ(missing(then.items, put), 0U) << "of " << then.items.size();
    EXPECT_EQ(missing(put, then.items_sent), 0U) << "items that nobody put";

    std::int64_t users = 0;
    db.history().for_each_user([&](std::string_view user, std::span<const storage::Event>) {
      ++users;
      if (!user.starts_with("passer-by-")) return;
      EXPECT_FALSE(then.deleted.contains(std::stoll(std::string(user.substr(10))))) << user;
    });
    EXPECT_EQ(db.history().users(), users);
    RankRequest request;
    request.user_id = "user-1";
    const auto response = restored->rank(request);
    EXPECT_FALSE(response.model_version.empty());
    EXPECT_EQ(response.items.size(), static_cast<std::size_t>(request.limit));
    record_pair(*restored, 1'000'000'000, shop_->now_ms);
    EXPECT_TRUE(numbers_of(db, "left-").contains(1'000'000'000));
  }
}

using Lists = std::vector<std::vector<std::pair<std::string, double>>>;

Lists lists_of(Engine& engine) {
  Lists lists;
  for (std::size_t user = 0; user < Shop::kUsers; ++user) {
    RankRequest request;
    request.user_id = "user-" + std::to_string(user);
    auto& list = lists.emplace_back();
    for (const RankedItem& item : engine.rank(request).items) {
      list.emplace_back(item.item_id, item.score);
    }
  }
  return lists;
}

TEST_F(Backup, ServesTheListsOfTheOriginal) {
  auto engine = served();
  const Lists expected = lists_of(*engine);
  const std::string version = engine->status().model_version;
  const Ended ended = backup(shop_->directory(), folder_ / "copy");
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("fovea serve --data " + (folder_ / "copy").string()));
  engine.reset();
  const EngineOptions options = shop_->options();
  fs::remove_all(shop_->directory());

  const auto restored = Engine::open(folder_ / "copy", options);
  EXPECT_EQ(restored->status().model_version, version);
  EXPECT_FALSE(expected.front().empty());
  EXPECT_EQ(lists_of(*restored), expected);
}

TEST_F(Backup, OfAStoreWithoutAModelServesWithoutOne) {
  const auto engine = shop_->open();
  shop_->stock(*engine);
  const Ended ended = backup(shop_->directory(), folder_ / "copy");
  ASSERT_EQ(ended.code, 0) << ended.output;
  const auto restored = Engine::open(folder_ / "copy", shop_->options());
  EXPECT_EQ(restored->status().model_version, "");
  EXPECT_EQ(lists_of(*restored), lists_of(*engine));
}

TEST_F(Backup, OfAVersionPublishedMeanwhileIsWholeOrAbsent) {
  const auto engine = served();
  std::vector<Version> ready;
  for (int i = 0; i < 12; ++i) ready.push_back(shop_->learned_version(engine->db()));
  std::atomic<bool> published{false};
  const std::jthread training([&] {
    for (Version& version : ready) shop_->publish(std::move(version));
    published = true;
  });
  for (int round = 0; !published || round == 0; ++round) {
    const fs::path copy = folder_ / std::to_string(round);
    fs::create_directory(copy);
    const auto names = Versions(shop_->directory()).copy_to(copy);
    const Versions versions(copy);
    EXPECT_EQ(versions.list().size(), names.size());
    for (const std::string& name : names) EXPECT_NO_THROW(versions.load_older(name));
    const auto current = versions.current();
    ASSERT_TRUE(current.has_value());
    EXPECT_NO_THROW(versions.load(*current));
  }
}

TEST_F(Backup, LeavesADamagedVersionOutUnlessItServes) {
  const auto engine = served();
  const std::string old = engine->status().model_version;
  const std::string serves = shop_->publish(shop_->learned_version(engine->db()));
  const auto damage = [&](const std::string& version) {
    const fs::path file = shop_->directory() / "versions" / version / "model.safetensors";
    fs::resize_file(file, fs::file_size(file) - 1);
  };
  damage(old);
  const Ended ended = backup(shop_->directory(), folder_ / "copy");
  ASSERT_EQ(ended.code, 0) << ended.output;
  const auto there = Versions(folder_ / "copy").list();
  ASSERT_EQ(there.size(), 1U);
  EXPECT_EQ(there.front().name, serves);

  damage(serves);
  const Ended refused = backup(shop_->directory(), folder_ / "another");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, AllOf(HasSubstr(serves), HasSubstr("model.safetensors")));
  EXPECT_EQ(files(), 1U);
}

/// Whether something is there that a server would open; then it must be a whole backup.
bool opens(const fs::path& directory, const EngineOptions& options, std::int64_t users) {
  // A server makes a new store in an empty directory, as it always does.
  if (!fs::exists(directory) || fs::is_empty(directory)) return false;
  try {
    const auto engine = Engine::open(directory, options);
    EXPECT_EQ(engine->db().history().users(), users) << "half of a backup was opened";
    EXPECT_FALSE(engine->status().model_version.empty());
    return true;
  } catch (const storage::StoreError&) {
    return false;
  }
}

TEST_F(Backup, KilledAtAnyMomentLeavesNothingThatOpens) {
  const auto engine = served();
  constexpr std::int64_t kPairs = 300;
  for (std::int64_t number = 0; number < kPairs; ++number) {
    record_pair(*engine, number, shop_->now_ms);
  }
  const std::int64_t users = engine->db().history().users();
  const auto begin = Clock::now();
  ASSERT_EQ(backup(shop_->directory(), folder_ / "whole").code, 0);
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);

  const fs::path target = folder_ / "killed";
  const fs::path unfinished = target.string() + ".unfinished";
  std::mt19937_64 random(11);
  int cut = 0;
  int finished = 0;
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    std::vector<std::string> arguments{FOVEA_PROGRAM,      "backup", "--data",
                                       shop_->directory(), "--to",   target};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_t child = 0;
    ASSERT_EQ(::posix_spawn(&child, FOVEA_PROGRAM, nullptr, nullptr, argv.data(), environ), 0);
    // Half of them at any moment of its life, half while it writes.
    if (round % 2 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % whole.count()));
    } else {
      while (!fs::exists(unfinished) && !fs::exists(target) &&
             ::waitpid(child, nullptr, WNOHANG | WNOWAIT) == 0) {
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % (whole.count() / 4)));
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    cut += WIFSIGNALED(status) && fs::exists(unfinished) ? 1 : 0;
    EXPECT_FALSE(opens(unfinished, shop_->options(), users));
    if (opens(target, shop_->options(), users)) ++finished;
    fs::remove_all(target);
  }
  std::cout << cut << " killed while they wrote, " << finished << " had finished\n";
  EXPECT_GT(cut, 0) << "no kill fell into a backup";

  const Ended ended = backup(shop_->directory(), target);
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_FALSE(fs::exists(unfinished));
  EXPECT_TRUE(opens(target, shop_->options(), users));
}

TEST_F(Backup, ToADirectoryThatHoldsSomethingIsRefused) {
  const auto engine = served();
  const fs::path target = folder_ / "full";
  fs::create_directory(target);
  std::ofstream(target / "holiday.jpg") << "picture";
  const Ended ended = backup(shop_->directory(), target);
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.output, AllOf(HasSubstr(target.string()), HasSubstr("not an empty directory")));
  EXPECT_TRUE(fs::exists(target / "holiday.jpg"));
  EXPECT_EQ(files(), 1U);

  fs::remove(target / "holiday.jpg");
  EXPECT_EQ(backup(shop_->directory(), target).code, 0);
  EXPECT_EQ(backup(shop_->directory(), target).code, 2) << "over a backup";
  EXPECT_EQ(files(), 1U);
}

TEST_F(Backup, TakesNoFolderOfSomebodyElseForOneThatWasKilled) {
  const auto engine = served();
  const fs::path theirs = folder_ / "copy.unfinished";
  fs::create_directory(theirs);
  std::ofstream(theirs / "novel.txt") << "chapter one";
  const Ended ended = backup(shop_->directory(), folder_ / "copy");
  EXPECT_EQ(ended.code, 2);
  EXPECT_THAT(ended.output, HasSubstr("novel.txt"));
  EXPECT_TRUE(fs::exists(theirs / "novel.txt"));
  EXPECT_FALSE(fs::exists(folder_ / "copy"));
}

TEST_F(Backup, IntoTheDataDirectoryIsRefused) {
  const auto engine = served();
  for (const fs::path& target :
       {shop_->directory() / "backup", shop_->directory() / "versions" / ".." / "b",
        shop_->directory()}) {
    const Ended ended = backup(shop_->directory(), target);
    EXPECT_EQ(ended.code, 2);
    EXPECT_THAT(ended.output, HasSubstr("inside the data directory"));
  }
  EXPECT_FALSE(fs::exists(shop_->directory() / "backup.unfinished"));
}

TEST_F(Backup, OfNoStoreIsRefused) {
  const Ended nothing = backup(folder_ / "nowhere", folder_ / "copy");
  EXPECT_EQ(nothing.code, 1);
  EXPECT_THAT(nothing.output, HasSubstr((folder_ / "nowhere").string()));
  const Ended empty = backup(shop_->directory(), folder_ / "copy");
  EXPECT_EQ(empty.code, 1);
  EXPECT_THAT(empty.output, AllOf(HasSubstr(shop_->directory().string()), HasSubstr("no store")));
  const auto engine = served();
  const Ended nowhere = backup(shop_->directory(), folder_ / "no" / "such" / "copy");
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_THAT(nowhere.output, HasSubstr((folder_ / "no" / "such").string()));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Backup, WithoutPermissionIsASentence) {
  const auto engine = served();
  // Root may do everything, so somebody else tries.
  const std::string nobody =
      ::geteuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups " : "";
  fs::permissions(shop_->directory(), fs::perms{0755});
  fs::permissions(folder_, fs::perms{0555});
  const Ended target = backup(shop_->directory(), folder_ / "copy", "", nobody);
  EXPECT_EQ(target.code, 1) << target.output;
  EXPECT_THAT(target.output, AllOf(HasSubstr((folder_ / "copy").string()), HasSubstr("ermission")));

  fs::permissions(folder_, fs::perms{0777});
  fs::permissions(shop_->directory(), fs::perms{0});
  const Ended data = backup(shop_->directory(), folder_ / "copy", "", nobody);
  fs::permissions(shop_->directory(), fs::perms{0700});
  EXPECT_EQ(data.code, 1) << data.output;
  EXPECT_THAT(data.output, AllOf(HasSubstr(shop_->directory().string()), HasSubstr("ermission")));
  EXPECT_EQ(files(), 0U);
}

// A limit on a file's size fails a write in the same place as a full disk does.
TEST_F(Backup, ThatDoesNotFitIsRemoved) {
  const auto engine = served();
  for (const char* blocks : {"0", "2", "20"}) {
    const Ended ended = backup(shop_->directory(), folder_ / "copy",
                               "trap '' XFSZ; ulimit -f " + std::string(blocks) + "; ");
    EXPECT_EQ(ended.code, 1) << ended.output;
    EXPECT_THAT(ended.output, AllOf(HasSubstr("fovea: "), HasSubstr("too large")));
    EXPECT_EQ(files(), 0U) << blocks;
  }
}

}  // namespace
}  // namespace fovea::engine
