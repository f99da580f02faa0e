// Claim: a process killed at any moment loses no event that it acknowledged.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "storage/db.h"
#include "tests/store_directory.h"

extern char** environ;

namespace fovea::storage {
namespace {

constexpr int kUsers = 4;
constexpr int kRounds = 50;

std::string user_of(std::int64_t number) { return "u" + std::to_string(number % kUsers); }
std::string item_of(std::int64_t number) { return "item" + std::to_string(number / 2); }

/// Records numbered events from `first` on, for ever, and writes each number to `out` when it is
/// acknowledged. Now and then it makes the files change, to be killed in the middle of that too.
[[noreturn]] void record_for_ever(const std::string& directory, std::int64_t first, int out) {
  const auto db = Db::open(directory, Access::kReadWrite, {.history_events_max = 1'000'000});
  db->catalog().declare_action("view", 1);
  for (std::int64_t number = first;; ++number) {
    const std::string user_id = user_of(number);
    const std::string item_id = item_of(number);
    const std::string event_id = "e" + std::to_string(number);
    NewEvent event = view(user_id, item_id, number);
    event.event_id = event_id;
    record(*db, event);
    if (::write(out, &number, sizeof number) != sizeof number) ::_exit(1);
    if (number % 7 == 0) db->delete_user("somebody");
  }
}

/// The numbers a child acknowledged before it was killed.
std::vector<std::int64_t> killed_child(const std::filesystem::path& directory, std::int64_t first,
                                       std::chrono::microseconds life) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, 0) != 0) throw std::runtime_error("no pipe");
  std::string self = std::filesystem::read_symlink("/proc/self/exe");
  std::string mode = "--record";
  std::string path = directory;
  std::string from = std::to_string(first);
  std::string out = std::to_string(pipe_ends[1]);
  char* argv[] = {self.data(), mode.data(), path.data(), from.data(), out.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawn(&child, self.c_str(), nullptr, nullptr, argv, environ) != 0) {
    throw std::runtime_error("cannot start a child");
  }
  ::close(pipe_ends[1]);
  std::vector<std::int64_t> acknowledged;
  std::int64_t number = 0;
  const auto next = [&] { return ::read(pipe_ends[0], &number, sizeof number) == sizeof number; };
  if (next()) acknowledged.push_back(number);  // it lives from its first acknowledgement on
  std::this_thread::sleep_for(life);
  ::kill(child, SIGKILL);
  while (next()) acknowledged.push_back(number);
  ::close(pipe_ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
  return acknowledged;
}

TEST(Kill, LosesNothingAcknowledged) {
  const StoreDirectory directory;
  std::mt19937_64 random(7);
  std::int64_t first = 0;
  std::set<std::int64_t> acknowledged;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    const auto numbers =
        killed_child(directory.path(), first, std::chrono::microseconds(random() % 60'000));
    ASSERT_FALSE(numbers.empty());
    acknowledged.insert(numbers.begin(), numbers.end());
    first = numbers.back() + 2;  // the one in between may have been kept without being told

    const auto db =
        Db::open(directory.path(), Access::kReadWrite, {.history_events_max = 1'000'000});
    std::set<std::int64_t> kept;
    for (int user = 0; user < kUsers; ++user) {
      std::int64_t before = INT64_MAX;
      for (const DetailedEvent& event : db->history().read_detailed(user_of(user), SIZE_MAX)) {
        ASSERT_LT(event.time_ms, before);
        before = event.time_ms;
        ASSERT_EQ(user_of(event.time_ms), user_of(user));
        ASSERT_EQ(db->catalog().item_id(event.row), item_of(event.time_ms));
        ASSERT_EQ(event.event_id, "e" + std::to_string(event.time_ms));
        kept.insert(event.time_ms);
      }
    }
    ASSERT_EQ(db->history().users(), std::min<std::int64_t>(kUsers, db->history().users()));
    for (const std::int64_t number : acknowledged) ASSERT_TRUE(kept.contains(number)) << number;
    ASSERT_LE(kept.size(), acknowledged.size() + static_cast<std::size_t>(round) + 1);
  }
}

}  // namespace
}  // namespace fovea::storage

int main(int argc, char** argv) {
  if (argc == 5 && std::string_view(argv[1]) == "--record") {
    fovea::storage::record_for_ever(argv[2], std::stoll(argv[3]), std::stoi(argv[4]));
  }
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
