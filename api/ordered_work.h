// Lines answered on several threads at once and handed on in their order, with a bound on what is
// held in between. Owns the threads and the window; what a line is and what answers it is its
// caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace fovea::api {

struct AskedLine {
  std::uint64_t number = 0;  ///< In the input, from 1.
  std::string text;
  bool too_long = false;  ///< `text` is left out.
};

struct AnsweredLine {
  std::uint64_t number = 0;
  std::string text;     ///< What is written; may be nothing, or several lines.
  std::string refusal;  ///< Why it is bad, in a sentence; empty: it is not.
};

struct OrderedWork {
  std::function<std::optional<AskedLine>()> next;  ///< Absent: there are no more.
  std::function<AnsweredLine(const AskedLine&)> answer;
  std::function<void(AnsweredLine)> take;
};

/// Calls `next` and `take` on this thread and `answer` on `threads` others. Holds at most
/// kLinesHeld lines, of their texts kBytesHeld and one text, of their answers kBytesHeld and what
/// threads have under way. What any of the three throws ends the work and is thrown here, after
/// every thread is done.
void run(const OrderedWork& work, std::size_t threads);

inline constexpr std::size_t kLinesHeld = 1024;
inline constexpr std::size_t kBytesHeld = std::size_t{64} << 20;

}  // namespace fovea::api
