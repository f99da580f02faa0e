// A ranking as a table for people: what `ask` and `demo` print.
#pragma once

#include <fovea_wire/fovea_types.h>

#include <map>
#include <ostream>
#include <string>

#include "api/terminal_text.h"

namespace fovea::api {

class Client;

/// Item id to text, for every item and behaviour that the response names and the server knows a
/// text of. Throws what calls throw.
std::map<std::string, std::string> fetch_titles(Client& client, const RankResponse& response);

/// Position, item, title, score and source, a line each, the query's words marked in titles; where
/// `asked` wants it explained, under each why: the behaviours attended to most, the score's parts,
/// what it is to the query.
void print_ranking(std::ostream& out, const RankRequest& asked, const RankResponse& response,
                   const std::map<std::string, std::string>& titles, const Marks& marks);

}  // namespace fovea::api
