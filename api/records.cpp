#include "api/records.h"

#include <fmt/format.h>

#include "api/json.h"

namespace fovea::api {

Format parse_format(std::string_view name) {
  if (name == "jsonl") return Format::kJsonLines;
  if (name == "csv") return Format::kCsv;
  throw std::invalid_argument(fmt::format("the format is \"{}\"; it is jsonl or csv", name));
}

Format detect_format(std::string_view file_name, std::istream& in) {
  if (file_name.ends_with(".csv")) return Format::kCsv;
  if (file_name.ends_with(".jsonl") || file_name.ends_with(".ndjson")) return Format::kJsonLines;
  char first = '{';
  const bool any = static_cast<bool>(in >> first);
  in.clear();
  in.seekg(0);
  return !any || first == '{' ? Format::kJsonLines : Format::kCsv;
}

RecordReader::RecordReader(std::istream& in, Format format)
    : lines_(in, kJsonBytesMax), format_(format) {
  if (format_ != Format::kCsv || !next_row()) return;
  try {
    header_ = CsvHeader(row_.cells());
  } catch (const std::invalid_argument& error) {
    throw BadRecord(error.what());
  }
}

std::optional<Line> RecordReader::next_line() {
  std::optional<Line> line = lines_.next();
  if (line && line->too_long) {
    line_ = line->number;
    throw BadRecord(fmt::format("this line is longer than {} bytes", kJsonBytesMax));
  }
  return line;
}

bool RecordReader::next_row() {
  std::optional<Line> line = next_line();
  while (line && line->text.empty()) line = next_line();
  if (!line) return false;
  line_ = line->number;
  std::size_t bytes = 0;
  for (;;) {
    const CsvRecord::State state = row_.feed(line->text);
    if (state == CsvRecord::State::kBad) throw BadRecord(row_.error());
    if (state == CsvRecord::State::kComplete) return true;
    bytes += line->text.size() + 1;
    const std::size_t last = line->number;
    const auto give_up = [&](std::string_view where) {
      row_ = {};
      throw BadRecord(fmt::format(
          "a quote opened here is not closed {}; lines {} to {} are left out", where, line_, last));
    };
    if (bytes > kJsonBytesMax) give_up(fmt::format("within {} bytes", kJsonBytesMax));
    line = lines_.next();
    if (!line || line->too_long) give_up("before the file ends or a line is too long");
  }
}

std::optional<boost::json::object> RecordReader::next() {
  if (format_ == Format::kCsv) {
    if (!next_row()) return std::nullopt;
    try {
      return header_.object(row_.cells());
    } catch (const std::invalid_argument& error) {
      throw BadRecord(error.what());
    }
  }
  std::optional<Line> line = next_line();
  while (line && line->text.find_first_not_of(" \t") == std::string_view::npos) line = next_line();
  if (!line) return std::nullopt;
  line_ = line->number;
  try {
    return parse_object(line->text);
  } catch (const engine::InvalidRequest& error) {
    throw BadRecord(error.what());
  }
}

}  // namespace fovea::api
