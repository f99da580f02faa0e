// JSON to engine structs and back, field names as in fovea.thrift; a Value is a plain string,
// number, boolean or list of strings. Owns the shapes: what a field may contain is
// engine::validate's.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "engine/request.h"

namespace fovea::api {

/// Longest JSON text read, in bytes: the largest item there may be, escaped, with room to spare.
inline constexpr std::size_t kJsonBytesMax = std::size_t{1} << 20;

/// A record is an object with attributes with a list: nothing in it is nested deeper.
inline constexpr std::size_t kRecordDepthMax = 4;

/// Throws engine::InvalidRequest with an empty field name: not JSON, not an object, nested too
/// deeply.
boost::json::object parse_object(std::string_view text, std::size_t depth_max = kRecordDepthMax);

/// A field that is null counts as absent. Throw engine::InvalidRequest naming the field: unknown,
/// missing, of another type. The result is not validated yet.
engine::Item item_from_json(const boost::json::object& object);
engine::Event event_from_json(const boost::json::object& object);

boost::json::object to_json(const engine::Item& item);
boost::json::object to_json(const engine::Event& event);

}  // namespace fovea::api
