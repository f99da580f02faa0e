#include "api/http_access.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace fovea::api {
namespace {

std::string_view what_it_does(Access access) {
  return access == Access::kChanges ? "changes the store" : "lists what is in the store";
}

std::optional<HttpAnswer> unauthorised(const Path& path, const Tokens& tokens,
                                       std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer ";
  const bool given =
      authorization.size() > kBearer.size() &&
      std::equal(kBearer.begin(), kBearer.end(), authorization.begin(),
                 [](char a, char b) { return a == (b == ' ' ? b : static_cast<char>(b | 0x20)); });
  if (given) {
    const std::string_view rest = authorization.substr(kBearer.size());
    const auto begin = rest.find_first_not_of(' ');
    if (begin != std::string_view::npos && tokens.contain(rest.substr(begin))) return std::nullopt;
  }
  HttpAnswer answer =
      http_error(401, given ? fmt::format("{} {}, and the token is none of this server's",
                                          path.path, what_it_does(path.access))
                            : fmt::format("{} {}; give a token of this server with the header "
                                          "Authorization: Bearer TOKEN",
                                          path.path, what_it_does(path.access)));
  answer.authenticate =
      given ? R"(Bearer realm="fovea", error="invalid_token")" : R"(Bearer realm="fovea")";
  return answer;
}

/// A page of somebody else's can have its reader's browser send what the reader may send; but it
/// cannot make the browser leave out where that comes from.
std::optional<HttpAnswer> wrong_page(const Console& console, const Path& path,
                                     const HttpCall& call) {
  const bool of_the_console = path.path.starts_with("/console/");
  if (!call.origin && !of_the_console) return std::nullopt;  // no browser sent it
  if (console.mode != ConsoleMode::kOn) {
    return http_error(
        403, fmt::format("{} changes the store, which no page may on this server; with --console "
                         "on its own page may",
                         path.path));
  }
  if (!call.origin) return std::nullopt;
  const std::string own = fmt::format("{}://{}", call.encrypted ? "https" : "http", call.host);
  if (*call.origin == own) return std::nullopt;
  return http_error(403, fmt::format("{} changes the store, which a page of {} may not; this "
                                     "server's own page is of {}",
                                     path.path, printable(*call.origin), printable(own)));
}

}  // namespace

std::optional<HttpAnswer> not_allowed(const HttpService& service, const Path& path,
                                      const HttpCall& call) {
  if (path.access == Access::kChanges) {
    auto refusal = wrong_page(service.console, path, call);
    if (refusal || service.tokens == nullptr) return refusal;
    return unauthorised(path, *service.tokens, call.authorization);
  }
  if (path.access == Access::kLists && !call.loopback) {
    if (service.tokens != nullptr) return unauthorised(path, *service.tokens, call.authorization);
    return http_error(
        403, fmt::format("{} lists what is in the store, and other machines can connect; start the "
                         "server with --token-file and give one of its tokens",
                         path.path));
  }
  return std::nullopt;
}

}  // namespace fovea::api
