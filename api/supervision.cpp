#include "api/supervision.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace fovea::api {

Supervision::Supervision(boost::asio::io_context& io, std::vector<Probe> ports,
                         std::function<std::string()> model_version)
    : ports_(std::move(ports)), model_version_(std::move(model_version)), timer_(io) {}

void Supervision::ready() {
  if (!manager_.listens()) return;
  told_version_ = model_version_();
  manager_.tell("READY=1\n" + status(told_version_));
  if (manager_.watchdog()) ask();
  wait();
}

void Supervision::stopping() {
  timer_.cancel();
  manager_.tell("STOPPING=1\nSTATUS=answering what is in flight");
}

void Supervision::wait() {
  constexpr std::chrono::microseconds kLook = std::chrono::seconds{1};
  timer_.expires_after(manager_.watchdog() ? std::clamp(*manager_.watchdog() / 4,
                                                        std::chrono::microseconds{1000}, kLook)
                                           : kLook);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    look();
    wait();
  });
}

void Supervision::look() {
  if (const std::string version = model_version_(); version != told_version_) {
    manager_.tell(status(version));
    told_version_ = version;
  }
  if (manager_.watchdog() && *silent_ == 0) {
    manager_.tell("WATCHDOG=1");
    ask();
  }
}

void Supervision::ask() {
  *silent_ = ports_.size();
  for (const Probe& probe : ports_) {
    probe([silent = silent_] { --*silent; });
  }
}

std::string Supervision::status(const std::string& version) const {
  return version.empty() ? "STATUS=serving without a model" : "STATUS=serving version " + version;
}

}  // namespace fovea::api
