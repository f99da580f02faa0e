// A ranking as a table for people: what `ask` and `demo` print.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <cstddef>
#include <map>
#include <ostream>
#include <string>
#include <string_view>

namespace fovea::api {

class Client;

/// Item id to text, for every item and behaviour that the response names and the server knows a
/// text of. Throws what calls throw.
std::map<std::string, std::string> fetch_titles(Client& client, const RankResponse& response);

/// Position, item, title, score and source, a line each; under an item that is explained, why: the
/// behaviours attended to most and the score's parts.
void print_ranking(std::ostream& out, const RankResponse& response,
                   const std::map<std::string, std::string>& titles);

/// UTF-8 cut to `columns` code points, with an ellipsis where it was longer; control characters,
/// which would steer the terminal, are replaced by spaces.
std::string cut(std::string_view text, std::size_t columns);

}  // namespace fovea::api
