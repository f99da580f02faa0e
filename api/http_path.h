// A row of the HTTP port's tables of paths, and what a row's function works with. The tables are
// http_dispatch's and console_dispatch's; what is checked before a function is called is
// http_dispatch's and http_access's.
#pragma once

#include <array>
#include <boost/json.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "api/http_dispatch.h"
#include "api/json.h"
#include "api/json_fields.h"
#include "api/tokens.h"
#include "api/wire_json.h"

namespace fovea::api {

struct PathCall {
  const HttpService& to;
  const HttpCall& asked;
};

struct Path {
  std::string_view path;
  bool posted;  ///< With a JSON body; otherwise read with GET or HEAD, without one.
  HttpAnswer (*answer)(const PathCall& call);
  Access access = Access::kChanges;
  bool at_once = false;  ///< Needs neither disk nor model.
};

/// 200.
HttpAnswer json_answer(const boost::json::object& object);

/// Throws engine::InvalidRequest, as do the fields' readers.
boost::json::object read_body(const PathCall& call);

template <typename Arguments, std::size_t kCount>
Arguments read_arguments(const PathCall& call, std::string_view what,
                         const std::array<JsonField<Arguments>, kCount>& fields) {
  return read_fields<Arguments>(read_body(call), what,
                                std::span<const JsonField<Arguments>>(fields));
}

/// What a peer sent, in what it is answered: short, and printable.
std::string printable(std::string_view text);

}  // namespace fovea::api
