#include "api/watch_files.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>

namespace fovea::api {
namespace {

constexpr std::chrono::seconds kLookEvery{1};

using Times = std::vector<std::optional<std::filesystem::file_time_type>>;

Times times_of(const std::vector<std::filesystem::path>& files) {
  Times times;
  for (const auto& file : files) {
    std::error_code error;
    const auto time = std::filesystem::last_write_time(file, error);
    times.push_back(error ? std::nullopt : std::optional(time));
  }
  return times;
}

}  // namespace

void watch_files(const std::vector<std::filesystem::path>& files, const std::stop_token& stop,
                 const std::function<void(bool first)>& changed) {
  std::mutex mutex;
  std::condition_variable_any stopping;
  std::optional<Times> told;
  std::optional<Times> seen;
  for (;;) {
    {
      std::unique_lock lock(mutex);
      stopping.wait_for(lock, stop, kLookEvery, [] { return false; });
    }
    if (stop.stop_requested()) return;
    Times now = times_of(files);
    if (now == seen && now != told) {
      changed(!told);
      told = now;
    }
    seen = std::move(now);
  }
}

}  // namespace fovea::api
