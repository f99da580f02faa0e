#include "ranking/weights.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <set>

namespace fovea::ranking {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr std::uint64_t kHeaderBytesMax = std::uint64_t{16} << 20;

// Elements of a shape; throws where the product overflows.
std::size_t elements(const Weights::Shape& shape, const std::string& name) {
  std::size_t product = 1;
  for (const std::size_t size : shape) {
    if (size != 0 && product > std::numeric_limits<std::uint32_t>::max() * std::size_t{64} / size) {
      throw WeightsError("array '" + name + "' is larger than any that was ever written");
    }
    product *= size;
  }
  return product;
}

std::size_t element_bytes(std::string_view dtype, const std::string& name) {
  if (dtype == "F32" || dtype == "U32") return 4;
  if (dtype == "U8") return 1;
  if (dtype == "I64") return 8;  // positions that PyTorch keeps beside a model's weights
  throw WeightsError("array '" + name + "' has dtype '" + std::string(dtype) +
                     "'; F32, U32, U8 or I64 is expected");
}

std::size_t to_size(const boost::json::value& value, const std::string& name) {
  if (value.is_int64() && value.get_int64() >= 0)
    return static_cast<std::size_t>(value.get_int64());
  if (value.is_uint64()) return value.get_uint64();
  throw WeightsError("array '" + name + "' has a size or offset that is not a whole number");
}

// What the header says of one array.
struct Entry {
  std::string name, dtype;
  Weights::Shape shape;
  std::size_t begin = 0, end = 0;
};

Entry parse_entry(const std::string& name, const boost::json::value& value) {
  Entry entry;
  entry.name = name;
  const auto* object = value.if_object();
  const auto* dtype = object == nullptr ? nullptr : object->if_contains("dtype");
  const auto* shape = object == nullptr ? nullptr : object->if_contains("shape");
  const auto* offsets = object == nullptr ? nullptr : object->if_contains("data_offsets");
  if (object == nullptr || object->size() != 3 || dtype == nullptr || !dtype->is_string() ||
      shape == nullptr || !shape->is_array() || offsets == nullptr || !offsets->is_array() ||
      offsets->get_array().size() != 2) {
    throw WeightsError("array '" + name + "' does not have exactly dtype, shape and data_offsets");
  }
  entry.dtype = dtype->get_string();
  for (const auto& size : shape->get_array()) entry.shape.push_back(to_size(size, name));
  entry.begin = to_size(offsets->get_array()[0], name);
  entry.end = to_size(offsets->get_array()[1], name);
  const std::size_t bytes = elements(entry.shape, name) * element_bytes(entry.dtype, name);
  if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
    throw WeightsError("array '" + name + "' has a data range that does not fit its shape");
  }
  return entry;
}

// Reads the header once before it is parsed, for what the parser does not tell: a name that an
// object has twice. The members are what boost::json::basic_parser calls.
struct Names {
  using Error = boost::system::error_code;
  using Text = boost::json::string_view;
  // NOLINTBEGIN(readability-identifier-naming): the parser asks for these names. No limits here:
  // the header's length is one.
  static constexpr std::size_t max_object_size = -1, max_array_size = -1;
  static constexpr std::size_t max_key_size = -1, max_string_size = -1;
  // NOLINTEND(readability-identifier-naming)

  std::vector<std::set<std::string>> open;  // one per object that has begun and not ended
  std::string key;
  std::optional<std::string> twice;

  bool on_object_begin(Error&) { return open.emplace_back(), true; }
  bool on_object_end(std::size_t, Error&) { return open.pop_back(), true; }
  bool on_key_part(Text part, std::size_t, Error&) { return key.append(part), true; }
  bool on_key(Text part, std::size_t, Error& error) {
    key.append(part);
    if (!open.back().insert(key).second) {
      twice = key;
      error = boost::json::error::extra_data;
      return false;
    }
    key.clear();
    return true;
  }
  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_array_begin(Error&) { return true; }
  bool on_array_end(std::size_t, Error&) { return true; }
  bool on_string_part(Text, std::size_t, Error&) { return true; }
  bool on_string(Text, std::size_t, Error&) { return true; }
  bool on_number_part(Text, Error&) { return true; }
  bool on_int64(std::int64_t, Text, Error&) { return true; }
  bool on_uint64(std::uint64_t, Text, Error&) { return true; }
  bool on_double(double, Text, Error&) { return true; }
  bool on_bool(bool, Error&) { return true; }
  bool on_null(Error&) { return true; }
  bool on_comment_part(Text, Error&) { return true; }
  bool on_comment(Text, Error&) { return true; }
};

boost::json::object parse_header(const std::string& text) {
  boost::json::parse_options strict;
  strict.max_depth = 4;
  boost::system::error_code bad;
  boost::json::basic_parser<Names> names(strict);
  names.write_some(false, text.data(), text.size(), bad);
  if (names.handler().twice) {
    throw WeightsError("names '" + *names.handler().twice + "' twice in its header");
  }
  boost::json::value header = boost::json::parse(text, bad, {}, strict);
  if (bad || !header.is_object()) throw WeightsError("has a header that is not a JSON object");
  return std::move(header.get_object());
}

void sync(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool done = file >= 0 && ::fsync(file) == 0;
  if (file >= 0) ::close(file);
  if (!done) throw WeightsError(path.string() + " could not be synced: " + std::strerror(errno));
}

}  // namespace

void Weights::put(std::string name, Shape shape, std::vector<float> values) {
  if (elements(shape, name) != values.size()) {
    throw WeightsError("array '" + name + "' has not as many values as its shape says");
  }
  arrays_[std::move(name)] = {"F32", std::move(shape), std::move(values), {}, {}};
}

