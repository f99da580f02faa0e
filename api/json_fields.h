// One value of a JSON object as the type that its field has, or a sentence that names the field,
// what stands there and what is expected. Knows no record; which fields there are is json's and
// wire_json's.
#pragma once

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace fovea::api {

/// Entries of one list. A struct is made for each before it is looked at, so that this bounds what
/// a short text can cost; above the engine's longest list, whose refusal says what is allowed
/// there.
inline constexpr std::size_t kListEntriesMax = 16'384;

/// What stands there, as people say it: "the number 5", "a list".
std::string describe(const boost::json::value& value);

[[noreturn]] void refuse(std::string_view field, const boost::json::value& value,
                         std::string_view right);
[[noreturn]] void refuse_unknown(std::string_view field, std::string_view what,
                                 std::string_view known);

// Throw engine::InvalidRequest naming `field`.
std::string string_of(std::string_view field, const boost::json::value& value);
double number_of(std::string_view field, const boost::json::value& value);
std::int64_t integer_of(std::string_view field, const boost::json::value& value);
std::int32_t int32_of(std::string_view field, const boost::json::value& value);
bool bool_of(std::string_view field, const boost::json::value& value);
std::vector<std::string> strings_of(std::string_view field, const boost::json::value& value);
const boost::json::object& object_of(std::string_view field, const boost::json::value& value);
/// At most kListEntriesMax entries.
const boost::json::array& list_of(std::string_view field, const boost::json::value& value);

/// Each entry read by `read(object)`; the field that one is refused for is led by "field[i].".
template <typename Read>
auto objects_of(std::string_view field, const boost::json::value& value, Read read) {
  const auto& list = list_of(field, value);
  std::vector<decltype(read(std::declval<const boost::json::object&>()))> result;
  result.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto& object = object_of(fmt::format("{}[{}]", field, i), list[i]);
    try {
      result.push_back(read(object));
    } catch (const engine::InvalidRequest& error) {
      throw engine::InvalidRequest(fmt::format("{}[{}].{}", field, i, error.field), error.what());
    }
  }
  return result;
}

/// A field of `Into`, which the record is read into.
template <typename Into>
struct JsonField {
  std::string_view name;
  void (*read)(std::string_view field, const boost::json::value& value, Into& into);
  bool required = false;
};

/// Reads what `fields` name; a field that is null counts as absent. Throws engine::InvalidRequest
/// for a field that is not among them, with `what` they are the fields of, and for a required one
/// that is absent.
template <typename Into>
Into read_fields(const boost::json::object& object, std::string_view what,
                 std::span<const JsonField<Into>> fields) {
  Into into;
  for (const auto& [name, value] : object) {
    const std::string_view given(name);
    const JsonField<Into>* known = nullptr;
    for (const auto& field : fields) {
      if (field.name == given) known = &field;
    }
    if (known == nullptr) {
      std::string names;
      for (const auto& field : fields) {
        if (!names.empty()) names += &field == &fields.back() ? " and " : ", ";
        names += field.name;
      }
      refuse_unknown(given, what, names);
    }
    if (!value.is_null()) known->read(known->name, value, into);
  }
  for (const auto& field : fields) {
    const auto* value = object.if_contains({field.name.data(), field.name.size()});
    if (field.required && (value == nullptr || value->is_null())) {
      throw engine::InvalidRequest(std::string(field.name),
                                   fmt::format("{} is missing", field.name));
    }
  }
  return into;
}

}  // namespace fovea::api
