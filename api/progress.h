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
  /// One line that the next one replaces on a terminal; elsewhere it stays.
  void status(std::string_view text);
  /// One line that stays.
  void line(std::string_view text);
  /// Takes the bar or status away.
  void clear();

 private:
  void draw(std::string_view text);

  std::ostream& out_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace fovea::api
