// Tells frames from each other and from what is no frame.
#include "api/framing.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::api {
namespace {

constexpr std::uint8_t kBinaryByte = 0x80;
constexpr std::uint8_t kCompactByte = 0x82;

std::optional<WireProtocol> protocol_of(std::uint8_t first_byte) {
  if (first_byte == kBinaryByte) return WireProtocol::kBinary;
  if (first_byte == kCompactByte) return WireProtocol::kCompact;
  return std::nullopt;
}

}  // namespace

ParsedFrame parse_frame(std::span<const std::uint8_t> bytes, std::size_t frame_bytes_max) {
  // Told from the first byte, so that a client without frames hears of it before it waits for an
  // answer.
  if (!bytes.empty() && protocol_of(bytes[0])) {
    return BadFrame{"the message comes without a frame; use Thrift's framed transport", {}};
  }
  // A frame holds a byte at least, and that byte tells the protocol in which to complain.
  constexpr std::size_t kLeast = kFrameHeaderBytes + 1;
  if (bytes.size() < kFrameHeaderBytes) return NeedMore{kLeast - bytes.size()};
  std::size_t length = 0;
  for (std::size_t i = 0; i < kFrameHeaderBytes; ++i) length = length << 8 | bytes[i];
  if (length == 0) return BadFrame{"the frame is empty; it must hold a message", {}};
  if (bytes.size() < kLeast) return NeedMore{1};

  const auto protocol = protocol_of(bytes[kFrameHeaderBytes]);
  if (!protocol) {
    return BadFrame{
        fmt::format("the payload begins with byte 0x{:02x}; a message of Thrift's binary (0x80) or "
                    "compact protocol (0x82) is expected",
                    bytes[kFrameHeaderBytes]),
        {}};
  }
  if (length > frame_bytes_max) {
    return BadFrame{
        fmt::format("the frame is {} bytes long; at most {} are allowed", length, frame_bytes_max),
        protocol};
  }
  const std::size_t held = bytes.size() - kFrameHeaderBytes;
  if (held < length) return NeedMore{length - held};
  return Frame{*protocol, bytes.subspan(kFrameHeaderBytes, length)};
}

std::array<std::uint8_t, kFrameHeaderBytes> frame_header(std::size_t payload_bytes) {
  return {static_cast<std::uint8_t>(payload_bytes >> 24),
          static_cast<std::uint8_t>(payload_bytes >> 16),
          static_cast<std::uint8_t>(payload_bytes >> 8), static_cast<std::uint8_t>(payload_bytes)};
}

std::span<std::uint8_t> ReceiveBuffer::room(std::size_t missing_bytes) {
  const std::size_t wanted = std::clamp(missing_bytes, kChunkBytesMin, kChunkBytesMax);
  if (begin_ > 0) {
    std::copy(bytes_.begin() + static_cast<std::ptrdiff_t>(begin_),
              bytes_.begin() + static_cast<std::ptrdiff_t>(end_), bytes_.begin());
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == 0 && bytes_.size() > kChunkBytesMax) bytes_ = {};  // a large frame is done with
  if (bytes_.size() < end_ + wanted) bytes_.resize(end_ + wanted);
  return std::span(bytes_).subspan(end_);
}

void ReceiveBuffer::consume(std::size_t bytes) {
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

}  // namespace fovea::api
