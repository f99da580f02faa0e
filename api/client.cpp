// Connects, and turns failures into sentences.
#include "api/client.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSSLSocket.h>
#include <thrift/transport/TSocket.h>

#include <mutex>

namespace fovea::api {
namespace {

using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TSocket;
using apache::thrift::transport::TSSLSocketFactory;
using apache::thrift::transport::TTransport;

std::shared_ptr<TSocket> make_socket(const HostPort& address, const TlsFiles& tls) {
  if (tls.ca.empty()) return std::make_shared<TSocket>(address.host, address.port);
  client_context(tls);  // for its sentences: Thrift's do not name the file
  // OpenSSL has needed neither since 1.1, and ending it is not the first client's to do.
  TSSLSocketFactory::setManualOpenSSLInitialization(true);
  TSSLSocketFactory factory;
  factory.authenticate(true);  // the name in the certificate too
  factory.loadTrustedCertificates(tls.ca.c_str());
  if (!tls.certificate.empty()) {
    factory.loadCertificate(tls.certificate.c_str());
    factory.loadPrivateKey(tls.key.c_str());
  }
  return factory.createSocket(address.host, address.port);
}

std::shared_ptr<TTransport> make_transport(const HostPort& address,
                                           std::chrono::milliseconds timeout, const TlsFiles& tls) {
  // Thrift prints what it also throws.
  static std::once_flag quiet;
  std::call_once(quiet, [] {
    apache::thrift::GlobalOutput.setOutputFunction(
        [](const char* text) { spdlog::debug("thrift client: {}", text); });
  });
  auto socket = make_socket(address, tls);
  const int timeout_ms = static_cast<int>(timeout.count());
  socket->setConnTimeout(timeout_ms);
  socket->setRecvTimeout(timeout_ms);
  socket->setSendTimeout(timeout_ms);
  return std::make_shared<TFramedTransport>(socket);
}

}  // namespace

Client::Client(HostPort address, std::chrono::milliseconds timeout, const TlsFiles& tls)
    : address_(std::move(address)),
      transport_(make_transport(address_, timeout, tls)),
      client_(std::make_shared<TBinaryProtocol>(transport_)) {
  try {
    transport_->open();
  } catch (const apache::thrift::TException& error) {
    throw ClientError(fmt::format("no server answers at {}; is `fovea serve` running? ({})",
                                  to_string(address_), error.what()));
  }
}

Client::~Client() = default;

std::string Client::explain(const std::exception& error) const {
  if (const auto* invalid = dynamic_cast<const InvalidRequest*>(&error)) {
    const bool named = invalid->message.find(invalid->field) != std::string::npos;
    return named ? invalid->message : fmt::format("{}: {}", invalid->field, invalid->message);
  }
  if (const auto* overloaded = dynamic_cast<const Overloaded*>(&error)) {
    return fmt::format("{}; try again in {} ms", overloaded->message, overloaded->retry_after_ms);
  }
  if (const auto* unavailable = dynamic_cast<const Unavailable*>(&error)) {
    return unavailable->message;
  }
  if (dynamic_cast<const apache::thrift::TApplicationException*>(&error)) {
    return fmt::format("the server at {} answers: {}", to_string(address_), error.what());
  }
  if (dynamic_cast<const apache::thrift::TException*>(&error)) {
    return fmt::format("the connection to {} failed: {}", to_string(address_), error.what());
  }
  return error.what();
}

}  // namespace fovea::api
