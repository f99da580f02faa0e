// How long work shows where it is: a bar that redraws itself on a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

namespace fovea::api {

/// Not thread-safe.
class Progress {
 public:
  Progress(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// To stderr; whether that is a terminal is asked of the system.
  static Progress to_stderr();

  /// `done` of `of` in the work called `what`. Cheap enough to call for every record. Elsewhere
  /// than on a terminal a line is written at most every five seconds.
  void bar(std::string_view what, std::uint64_t done, std::uint64_t of);
  /// What a stage of the work has come to. On a terminal the next step of the same stage replaces
  /// it, so that of every stage the last one stays.
  void step(std::string_view stage, std::string_view message);
  /// One line that stays.
  void line(std::string_view text);
  /// Takes the bar or step away, or lets the step stay.
  void clear();
  void keep();

 private:
  void draw(std::string_view text);

  std::ostream& out_;
  bool terminal_;
  bool drawn_ = false;
  std::string stage_;  // of the step that is drawn
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace fovea::api
