// HOST:PORT, as flags and messages write it. Resolves nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::api {

/// A name, an IPv4 address or an IPv6 address, and a port.
struct HostPort {
  std::string host;  ///< Without brackets.
  std::uint16_t port = 0;
};

/// Reads HOST:PORT or [IPv6]:PORT. Throws std::invalid_argument with a sentence.
HostPort parse_host_port(std::string_view text);
std::string to_string(const HostPort& address);

}  // namespace fovea::api
