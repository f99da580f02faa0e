#include "api/json_fields.h"

#include <cmath>
#include <limits>

namespace fovea::api {

namespace json = boost::json;

std::string describe(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return value.get_bool() ? "true" : "false";
    case json::kind::string: {
      const std::string_view text(value.get_string().data(), value.get_string().size());
      return text.size() <= 40 ? fmt::format("the string \"{}\"", text) : "a string";
    }
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
    default:
      return fmt::format("the number {}", value.to_number<double>());
  }
}

void refuse(std::string_view field, const json::value& value, std::string_view right) {
  throw engine::InvalidRequest(
      std::string(field), fmt::format("{} is {}; {} is expected", field, describe(value), right));
}

std::string string_of(std::string_view field, const json::value& value) {
  if (!value.is_string()) refuse(field, value, "a string");
  return std::string(value.get_string());
}

double number_of(std::string_view field, const json::value& value) {
  if (!value.is_number()) refuse(field, value, "a number");
  return value.to_number<double>();
}

std::int64_t integer_of(std::string_view field, const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  // Some writers have no integers: 8.7e11 is one all the same, as long as a double holds it
  // exactly.
  constexpr double kExactMax = 9'007'199'254'740'992;
  if (value.is_double() && std::abs(value.get_double()) <= kExactMax &&
      value.get_double() == std::floor(value.get_double())) {
    return static_cast<std::int64_t>(value.get_double());
  }
  refuse(field, value, "a whole number");
}

std::int32_t int32_of(std::string_view field, const json::value& value) {
  using Limits = std::numeric_limits<std::int32_t>;
  const std::int64_t number = integer_of(field, value);
  if (number < Limits::min() || number > Limits::max()) {
    refuse(field, value, fmt::format("a whole number from {} to {}", Limits::min(), Limits::max()));
  }
  return static_cast<std::int32_t>(number);
}

bool bool_of(std::string_view field, const json::value& value) {
  if (!value.is_bool()) refuse(field, value, "true or false");
  return value.get_bool();
}

const json::object& object_of(std::string_view field, const json::value& value) {
  if (!value.is_object()) refuse(field, value, "an object");
  return value.get_object();
}

const json::array& list_of(std::string_view field, const json::value& value) {
  if (!value.is_array()) refuse(field, value, "a list");
  const json::array& list = value.get_array();
  if (list.size() > kListEntriesMax) {
    throw engine::InvalidRequest(
        std::string(field), fmt::format("{} has {} entries; no list may have more than {}", field,
                                        list.size(), kListEntriesMax));
  }
  return list;
}

std::vector<std::string> strings_of(std::string_view field, const json::value& value) {
  std::vector<std::string> result;
  for (const json::value& text : list_of(field, value)) {
    result.push_back(string_of(fmt::format("{}[{}]", field, result.size()), text));
  }
  return result;
}

void refuse_unknown(std::string_view field, std::string_view what, std::string_view known) {
  throw engine::InvalidRequest(
      std::string(field),
      fmt::format("\"{}\" is not a field of {}; its fields are {}", field, what, known));
}

}  // namespace fovea::api
