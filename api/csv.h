// Comma-separated values (RFC 4180), and what a column means. Owns quoting and the step from a row
// to the JSON object with the same fields; takes text and knows no file.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::api {

/// Splits one record into cells. A record goes on over line ends within quotes, so it is fed line
/// by line.
class CsvRecord {
 public:
  enum class State {
    kComplete,  ///< cells() holds the record; the next line begins another one.
    kNeedMore,  ///< A quote is open.
    kBad,       ///< error() says why; the next line begins another record.
  };
  /// One line without its end.
  State feed(std::string_view line);

  const std::vector<std::string>& cells() const { return cells_; }
  const std::string& error() const { return error_; }

 private:
  State fail(std::string_view why);

  std::vector<std::string> cells_;
  std::string error_;
  bool open_ = false;  // within quotes
};

/// The header of a file: which column is which field. Columns are named as the JSON fields are; an
/// attribute has the column "attributes.NAME", or "attributes.NAME[]" for a list of texts,
/// separated by "|" in the cell. An attribute's cell is a number, true, false or else text, as JSON
/// would read it. An empty cell is an absent field.
class CsvHeader {
 public:
  CsvHeader() = default;
  /// Throws std::invalid_argument: an empty name, the same name twice.
  explicit CsvHeader(const std::vector<std::string>& names);

  /// Throws std::invalid_argument when the row has another number of cells than the header.
  boost::json::object object(const std::vector<std::string>& cells) const;

 private:
  std::vector<std::string> names_;
};

}  // namespace fovea::api
