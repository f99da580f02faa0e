// When an answer is due. Owns what counts as late; what is left out then is the pipeline's.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

namespace fovea::engine {

/// Cheap to copy; thread-safe where its clock is.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = std::function<Clock::time_point()>;

  /// None: nothing is ever late.
  Deadline() = default;
  /// `within` of `received`, above 0. `now` is injectable.
  Deadline(Clock::time_point received, std::chrono::milliseconds within, Now now = Clock::now)
      : within_(within), due_(received + within), now_(std::move(now)) {}

  /// What is left is needed to answer with what there is: a tenth, at least a millisecond.
  bool near() const { return now_ && now_() >= due_ - std::max(kRestMin, within_ / 10); }
  bool passed() const { return now_ && now_() >= due_; }
  std::chrono::milliseconds within() const { return within_; }  ///< 0: none.

 private:
  static constexpr std::chrono::milliseconds kRestMin{1};

  std::chrono::milliseconds within_{0};
  Clock::time_point due_;
  Now now_;
};

}  // namespace fovea::engine