void Weights::put_ids(std::string name, std::vector<std::uint32_t> values) {
  const std::size_t n = values.size();
  arrays_[std::move(name)] = {"U32", {n}, {}, std::move(values), {}};
}

void Weights::put_bytes(std::string name, std::string bytes) {
  const std::size_t n = bytes.size();
  arrays_[std::move(name)] = {"U8", {n}, {}, {}, std::move(bytes)};
}

bool Weights::has(std::string_view name) const { return arrays_.contains(name); }

const Weights::Array& Weights::array(std::string_view name, std::string_view dtype) const {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) throw WeightsError("array '" + std::string(name) + "' is missing");
  if (!dtype.empty() && found->second.dtype != dtype) {
    throw WeightsError("array '" + std::string(name) + "' is " + found->second.dtype + "; " +
                       std::string(dtype) + " is expected");
  }
  return found->second;
}

const Weights::Shape& Weights::shape(std::string_view name) const { return array(name, "").shape; }

std::span<const float> Weights::floats(std::string_view name) const {
  return array(name, "F32").floats;
}

std::span<const float> Weights::floats(std::string_view name, const Shape& shape) const {
  const Array& found = array(name, "F32");
  if (found.shape != shape) {
    throw WeightsError("array '" + std::string(name) + "' has another shape than the rest needs");
  }
  return found.floats;
}

std::span<const std::uint32_t> Weights::ids(std::string_view name) const {
  return array(name, "U32").ids;
}

std::string_view Weights::bytes(std::string_view name) const { return array(name, "U8").bytes; }

void Weights::save(const std::filesystem::path& file) const {
  boost::json::object header;
  if (!metadata_.empty()) {
    boost::json::object metadata;
    for (const auto& [key, value] : metadata_) metadata[key] = value;
    header["__metadata__"] = std::move(metadata);
  }
  std::size_t at = 0;
  for (const auto& [name, array] : arrays_) {
    const std::size_t bytes = elements(array.shape, name) * element_bytes(array.dtype, name);
    header[name] = {{"dtype", array.dtype},
                    {"shape", boost::json::array(array.shape.begin(), array.shape.end())},
                    {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = boost::json::serialize(header);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data starts aligned

  const std::filesystem::path temporary = file.string() + ".tmp";
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    const std::uint64_t length = text.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof length);
    out << text;
    for (const auto& [name, array] : arrays_) {
      out.write(reinterpret_cast<const char*>(array.floats.data()),
                static_cast<std::streamsize>(array.floats.size() * sizeof(float)));
      out.write(reinterpret_cast<const char*>(array.ids.data()),
                static_cast<std::streamsize>(array.ids.size() * sizeof(std::uint32_t)));
      out.write(array.bytes.data(), static_cast<std::streamsize>(array.bytes.size()));
    }
    out.flush();
    if (!out) {
      throw WeightsError(temporary.string() + " could not be written: " + std::strerror(errno));
    }
  }
  sync(temporary);
  std::filesystem::rename(temporary, file);
}

Weights Weights::load(const std::filesystem::path& file) try {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw WeightsError(std::string("cannot be opened: ") + std::strerror(errno));
  const std::uint64_t size = std::filesystem::file_size(file);
  std::uint64_t length = 0;
  if (size < sizeof length) throw WeightsError("ends before its header's length");
  in.read(reinterpret_cast<char*>(&length), sizeof length);
  if (length > kHeaderBytesMax || length > size - sizeof length) {
    throw WeightsError("claims a header of " + std::to_string(length) +
                       " bytes, more than it holds or any header needs");
  }
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  if (!in) throw WeightsError("could not be read to the end of its header");

  const boost::json::object header = parse_header(text);
  Weights result;
  std::vector<Entry> entries;
  for (const auto& [key, value] : header) {
    const std::string name(key);
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, value));
      continue;
    }
    if (!value.is_object()) throw WeightsError("has metadata that is not a JSON object");
    for (const auto& [meta_key, meta_value] : value.get_object()) {
      if (!meta_value.is_string()) throw WeightsError("has metadata that is not text");
      result.metadata_[std::string(meta_key)] = meta_value.get_string();
    }
  }
  // The ranges must follow each other without gap or overlap and fill the rest of the file.
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::size_t at = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != at)
      throw WeightsError("has a gap or an overlap before array '" + entry.name + "'");
    at = entry.end;
  }
  if (at != size - sizeof length - length) {
    throw WeightsError("holds another number of data bytes than its header says");
  }
  for (const Entry& entry : entries) {
    const std::size_t bytes = entry.end - entry.begin;
    Array array{entry.dtype, entry.shape, {}, {}, {}};
    char* to = nullptr;
    if (entry.dtype == "F32") {
      array.floats.resize(bytes / sizeof(float));
      to = reinterpret_cast<char*>(array.floats.data());
    } else if (entry.dtype == "U32") {
      array.ids.resize(bytes / sizeof(std::uint32_t));
      to = reinterpret_cast<char*>(array.ids.data());
    } else {
      array.bytes.resize(bytes);
      to = array.bytes.data();
    }
    in.read(to, static_cast<std::streamsize>(bytes));
    if (!in) throw WeightsError("ends inside array '" + entry.name + "'");
    if (!std::ranges::all_of(array.floats, [](float x) { return std::isfinite(x); })) {
      throw WeightsError("holds a NaN or an infinity in array '" + entry.name + "'");
    }
    result.arrays_.emplace(entry.name, std::move(array));
  }
  return result;
} catch (const WeightsError& error) {
  throw WeightsError(file.string() + ": " + error.what());
} catch (const std::filesystem::filesystem_error& error) {
  throw WeightsError(file.string() + ": " + error.code().message());
}

}  // namespace fovea::ranking
