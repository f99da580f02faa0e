// Where a server listens, as people write it.
#include "api/address.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>

namespace fovea::api {

HostPort parse_host_port(std::string_view text) {
  const auto refuse = [&] {
    return std::invalid_argument(
        fmt::format("'{}' is not an address; HOST:PORT is expected, such as 127.0.0.1:7070", text));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) throw refuse();
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    throw refuse();  // IPv6 without brackets: which colon leads the port is a guess
  }
  HostPort address{std::string(host), 0};
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (host.empty() || digits.empty() || error != std::errc() ||
      end != digits.data() + digits.size()) {
    throw refuse();
  }
  return address;
}

std::string to_string(const HostPort& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(ipv6 ? "[{}]:{}" : "{}:{}"), address.host, address.port);
}

}  // namespace fovea::api
