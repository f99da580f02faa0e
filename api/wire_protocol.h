// The protocols in which Thrift writes messages, told apart by a message's first byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace fovea::api {

enum class WireProtocol { kBinary, kCompact };

inline constexpr std::uint8_t kBinaryByte = 0x80;
inline constexpr std::uint8_t kCompactByte = 0x82;

inline std::optional<WireProtocol> protocol_of(std::uint8_t first_byte) {
  if (first_byte == kBinaryByte) return WireProtocol::kBinary;
  if (first_byte == kCompactByte) return WireProtocol::kCompact;
  return std::nullopt;
}

/// The bytes may become what is looked for. `bytes` more are missing at least; at most what it
/// lacks.
struct NeedMore {
  std::size_t bytes = 0;
};

}  // namespace fovea::api
