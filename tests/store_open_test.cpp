// Claim: a store opens in the directory that is its own and in no other, once for writing and any
// number of times for reading beside that; every refusal is a sentence that names the directory.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <set>
#include <thread>

#include "storage/bytes.h"
#include "storage/db.h"
#include "storage/keys.h"
#include "tests/flaky_file_system.h"
#include "tests/store_directory.h"

extern char** environ;

namespace fovea::storage {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

void write_file(const fs::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

std::set<std::string> files_in(const fs::path& directory) {
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    files.insert(entry.path().string());
  }
  return files;
}

/// This program, holding the store open until it is killed.
class Holder {
 public:
  explicit Holder(const fs::path& directory) {
    int pipe_ends[2];
    if (::pipe2(pipe_ends, 0) != 0) throw std::runtime_error("no pipe");
    const std::string out = std::to_string(pipe_ends[1]);
    const std::string self = fs::read_symlink("/proc/self/exe");
    std::vector<std::string> arguments{self, "--hold", directory.string(), out};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    if (::posix_spawn(&pid_, self.c_str(), nullptr, nullptr, argv.data(), environ) != 0) {
      throw std::runtime_error("cannot start a second process");
    }
    ::close(pipe_ends[1]);
    char byte = 0;
    held_ = ::read(pipe_ends[0], &byte, 1) == 1;
    ::close(pipe_ends[0]);
  }
  ~Holder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  bool held() const { return held_; }

 private:
  pid_t pid_ = 0;
  bool held_ = false;
};

TEST(Open, CreatesTheDirectoryAndComesBackToIt) {
  const StoreDirectory root;
  const fs::path deep = root.path() / "a" / "b";
  Db::open(deep, Access::kReadWrite)->catalog().declare_action("view", 1);
  EXPECT_EQ(Db::open(deep, Access::kReadWrite)->catalog().actions().size(), 1U);
  EXPECT_TRUE(fs::exists(deep / "store" / "CURRENT"));
}

TEST(Open, RefusesASecondWriterInAnotherProcess) {
  const StoreDirectory directory;
  directory.open().reset();
  {
    const Holder holder(directory.path());
    ASSERT_TRUE(holder.held());
    EXPECT_THAT(store_error([&] { directory.open(); }),
                AllOf(HasSubstr(directory.path().string()), HasSubstr("another process")));
    directory.read_only();
  }
  directory.open();
}

TEST(Open, RefusesASecondWriterInThisProcess) {
  const StoreDirectory directory;
  const auto db = directory.open();
  EXPECT_THAT(store_error([&] { directory.open(); }), HasSubstr("in use"));
}

TEST(Open, RefusesAnotherFormat) {
  const StoreDirectory directory;
  directory.open().reset();
  {
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, directory.path() / "store", &raw).ok());
    const std::unique_ptr<rocksdb::DB> owned(raw);
    std::string format;
    append_number(format, kFormatVersion + 6);
    ASSERT_TRUE(raw->Put({}, std::string(kFormatKey), format).ok());
  }
  for (const Access access : {Access::kReadWrite, Access::kReadOnly}) {
    EXPECT_THAT(store_error([&] { Db::open(directory.path(), access); }),
                AllOf(HasSubstr("format 7"), HasSubstr("format 1"), HasSubstr("import again")));
  }
}

TEST(Open, RefusesADirectoryThatHoldsSomethingElse) {
  const StoreDirectory directory;
  write_file(directory.path() / "holiday.jpg", "picture");
  EXPECT_THAT(store_error([&] { directory.open(); }),
              AllOf(HasSubstr(directory.path().string()), HasSubstr("holiday.jpg")));
  EXPECT_EQ(files_in(directory.path()).size(), 1U);
  fs::remove(directory.path() / "holiday.jpg");

  fs::create_directories(directory.path() / "store");
  write_file(directory.path() / "store" / "000004.log", "a log without its store");
  EXPECT_THAT(store_error([&] { directory.open(); }), HasSubstr("000004.log"));
  fs::remove_all(directory.path() / "store");

  write_file(directory.path() / "file", "");
  EXPECT_THAT(store_error([&] { Db::open(directory.path() / "file", Access::kReadWrite); }),
              HasSubstr("file"));
}

TEST(Open, RefusesAnotherDatabase) {
  const StoreDirectory directory;
  {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* raw = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, directory.path() / "store", &raw).ok());
    const std::unique_ptr<rocksdb::DB> owned(raw);
    ASSERT_TRUE(raw->Put({}, "somebody's", "data").ok());
  }
  EXPECT_THAT(store_error([&] { directory.open(); }), HasSubstr("not a Fovea store"));
}

