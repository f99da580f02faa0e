// Lines of a stream, numbered and bounded in length: a file without line ends must not fill the
// memory.
#pragma once

#include <cstdint>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

namespace fovea::api {

struct Line {
  std::string_view text;   ///< Without its end (LF or CR LF); valid until the next call of next().
  std::size_t number = 0;  ///< From 1.
  bool too_long = false;   ///< Longer than allowed: `text` is empty, and the line is skipped.
};

class LineReader {
 public:
  /// The stream must outlive the reader. A byte order mark at its beginning is skipped.
  LineReader(std::istream& in, std::size_t line_bytes_max);

  /// Absent at the end. Throws std::runtime_error when the stream cannot be read.
  std::optional<Line> next();

  std::uint64_t bytes() const { return bytes_; }  ///< Read so far, for progress.

 private:
  bool fill();

  std::istream& in_;
  std::size_t line_bytes_max_;
  std::string buffer_;
  std::size_t begin_ = 0;  // of what has not been handed out
  std::size_t number_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace fovea::api
