// One lock per user, for as long as somebody holds it: makes looking at a user's history and then
// writing to it one step. Owns the order in which several are taken, so that no two calls wait for
// each other.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace fovea::storage {

class UserLocks {
 public:
  class Held {
   public:
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { locks_.release(users_); }

   private:
    friend class UserLocks;
    Held(UserLocks& locks, std::vector<std::string> users)
        : locks_(locks), users_(std::move(users)) {}
    UserLocks& locks_;
    std::vector<std::string> users_;
  };

  /// Waits until nobody else holds any of them. The same user may be named twice.
  [[nodiscard]] Held lock(std::vector<std::string> users) {
    std::sort(users.begin(), users.end());
    users.erase(std::unique(users.begin(), users.end()), users.end());
    std::unique_lock lock(mutex_);
    for (const std::string& user : users) {  // one by one, in an order that all callers share
      freed_.wait(lock, [&] { return !held_.contains(user); });
      held_.insert(user);
    }
    return Held(*this, std::move(users));
  }

 private:
  void release(const std::vector<std::string>& users) {
    {
      const std::lock_guard lock(mutex_);
      for (const std::string& user : users) held_.erase(user);
    }
    freed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable freed_;
  std::unordered_set<std::string> held_;
};

}  // namespace fovea::storage