TEST(Open, FinishesACreationThatWasCutShort) {
  const StoreDirectory directory;
  fs::create_directories(directory.path() / "store");
  fs::create_directories(directory.path() / "versions");
  for (const char* name : {"LOCK", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"}) {
    write_file(directory.path() / "store" / name, "");
  }
  EXPECT_EQ(record(*directory.open(), view("u", "a", 1)), 1U);
  EXPECT_EQ(directory.open()->history().users(), 1);
}

TEST(Open, SaysThatAStoreIsDamaged) {
  const StoreDirectory directory;
  record(*directory.open(), view("u", "a", 1));
  directory.open().reset();
  for (const auto& entry : fs::directory_iterator(directory.path() / "store")) {
    if (entry.path().filename().string().starts_with("MANIFEST-")) fs::resize_file(entry, 10);
  }
  for (const Access access : {Access::kReadWrite, Access::kReadOnly}) {
    EXPECT_THAT(store_error([&] { Db::open(directory.path(), access); }),
                AllOf(HasSubstr(directory.path().string()), HasSubstr("damaged")));
  }
}

TEST(Open, RefusesToReadWhereThereIsNoStore) {
  const StoreDirectory directory;
  EXPECT_THAT(store_error([&] { directory.read_only(); }), HasSubstr("import"));
  EXPECT_TRUE(files_in(directory.path()).empty());
}

TEST(Open, RefusesAHistoryOfNothing) {
  const StoreDirectory directory;
  EXPECT_THROW(directory.open({.history_events_max = 0}), std::invalid_argument);
}

TEST(ReadOnly, SeesWhatIsInTheLogAndWritesNothing) {
  const StoreDirectory directory;
  const auto writer = directory.open();
  record(*writer, view("u", "a", 1));
  record(*writer, view("u", "b", 2));
  writer->delete_user("somebody");  // the first two are in tables now
  record(*writer, view("u", "c", 3));
  const Item put = item("a", "text");
  writer->catalog().put({&put, 1});
  writer->exposures().append("u", {"r", 5, "v", {1}});
  const auto before = files_in(directory.path());

  const auto reader = directory.read_only();
  EXPECT_THAT(items_of(*reader, "u"), ::testing::ElementsAre("c", "b", "a"));
  EXPECT_EQ(reader->history().users(), 1);
  EXPECT_EQ(reader->catalog().get(0)->text, "text");
  EXPECT_EQ(reader->exposures().read("u", 5).size(), 1U);
  std::size_t visited = 0;
  reader->history().for_each_user(
      [&](std::string_view, std::span<const Event> events) { visited += events.size(); });
  EXPECT_EQ(visited, 3U);

  const Item other = item("b", "");
  EXPECT_THAT(store_error([&] { record(*reader, view("u", "d", 4)); }), HasSubstr("reading only"));
  EXPECT_THAT(store_error([&] { reader->catalog().put({&other, 1}); }), HasSubstr("reading only"));
  EXPECT_THAT(store_error([&] { reader->delete_user("u"); }), HasSubstr("reading only"));
  EXPECT_THAT(store_error([&] { reader->exposures().append("u", {"r", 6, "v", {}}); }),
              HasSubstr("reading only"));
  EXPECT_EQ(files_in(directory.path()), before);

  writer->delete_user("somebody");  // takes the files away from under the reader
  EXPECT_THAT(items_of(*reader, "u"), ::testing::ElementsAre("c", "b", "a"));
}

// A reader that opens while logs become tables and tables are replaced must still see everything
// that was acknowledged before it began.
TEST(ReadOnly, MissesNothingWhileItsWriterChangesFiles) {
  const StoreDirectory directory;
  FlakyDisk disk;  // never fails here; without syncs the files change all the time
  const auto writer = directory.open({.history_events_max = 100'000, .env = disk.env.get()});
  record(*writer, view("u", "a", 0));
  std::atomic<std::size_t> acknowledged{1};
  std::atomic<bool> stop{false};
  const std::jthread writing([&] {
    for (std::int64_t i = 1; !stop; ++i) {
      record(*writer, view("u", "a", i));
      ++acknowledged;
      if (i % 20 == 0) writer->delete_user("somebody");
    }
  });
  for (int round = 0; round < 60; ++round) {
    const std::size_t at_least = acknowledged;
    const auto reader = directory.read_only({.history_events_max = 100'000});
    EXPECT_GE(reader->history().read("u", SIZE_MAX).size(), at_least) << round;
  }
  stop = true;
}

}  // namespace
}  // namespace fovea::storage

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--hold") {
    const auto db = fovea::storage::Db::open(argv[2], fovea::storage::Access::kReadWrite);
    if (::write(std::stoi(argv[3]), "h", 1) != 1) return 1;
    ::pause();
    return 0;
  }
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
