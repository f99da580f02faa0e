// A blocking client over one connection, for `ask`, the demo and tests: Thrift's own socket, framed
// transport and binary protocol.
#pragma once

#include <fovea_wire/Fovea.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "api/address.h"
#include "api/tls.h"

namespace fovea::api {

/// Nobody answers, or not what was expected; what() is a sentence that names the address.
struct ClientError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Not thread-safe. Calls throw what the contract declares (InvalidRequest, Overloaded,
/// Unavailable) and apache::thrift::TException where the connection or the server fails; explain()
/// makes a sentence of any of them.
class Client {
 public:
  /// Connects, with TLS where `tls` names whom the server's certificate must be signed by; throws
  /// ClientError, and std::runtime_error for a file that cannot be used.
  explicit Client(HostPort address,
                  std::chrono::milliseconds timeout = std::chrono::milliseconds{30'000},
                  const TlsFiles& tls = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  FoveaClient* operator->() { return &client_; }

  /// One sentence for people about what a call threw.
  std::string explain(const std::exception& error) const;

 private:
  HostPort address_;
  std::shared_ptr<apache::thrift::transport::TTransport> transport_;
  FoveaClient client_;
};

}  // namespace fovea::api
