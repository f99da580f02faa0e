// Where a message ends that comes without a frame: as Thrift's clients for Node, Python and Java
// send them unless told otherwise. Looks at the shape of the bytes only; what they mean is
// dispatch's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "api/wire_protocol.h"

namespace fovea::api {

/// The message's first bytes.
struct MessageEnd {
  std::size_t bytes = 0;
};
/// Cannot be a message, whatever follows.
struct NoMessage {
  std::string reason;  ///< One sentence.
};

/// One message. Goes on where it was when more has arrived, so that every byte costs once, however
/// slowly they come; holds a few bytes for each level of nesting and allocates on no claim.
class MessageScan {
 public:
  MessageScan(WireProtocol protocol, std::size_t bytes_max)
      : protocol_(protocol), bytes_max_(bytes_max) {}

  /// `bytes` begin with the message and are no fewer than before.
  std::variant<MessageEnd, NeedMore, NoMessage> look(std::span<const std::uint8_t> bytes);

 private:
  /// What is to be read next; the innermost last.
  struct Part {
    enum class Kind : std::uint8_t { kHeader, kName, kStruct, kString, kList, kMap, kValues };
    Kind kind = Kind::kStruct;
    // Of kValues: so many are left, of these types in turn.
    std::uint64_t left = 0;
    std::uint8_t type = 0;
    std::uint8_t other_type = 0;
  };

  bool step();  // false: missing_ or fault_ says why
  bool header();
  bool name();
  bool field();
  bool string();
  bool list();
  bool map();
  bool values();
  bool value(std::uint8_t type, bool in_container);

  // Reading; absent: more bytes are needed, and nothing was taken.
  const std::uint8_t* take(std::size_t bytes);
  std::optional<std::uint32_t> number();  // big-endian
  std::optional<std::uint64_t> varint();
  bool skip(std::uint64_t bytes);
  bool fail(std::string reason);
  bool compact() const { return protocol_ == WireProtocol::kCompact; }

  WireProtocol protocol_;
  std::size_t bytes_max_;
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0;  // may lie beyond what has arrived
  std::size_t missing_ = 0;
  std::optional<std::string> fault_;
  std::vector<Part> parts_ = {{.kind = Part::Kind::kHeader}};
};

}  // namespace fovea::api
