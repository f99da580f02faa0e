// A message in, a message out: reads the message's header, looks the method up, has it answered and
// writes the result. Owns what malformed bytes and failing methods are answered with; knows no
// socket and no engine.
#pragma once

#include <fovea_wire/Fovea.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "api/framing.h"

namespace fovea::api {

struct DispatchOptions {
  /// Longest answer; beyond, an error is answered in its place. The default is the longest frame
  /// that Thrift's clients take unless told otherwise.
  std::size_t reply_bytes_max = 16'384'000;
  /// False: what changes the store is answered with InvalidRequest, its arguments unread.
  bool may_change = true;
};

struct Reply {
  std::string payload;      ///< A message, to be framed.
  bool close = false;       ///< What the peer sends cannot be trusted any more.
  std::string_view method;  ///< One of the contract's; empty when it is none.
  std::optional<std::string>
      fault;  ///< Why it was answered with a TApplicationException, for the log.
};

/// Answers one message. Never throws because of what the bytes say or the method does; at most
/// std::bad_alloc when there is no memory to say so. Thread-safe when `service` is.
Reply dispatch(FoveaIf& service, const Frame& frame, const DispatchOptions& options = {});

/// Whether the method reads neither disk nor model, so that to hand it to a worker would take
/// longer than to answer it. False for what cannot be read.
bool answered_from_memory(const Frame& frame);

/// Answers one message with Overloaded (or Unavailable, for methods that do not declare it) without
/// reading its arguments.
Reply refuse(const Overloaded& overloaded, const Frame& frame);

/// What a frame that cannot be read is answered with; it has no message to name.
std::string protocol_error(WireProtocol protocol, const std::string& reason);

}  // namespace fovea::api
