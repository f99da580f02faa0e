// Both ports with real sockets: whatever is sent, in pieces of whatever size, each connection ends
// soon after the peer has said all it had to say, and what was answered until then is whole
// messages of the port's protocol. The first byte chooses port and size of the pieces.
#include <arpa/inet.h>
#include <fovea_wire/Fovea.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "api/framing.h"
#include "api/http_server.h"
#include "api/server.h"

using namespace fovea::api;

namespace {

/// Small, so that inputs reach it.
constexpr std::size_t kFrameBytesMax = 1024;

void check(bool holds) {
  if (!holds) std::abort();
}

struct Ports {
  Ports() {
    spdlog::set_level(spdlog::level::off);
    thrift.start();
    http.start();
  }
  static ServerOptions options() {
    ServerOptions options;
    options.port = 0;
    options.threads = 1;
    options.frame_bytes_max = kFrameBytesMax;
    return options;
  }

  FoveaNull service;
  Server thrift{service, options()};
  HttpServer http{service, [] { return std::string("fovea_up 1\n"); }, options()};
};

/// What is answered until the server closes.
std::string converse(std::uint16_t port, std::string_view bytes, std::size_t piece) {
  const int peer = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  check(peer >= 0);
  const int on = 1;
  ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // each piece on its own
  // Closed at once, so that a hundred thousand connections leave no port occupied.
  const linger abort_at_end{1, 0};
  ::setsockopt(peer, SOL_SOCKET, SO_LINGER, &abort_at_end, sizeof abort_at_end);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(::connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  while (!bytes.empty()) {
    const auto sent = ::send(peer, bytes.data(), std::min(piece, bytes.size()), MSG_NOSIGNAL);
    if (sent <= 0) break;  // refused and closed: what it answered is still to be read
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::shutdown(peer, SHUT_WR);
  std::string answered;
  char room[4096];
  for (ssize_t n; (n = ::recv(peer, room, sizeof room, 0)) > 0;) {  // -timeout= is its end
    answered.append(room, static_cast<std::size_t>(n));
  }
  ::close(peer);
  return answered;
}

/// Unframed answers have no header to check.
void check_frames(std::string_view answered) {
  if (answered.empty() || answered.front() != '\0') return;
  while (!answered.empty() && answered.front() == '\0') {
    check(answered.size() > kFrameHeaderBytes);
    std::size_t length = 0;
    for (std::size_t i = 0; i < kFrameHeaderBytes; ++i) {
      length = length << 8 | static_cast<unsigned char>(answered[i]);
    }
    check(answered.size() >= kFrameHeaderBytes + length);
    answered.remove_prefix(kFrameHeaderBytes + length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Ports ports;
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr std::size_t kPieces[] = {1U << 20, 1U << 20, 700, 61};
  const std::size_t piece = kPieces[(data[0] >> 1) % 4];
  if (data[0] & 1) {
    const std::string answered = converse(ports.http.port(), bytes, piece);
    check(answered.empty() || answered.starts_with("HTTP/1."));
  } else {
    check_frames(converse(ports.thrift.port(), bytes, piece));
  }
  return 0;
}
