// The datagrams that systemd takes from a service of Type=notify (sd_notify(3)). Owns the socket
// and what the environment says of it; what is told, and when, is supervision's.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <optional>
#include <string_view>

namespace fovea::api {

/// Not thread-safe.
class ServiceManager {
 public:
  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without the first nobody listens, and
  /// nothing is told; one that is no address is logged.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  bool listens() const { return socket_ >= 0; }
  /// Within which it wants to hear from this process again and again; absent: it does not.
  std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }

  /// Sends one datagram of lines such as "READY=1"; waits at most a second. One that cannot be sent
  /// is lost, and the first of several in a row is logged.
  void tell(std::string_view lines);

 private:
  int socket_ = -1;
  sockaddr_un address_{};
  socklen_t address_bytes_ = 0;
  std::optional<std::chrono::microseconds> watchdog_;
  bool in_vain_ = false;
};

}  // namespace fovea::api
