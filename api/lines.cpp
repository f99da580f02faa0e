#include "api/lines.h"

#include <stdexcept>

namespace fovea::api {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 18;

}  // namespace

LineReader::LineReader(std::istream& in, std::size_t line_bytes_max)
    : in_(in), line_bytes_max_(line_bytes_max) {
  fill();
  if (buffer_.starts_with("\xEF\xBB\xBF")) begin_ = 3;
}

bool LineReader::fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kBlockBytes);
  in_.read(buffer_.data() + kept, static_cast<std::streamsize>(kBlockBytes));
  const auto read = static_cast<std::size_t>(in_.gcount());
  buffer_.resize(kept + read);
  bytes_ += read;
  if (in_.bad()) throw std::runtime_error("it cannot be read to its end");
  return read > 0;
}

std::optional<Line> LineReader::next() {
  bool too_long = false;
  std::size_t searched = 0;  // bytes after begin_ that hold no line end
  for (;;) {
    const std::size_t end = buffer_.find('\n', begin_ + searched);
    if (end != std::string::npos) {
      std::string_view text(buffer_.data() + begin_, end - begin_);
      begin_ = end + 1;
      if (text.ends_with('\r')) text.remove_suffix(1);
      too_long = too_long || text.size() > line_bytes_max_;
      return Line{too_long ? std::string_view() : text, ++number_, too_long};
    }
    searched = buffer_.size() - begin_;
    if (searched > line_bytes_max_ + 1) {  // + 1: a carriage return is not the line's
      too_long = true;
      begin_ = buffer_.size();
      searched = 0;
    }
    if (fill()) continue;
    // The last line may lack its end.
    if (begin_ == buffer_.size() && !too_long) return std::nullopt;
    std::string_view text(buffer_.data() + begin_, buffer_.size() - begin_);
    begin_ = buffer_.size();
    if (text.ends_with('\r')) text.remove_suffix(1);
    too_long = too_long || text.size() > line_bytes_max_;
    return Line{too_long ? std::string_view() : text, ++number_, too_long};
  }
}

}  // namespace fovea::api
