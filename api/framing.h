// Bytes in, frames out: Thrift's framed transport. Knows neither sockets nor what a message means.
//
//     4 bytes       payload's length, big-endian
//     the payload   first byte 0x80: binary protocol; 0x82: compact protocol
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace fovea::api {

enum class WireProtocol { kBinary, kCompact };

inline constexpr std::size_t kFrameHeaderBytes = 4;

/// A whole frame lies at the beginning of the bytes.
struct Frame {
  WireProtocol protocol = WireProtocol::kBinary;
  std::span<const std::uint8_t> payload;  ///< Views the bytes given.
};

/// The bytes may become a frame. `bytes` more are missing at least; at most what the frame lacks.
struct NeedMore {
  std::size_t bytes = 0;
};

/// The bytes cannot become a frame, and neither can what follows: nothing tells where it would
/// begin.
struct BadFrame {
  std::string reason;  ///< One sentence.
  /// What the peer would understand an answer in. Absent: it does not speak framed Thrift.
  std::optional<WireProtocol> protocol;
};

using ParsedFrame = std::variant<Frame, NeedMore, BadFrame>;

/// Looks at the beginning of `bytes`. Allocates nothing, whatever length they claim.
ParsedFrame parse_frame(std::span<const std::uint8_t> bytes, std::size_t frame_bytes_max);

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
