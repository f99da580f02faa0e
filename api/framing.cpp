// Tells frames from each other and from what is no frame.
#include "api/framing.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea::api {
ParsedFrame FrameReader::next(std::span<const std::uint8_t> bytes) {
  const auto protocol = bytes.empty() ? std::nullopt : protocol_of(bytes[0]);
  if (!protocol) return next_framed(bytes);
  if (!unframed_) unframed_.emplace(*protocol, frame_bytes_max_);
  const auto looked = unframed_->look(bytes);
  if (const auto* need = std::get_if<NeedMore>(&looked)) return *need;
  unframed_.reset();
  if (const auto* no = std::get_if<NoMessage>(&looked)) {
    return BadFrame{fmt::format("a message without a frame cannot be read: {}", no->reason),
                    protocol, false};
  }
  return Frame{*protocol, bytes.first(std::get<MessageEnd>(looked).bytes), false};
}

ParsedFrame FrameReader::next_framed(std::span<const std::uint8_t> bytes) const {
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
  if (length > frame_bytes_max_) {
    return BadFrame{
        fmt::format("the frame is {} bytes long; at most {} are allowed", length, frame_bytes_max_),
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
