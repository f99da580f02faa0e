#include "api/csv.h"

#include <fmt/format.h>

#include <set>
#include <stdexcept>

namespace fovea::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kAttributes = "attributes.";
constexpr char kListSeparator = '|';

/// The number, boolean or list that the cell is in JSON, else its text: a wrong type is reported by
/// who reads it.
json::value value_of(const std::string& cell) {
  boost::system::error_code error;
  json::value value = json::parse(cell, error);
  const bool plain = !error && (value.is_number() || value.is_bool() || value.is_array());
  return plain ? value : json::value(cell);
}

json::array texts_of(std::string_view cell) {
  json::array texts;
  for (std::size_t begin = 0; begin <= cell.size();) {
    const std::size_t end = std::min(cell.find(kListSeparator, begin), cell.size());
    texts.emplace_back(cell.substr(begin, end - begin));
    begin = end + 1;
  }
  return texts;
}

}  // namespace

CsvRecord::State CsvRecord::fail(std::string_view why) {
  error_ = why;
  open_ = false;
  return State::kBad;
}

CsvRecord::State CsvRecord::feed(std::string_view line) {
  if (open_) {
    cells_.back() += '\n';
  } else {
    cells_.assign(1, {});
  }
  bool quoted = open_;  // the present cell is, or was, within quotes
  for (std::size_t at = 0; at < line.size(); ++at) {
    const char byte = line[at];
    std::string& cell = cells_.back();
    if (open_) {
      if (byte != '"') {
        cell += byte;
      } else if (at + 1 < line.size() && line[at + 1] == '"') {
        cell += '"';
        ++at;
      } else {
        open_ = false;
      }
    } else if (byte == ',') {
      cells_.emplace_back();
      quoted = false;
    } else if (byte == '"') {
      if (quoted || !cell.empty()) {
        return fail("a quote stands within a cell; put the whole cell in quotes and double it");
      }
      open_ = quoted = true;
    } else if (quoted) {
      return fail("after the closing quote of a cell a comma or the line's end is expected");
    } else {
      cell += byte;
    }
  }
  return open_ ? State::kNeedMore : State::kComplete;
}

CsvHeader::CsvHeader(const std::vector<std::string>& names) : names_(names) {
  std::set<std::string_view> seen;
  for (const std::string& name : names_) {
    if (name.empty()) throw std::invalid_argument("the header has a column without a name");
    if (!seen.insert(name).second) {
      throw std::invalid_argument(fmt::format("the header has the column \"{}\" twice", name));
    }
  }
}

json::object CsvHeader::object(const std::vector<std::string>& cells) const {
  if (cells.size() != names_.size()) {
    throw std::invalid_argument(
        fmt::format("this row has {} cells; the header has {}", cells.size(), names_.size()));
  }
  json::object object;
  json::object attributes;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string& cell = cells[i];
    std::string_view name = names_[i];
    if (cell.empty()) continue;
    if (name.starts_with(kAttributes)) {
      name.remove_prefix(kAttributes.size());
      if (name.ends_with("[]")) {
        attributes[name.substr(0, name.size() - 2)] = texts_of(cell);
      } else {
        const json::value value = value_of(cell);
        attributes[name] = value.is_array() ? json::value(cell) : value;
      }
    } else if (name == "time_ms" || name == "value" || name == "embedding") {
      object[name] = value_of(cell);
    } else {
      object[name] = cell;
    }
  }
  if (!attributes.empty()) object["attributes"] = std::move(attributes);
  return object;
}

}  // namespace fovea::api
