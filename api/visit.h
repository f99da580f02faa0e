// One user at a running server: what the list was, one new behaviour, what the list is now, and
// why. For the demo.
#pragma once

#include <ostream>
#include <span>
#include <string>

#include "api/client.h"

namespace fovea::api {

/// Shows it in lines of about 80 columns. Records one behaviour: of `items`, the one that moves
/// the user's list most, which is found out by asking with it as a session first. Throws what calls
/// throw.
void show_visit(std::ostream& out, Client& client, const std::string& user_id,
                std::span<const std::string> items);

}  // namespace fovea::api
