#include "api/service_manager.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace fovea::api {
namespace {

/// Absent: not set, or no whole number above 0.
std::optional<std::int64_t> number_of(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const char* end = text + std::strlen(text);
  std::int64_t number = 0;
  const auto [read, error] = std::from_chars(text, end, number);
  if (error != std::errc() || read != end || number <= 0) {
    spdlog::warn("{} is '{}'; a whole number above 0 is expected", variable, text);
    return std::nullopt;
  }
  return number;
}

}  // namespace

ServiceManager::ServiceManager() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return;
  const std::string_view name(path);
  if ((name.front() != '/' && name.front() != '@') || name.size() < 2 ||
      name.size() >= sizeof(address_.sun_path)) {
    spdlog::warn("NOTIFY_SOCKET is '{}'; a path or @name of at most {} bytes is expected", path,
                 sizeof(address_.sun_path) - 1);
    return;
  }
  address_.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address_.sun_path);
  address_bytes_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (name.front() == '@') {
    address_.sun_path[0] = '\0';  // the abstract namespace, where the length is part of the name
  } else {
    ++address_bytes_;
  }
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) {
    spdlog::warn("the service manager is told nothing: {}", std::strerror(errno));
    return;
  }
  const timeval patience{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));

  const auto period = number_of("WATCHDOG_USEC");
  // The variables of a parent whose watchdog this process is not.
  const auto meant = std::getenv("WATCHDOG_PID") ? number_of("WATCHDOG_PID") : ::getpid();
  if (period && meant == ::getpid()) watchdog_ = std::chrono::microseconds{*period};
}

ServiceManager::~ServiceManager() {
  if (socket_ >= 0) ::close(socket_);
}

void ServiceManager::tell(std::string_view lines) {
  if (socket_ < 0) return;
  const auto sent = ::sendto(socket_, lines.data(), lines.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address_), address_bytes_);
  if (sent < 0 && !in_vain_) {
    spdlog::warn("the service manager was not told '{}': {}", lines.substr(0, lines.find('\n')),
                 std::strerror(errno));
  }
  in_vain_ = sent < 0;
}

}  // namespace fovea::api
