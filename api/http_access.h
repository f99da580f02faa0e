// Who may ask for a path: tokens, and pages in a browser. Knows no socket; what a path does to the
// store its table says.
#pragma once

#include <optional>

#include "api/http_path.h"

namespace fovea::api {

/// What the call is refused with, 401 or 403; absent: it may be answered.
/// - What changes the store needs a token where there are tokens; what a browser sends, which names
///   the page that it comes from in Origin, must come from this server's own, with a console that
///   may change something.
/// - What lists users needs a token unless nobody but this machine can connect.
std::optional<HttpAnswer> not_allowed(const HttpService& service, const Path& path,
                                      const HttpCall& call);

}  // namespace fovea::api
