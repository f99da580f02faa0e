// Wire structs to engine structs and back. Pure functions; what a value may be is
// engine::validate's.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <string_view>

#include "engine/request.h"

namespace fovea::api {

/// Throw engine::InvalidRequest for what an engine struct cannot hold; `prefix` leads the field's
/// name, such as "items[3].".
engine::Item from_wire(const Item& item, std::string_view prefix);
engine::Event from_wire(const Event& event);
/// Also throws for a deadline or a traceparent, which no engine struct has, that cannot be.
engine::RankRequest from_wire(const RankRequest& request);

Item to_wire(engine::Item&& item);
Event to_wire(engine::Event&& event);
RankResponse to_wire(engine::RankResponse&& response);
Status to_wire(engine::Status&& status);

}  // namespace fovea::api
