// Bytes in, messages out, with frames and without. Knows neither sockets nor what a message means.
//
//     4 bytes       payload's length, big-endian; below 2^31, so that its first byte tells it from
//     the payload   a message: 0x80 of the binary, 0x82 of the compact protocol
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "api/message_scan.h"
#include "api/wire_protocol.h"

namespace fovea::api {

inline constexpr std::size_t kFrameHeaderBytes = 4;

/// A whole message lies at the beginning of the bytes.
struct Frame {
  WireProtocol protocol = WireProtocol::kBinary;
  std::span<const std::uint8_t> payload;  ///< The message; views the bytes given.
  bool framed = true;                     ///< Behind a header, and so is its answer.

  std::size_t bytes() const { return payload.size() + (framed ? kFrameHeaderBytes : 0); }
};

/// The bytes cannot become a message, and neither can what follows: nothing tells where it would
/// begin.
struct BadFrame {
  std::string reason;  ///< One sentence.
  /// What the peer would understand an answer in. Absent: it does not speak Thrift.
  std::optional<WireProtocol> protocol;
  bool framed = true;
};

using ParsedFrame = std::variant<Frame, NeedMore, BadFrame>;

/// Tells the messages of one connection from each other. Allocates nothing to speak of, whatever
/// length the bytes claim. Not thread-safe.
class FrameReader {
 public:
  explicit FrameReader(std::size_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {}

  /// Looks at what has arrived and was not given as a frame yet: no fewer bytes than before, or
  /// those behind the frame that was given last.
  ParsedFrame next(std::span<const std::uint8_t> bytes);

 private:
  ParsedFrame next_framed(std::span<const std::uint8_t> bytes) const;

  std::size_t frame_bytes_max_;
  std::optional<MessageScan> unframed_;  // of a message that has not arrived whole
};

/// The header of a frame; `payload_bytes` is below 2^31.
std::array<std::uint8_t, kFrameHeaderBytes> frame_header(std::size_t payload_bytes);

/// What was received and not used up yet. Memory follows what arrived, never what was claimed, and
/// is given back after a large frame. Not thread-safe.
class ReceiveBuffer {
 public:
  std::span<const std::uint8_t> data() const {
    return std::span(bytes_).subspan(begin_, end_ - begin_);
  }
  /// Room to receive into: as much as is missing, within kChunkBytesMin and kChunkBytesMax.
  /// Invalidates data().
  std::span<std::uint8_t> room(std::size_t missing_bytes);
  void received(std::size_t bytes) { end_ += bytes; }  ///< Of the room given last.
  void consume(std::size_t bytes);                     ///< From the beginning of data().

  std::size_t capacity() const { return bytes_.size(); }

  static constexpr std::size_t kChunkBytesMin = std::size_t{4} << 10;
  static constexpr std::size_t kChunkBytesMax = std::size_t{64} << 10;

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace fovea::api
