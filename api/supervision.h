// What a service manager is told while a server serves: that it is ready, which model ranks, that
// it still answers, that it ends. Owns when; the datagrams are service_manager's. Only sources
// include this: Boost.Asio stays out of other headers.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/service_manager.h"

namespace fovea::api {

/// Every call from the thread that runs `io`.
class Supervision {
 public:
  /// Has the port answer by its network thread and one of its workers, as Server::probe().
  using Probe = std::function<void(std::function<void()> answered)>;

  /// What the probes and `model_version` work with must outlive `io`'s running. `model_version` may
  /// be empty: none yet.
  Supervision(boost::asio::io_context& io, std::vector<Probe> ports,
              std::function<std::string()> model_version);

  /// Tells READY=1 once the ports listen. Where somebody listens, then goes on within `io`: a new
  /// model version within a second, and WATCHDOG=1 four times in the period that the manager gave,
  /// each time only if every port has answered since the time before. A server that hangs goes
  /// silent, and is restarted.
  void ready();
  void stopping();  ///< Tells STOPPING=1.

 private:
  void wait();
  void look();
  void ask();
  std::string status(const std::string& version) const;

  ServiceManager manager_;
  const std::vector<Probe> ports_;
  const std::function<std::string()> model_version_;
  boost::asio::steady_timer timer_;
  /// Ports that have not answered yet; shared with answers that may come late.
  const std::shared_ptr<std::atomic<std::size_t>> silent_ =
      std::make_shared<std::atomic<std::size_t>>(0);
  std::string told_version_;
};

}  // namespace fovea::api
