#include "api/console_dispatch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "api/console_assets.h"
#include "api/console_service.h"

namespace fovea::api {
namespace {

namespace json = boost::json;

/// Everything that the page is made of comes from this server and from a file: what an item's text
/// says is never run, whatever it says. Nobody shows the page within another.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view trimmed_spaces(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Calls `one` with each entry of a header's list, until it returns true.
template <typename One>
bool any_entry(std::string_view list, One one) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (one(trimmed_spaces(list.substr(0, comma)))) return true;
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return false;
}

bool same_word(std::string_view word, std::string_view lower_case) {
  return std::equal(word.begin(), word.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
}

/// "q=0", "q=0.00": not at all.
bool refuses(std::string_view parameter) {
  const std::string_view weight = trimmed_spaces(parameter);
  return weight.size() >= 3 && same_word(weight.substr(0, 2), "q=") &&
         weight.find_first_not_of("0.", 2) == std::string_view::npos;
}

/// As Accept-Encoding says (RFC 9110, 12.5.3); one that is missing takes nothing.
bool takes_gzip(std::string_view accept_encoding) {
  bool named = false;
  bool any = false;
  const bool taken = any_entry(accept_encoding, [&](std::string_view entry) {
    const auto semicolon = entry.find(';');
    const std::string_view coding = trimmed_spaces(entry.substr(0, semicolon));
    const bool refused =
        semicolon != std::string_view::npos && refuses(entry.substr(semicolon + 1));
    if (coding == "*") any = !refused;
    const bool gzip = same_word(coding, "gzip") || same_word(coding, "x-gzip");
    named = named || gzip;
    return gzip && !refused;
  });
  return taken || (any && !named);
}

/// If-None-Match compares weakly (RFC 9110, 13.1.2). No tag of ours has a comma in it.
bool is_among(std::string_view etag, std::string_view if_none_match) {
  return any_entry(if_none_match, [&](std::string_view entry) {
    if (entry.starts_with("W/")) entry.remove_prefix(2);
    return entry == "*" || entry == etag;
  });
}

HttpAnswer asset(const PathCall& call) {
  const Asset& found = *find_asset(call.asked.target);
  const bool compressed = takes_gzip(call.asked.accept_encoding);
  const std::string etag = found.etag(compressed);
  HttpAnswer answer;
  // The page is of the program's version: it is kept, and asked for again each time.
  answer.headers = {{"Cache-Control", "no-cache"},
                    {"ETag", etag},
                    {"Vary", "Accept-Encoding"},
                    {"Content-Security-Policy", std::string(kPolicy)},
                    {"X-Content-Type-Options", "nosniff"},
                    {"Referrer-Policy", "no-referrer"},
                    {"Cross-Origin-Opener-Policy", "same-origin"},
                    {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (is_among(etag, call.asked.if_none_match)) {
    answer.status = 304;
    answer.content_type = {};
    return answer;
  }
  answer.content_type = found.file->content_type;
  if (compressed) answer.headers.emplace_back("Content-Encoding", "gzip");
  answer.body = compressed ? std::string(found.gzip()) : found.plain();
  return answer;
}

// The arguments, by their names in the bodies.

struct Version {
  std::string name;
};
struct Look {
  std::string prefix;
  std::int32_t limit = 0;
};
struct ItemsWanted {
  std::vector<std::string> ids;
};
struct ReportWanted {
  std::string experiment;
  std::string by;
};

template <typename Into, std::string Into::* kMember>
constexpr JsonField<Into> text_field(std::string_view name) {
  return {name,
          [](std::string_view field, const json::value& value, Into& into) {
            into.*kMember = string_of(field, value);
          },
          true};
}

constexpr std::array kLookFields = {
    text_field<Look, &Look::prefix>("prefix"),
    JsonField<Look>{"limit",
                    [](std::string_view field, const json::value& value, Look& into) {
                      into.limit = int32_of(field, value);
                    },
                    true}};

ConsoleService& console(const PathCall& call) { return *call.to.console.service; }

HttpAnswer show_engine(const PathCall& call) { return json_answer(console(call).engine()); }

HttpAnswer show_versions(const PathCall& call) { return json_answer(console(call).versions()); }

HttpAnswer show_training(const PathCall& call) {
  static constexpr std::array kFields = {text_field<Version, &Version::name>("version")};
  return json_answer(console(call).training(read_arguments(call, "training", kFields).name));
}

HttpAnswer roll_back(const PathCall& call) {
  static constexpr std::array kFields = {text_field<Version, &Version::name>("to")};
  return json_answer(console(call).roll_back(read_arguments(call, "rollback", kFields).name));
}

HttpAnswer look_for_users(const PathCall& call) {
  const auto look = read_arguments(call, "users", kLookFields);
  return json_answer(console(call).users(look.prefix, look.limit));
}

HttpAnswer look_for_items(const PathCall& call) {
  const auto look = read_arguments(call, "items", kLookFields);
  return json_answer(console(call).items(look.prefix, look.limit));
}

HttpAnswer show_items(const PathCall& call) {
  static constexpr std::array kFields = {
      JsonField<ItemsWanted>{"item_ids",
                             [](std::string_view field, const json::value& value,
                                ItemsWanted& into) { into.ids = strings_of(field, value); },
                             true}};
  return json_answer(console(call).items(read_arguments(call, "items/get", kFields).ids));
}

HttpAnswer show_experiments(const PathCall& call) {
  return json_answer(console(call).experiments());
}

HttpAnswer show_report(const PathCall& call) {
  static constexpr std::array kFields = {
      text_field<ReportWanted, &ReportWanted::experiment>("experiment"),
      text_field<ReportWanted, &ReportWanted::by>("by")};
  const auto wanted = read_arguments(call, "report", kFields);
  return json_answer(console(call).report(wanted.experiment, wanted.by));
}

constexpr std::array kJsonPaths = {
    Path{"/console/engine", false, show_engine, Access::kLists},
    Path{"/console/versions", false, show_versions, Access::kLists},
    Path{"/console/training", true, show_training, Access::kLists},
    Path{"/console/rollback", true, roll_back, Access::kChanges},
    Path{"/console/users", true, look_for_users, Access::kLists},
    Path{"/console/items", true, look_for_items, Access::kLists},
    Path{"/console/items/get", true, show_items, Access::kLists},
    Path{"/console/experiments", false, show_experiments, Access::kLists},
    Path{"/console/report", true, show_report, Access::kLists},
};

std::vector<Path> all_paths() {
  std::vector<Path> paths(kJsonPaths.begin(), kJsonPaths.end());
  for (const Asset& each : console_assets()) {
    paths.push_back({each.path, false, asset, Access::kReads, true});
  }
  return paths;
}

}  // namespace

std::span<const Path> console_paths() {
  static const std::vector<Path> kPaths = all_paths();
  return kPaths;
}

}  // namespace fovea::api
