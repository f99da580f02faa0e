#include "api/json.h"

#include <fmt/format.h>

#include "api/json_fields.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

storage::AttributeValue attribute_of(const std::string& field, const json::value& value) {
  switch (value.kind()) {
    case json::kind::string:
      return std::string(value.get_string());
    case json::kind::bool_:
      return value.get_bool();
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return value.to_number<double>();
    case json::kind::array: {
      std::vector<std::string> texts;
      for (const json::value& text : value.get_array()) {
        if (!text.is_string()) refuse(field, value, "a list of strings only");
        texts.emplace_back(text.get_string());
      }
      return texts;
    }
    default:
      refuse(field, value, "a string, a number, true, false or a list of strings");
  }
}

void read_attributes(const json::value& value, engine::Item& item) {
  if (!value.is_object()) refuse("attributes", value, "an object of names and values");
  for (const auto& [name, attribute] : value.get_object()) {
    if (attribute.is_null()) continue;
    item.attributes.emplace(
        std::string(name),
        attribute_of(fmt::format("attributes.{}", std::string_view(name)), attribute));
  }
}

std::vector<float> embedding_of(const json::value& value) {
  if (!value.is_array()) refuse("embedding", value, "a list of numbers");
  std::vector<float> result;
  result.reserve(value.get_array().size());
  for (const json::value& number : value.get_array()) {
    if (!number.is_number()) refuse("embedding", number, "a list of numbers only");
    result.push_back(static_cast<float>(number.to_number<double>()));
  }
  return result;
}

}  // namespace

json::object parse_object(std::string_view text, std::size_t depth_max) {
  if (text.size() > kJsonBytesMax) {
    throw engine::InvalidRequest("", fmt::format("this is {} bytes long; at most {} are allowed",
                                                 text.size(), kJsonBytesMax));
  }
  json::parse_options options;
  options.max_depth = depth_max;
  json::parser parser({}, options);
  boost::system::error_code error;
  const std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size()) error = json::error::extra_data;
  if (error) {
    throw engine::InvalidRequest(
        "", fmt::format("this is not one JSON object: {} at byte {}", error.message(), read));
  }
  json::value value = parser.release();
  if (!value.is_object()) {
    throw engine::InvalidRequest(
        "", fmt::format("this is {}; a JSON object is expected", describe(value)));
  }
  return std::move(value.get_object());
}

engine::Item item_from_json(const json::object& object) {
  engine::Item item;
  for (const auto& [name, value] : object) {
    const std::string_view field(name);
    if (value.is_null()) continue;
    if (field == "item_id") {
      item.item_id = string_of(field, value);
    } else if (field == "text") {
      item.text = string_of(field, value);
    } else if (field == "attributes") {
      read_attributes(value, item);
    } else if (field == "embedding") {
      item.embedding = embedding_of(value);
    } else {
      refuse_unknown(field, "an item", "item_id, text, attributes and embedding");
    }
  }
  return item;
}

engine::Event event_from_json(const json::object& object) {
  engine::Event event;
  for (const auto& [name, value] : object) {
    const std::string_view field(name);
    if (value.is_null()) continue;
    if (field == "user_id") {
      event.user_id = string_of(field, value);
    } else if (field == "item_id") {
      event.item_id = string_of(field, value);
    } else if (field == "action") {
      event.action = string_of(field, value);
    } else if (field == "time_ms") {
      event.time_ms = integer_of(field, value);
    } else if (field == "value") {
      event.value = number_of(field, value);
    } else if (field == "event_id") {
      event.event_id = string_of(field, value);
    } else if (field == "request_id") {
      event.request_id = string_of(field, value);
    } else {
      refuse_unknown(field, "an event",
                     "user_id, item_id, action, time_ms, value, event_id and request_id");
    }
  }
  return event;
}

json::object to_json(const engine::Item& item) {
  json::object object;
  object["item_id"] = item.item_id;
  if (item.text) object["text"] = *item.text;
  if (!item.attributes.empty()) {
    json::object attributes;
    for (const auto& [name, attribute] : item.attributes) {
      std::visit([&](const auto& value) { attributes[name] = json::value_from(value); }, attribute);
    }
    object["attributes"] = std::move(attributes);
  }
  if (item.embedding) object["embedding"] = json::value_from(*item.embedding);
  return object;
}

json::object to_json(const engine::Event& event) {
  json::object object;
  object["user_id"] = event.user_id;
  object["item_id"] = event.item_id;
  object["action"] = event.action;
  if (event.time_ms) object["time_ms"] = *event.time_ms;
  if (event.value) object["value"] = *event.value;
  if (event.event_id) object["event_id"] = *event.event_id;
  if (event.request_id) object["request_id"] = *event.request_id;
  return object;
}

}  // namespace fovea::api
