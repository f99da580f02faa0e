// Who answers a load: a server behind sockets, or a service called in this process. Both take so
// many calls at once and tell when each is answered.
#pragma once

#include <fovea_wire/Fovea.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "api/address.h"
#include "api/tls.h"
#include "api/workload.h"

namespace fovea::api {

enum class Outcome {
  kAnswered,
  kOverloaded,
  kInvalid,      ///< InvalidRequest.
  kUnavailable,  ///< Unavailable.
  kFault,        ///< A fault of the server, or an answer that cannot be read.
  kLost,         ///< The connection ended, or none could be made.
  kUnanswered,   ///< Still waiting when the load ended.
};
inline constexpr std::size_t kOutcomes = 7;
const char* name(Outcome outcome);

struct Answer {
  Outcome outcome = Outcome::kAnswered;
  bool degraded = false;  ///< A list of it was cut short.
  std::string message;    ///< One sentence, unless answered.
  std::chrono::steady_clock::time_point at;
};

/// Everything on the thread that runs io().
class Target {
 public:
  virtual ~Target() = default;

  boost::asio::io_context& io() { return io_; }
  virtual std::size_t slots() const = 0;  ///< Calls at once.
  /// Begins a call in a slot that has none and returns; `done` is called from io().
  virtual void begin(std::size_t slot, Call call, std::function<void(Answer)> done) = 0;
  /// Ends what has begun where that can be done; `done` is still called.
  virtual void abandon() = 0;

 private:
  boost::asio::io_context io_{1};
};

/// Framed binary messages over so many connections, encrypted where `tls` has a CA. Throws
/// std::runtime_error with a sentence when nobody answers there. A connection that ended is made
/// again by the next call in its slot.
std::unique_ptr<Target> connect_target(const HostPort& address, std::size_t connections,
                                       const TlsFiles& tls = {});

/// Calls the service from so many threads. It must outlive the target, and cannot be made to end a
/// call: abandon() waits.
std::unique_ptr<Target> call_target(FoveaIf& service, std::size_t threads);

}  // namespace fovea::api
