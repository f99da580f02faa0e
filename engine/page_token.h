// Pages: what the pages before have shown, as a text that the client brings back. It names items
// and not a place in a list, so that nothing is shown twice however catalogue, history and model
// change in between. The server keeps nothing of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace fovea::engine {

/// Items that the pages of one list show in all; the last of them has no token.
inline constexpr std::size_t kShownMax = 10'000;

struct PageToken {
  std::uint64_t request = 0;         ///< fingerprint() of the request that it goes on with.
  std::vector<std::uint32_t> shown;  ///< Rows, ascending, at most kShownMax.
};

/// Of what says which list it is: user, query, filter, seeds and candidates. Session, rules and the
/// limit may change from page to page.
std::uint64_t fingerprint(const RankRequest& request);

/// ASCII that needs no escape in a URL: about 2 bytes a row, 11 bytes beside them.
std::string to_text(const PageToken& token);
/// Throws InvalidRequest for what to_text() did not write, and for another request's token.
PageToken read_page_token(std::string_view text, std::uint64_t request);

}  // namespace fovea::engine
