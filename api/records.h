// Records of a JSON Lines or CSV stream, one at a time, with the line each begins at. Owns formats
// and the recovery after a bad line; what the fields mean is json's.
#pragma once

#include <boost/json.hpp>
#include <istream>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "api/csv.h"
#include "api/lines.h"

namespace fovea::api {

enum class Format { kJsonLines, kCsv };

/// "jsonl" or "csv"; throws std::invalid_argument otherwise.
Format parse_format(std::string_view name);
/// By the name's ending, else by the stream's first byte that is no space: '{' begins JSON Lines.
/// The stream is back at its beginning afterwards.
Format detect_format(std::string_view file_name, std::istream& in);

/// One record that is left out; what() says why. Reading goes on behind it.
struct BadRecord : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class RecordReader {
 public:
  /// The stream must outlive the reader. Throws BadRecord for a CSV header that cannot be used:
  /// nothing can be read.
  RecordReader(std::istream& in, Format format);

  /// Absent at the end. Blank lines are no records. Throws BadRecord; std::runtime_error when the
  /// stream cannot be read.
  std::optional<boost::json::object> next();

  std::size_t line() const { return line_; }  ///< Where the record of the last call begins, from 1.
  std::uint64_t bytes() const { return lines_.bytes(); }

 private:
  std::optional<Line> next_line();
  bool next_row();  // fills row_; false at the end

  LineReader lines_;
  Format format_;
  CsvRecord row_;
  CsvHeader header_;
  std::size_t line_ = 0;
};

}  // namespace fovea::api
