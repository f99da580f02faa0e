// JSON to the wire's structs and back, for what speaks JSON about the contract: the HTTP port,
// `rank` and `ask --json`. Field names as in fovea.thrift; items and events are read by json.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <boost/json.hpp>

namespace fovea::api {

/// The deepest body is an object with items with attributes with a list, or with requests with a
/// session of events.
inline constexpr std::size_t kBodyDepthMax = 6;

/// Throw engine::InvalidRequest naming the field: unknown, of another type, a required one missing.
/// A field that is null counts as absent. What a value may be is the service's to say.
RankRequest rank_request_from_json(const boost::json::object& object);
Item wire_item_from_json(const boost::json::object& object);
Event wire_event_from_json(const boost::json::object& object);

boost::json::object to_json(const RankResponse& response);
boost::json::object to_json(const Item& item);
boost::json::object to_json(const Event& event);
boost::json::object to_json(const Status& status);

}  // namespace fovea::api
