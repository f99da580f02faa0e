// Messages as a Thrift client makes and reads them, without a connection: for tests of what lies
// between the bytes and the service.
#pragma once

#include <fovea_wire/Fovea.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "api/framing.h"

namespace fovea::api {

inline std::shared_ptr<apache::thrift::protocol::TProtocol> protocol_over(
    WireProtocol protocol,
    const std::shared_ptr<apache::thrift::transport::TMemoryBuffer>& memory) {
  if (protocol == WireProtocol::kCompact) {
    return std::make_shared<apache::thrift::protocol::TCompactProtocol>(memory);
  }
  return std::make_shared<apache::thrift::protocol::TBinaryProtocol>(memory);
}

/// What `send` sends, such as client.send_status(), as one payload.
inline std::string message(WireProtocol protocol, const std::function<void(FoveaClient&)>& send) {
  const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  FoveaClient client(protocol_over(protocol, memory));
  send(client);
  return memory->getBufferAsString();
}

/// Lets `receive` read a payload, such as client.recv_status(status), which throws what the server
/// answered.
inline void read_message(WireProtocol protocol, const std::string& payload,
                         const std::function<void(FoveaClient&)>& receive) {
  const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  memory->write(reinterpret_cast<const std::uint8_t*>(payload.data()),
                static_cast<std::uint32_t>(payload.size()));
  FoveaClient client(protocol_over(protocol, memory));
  receive(client);
}

inline std::string framed(const std::string& payload) {
  const auto header = frame_header(payload.size());
  return std::string(header.begin(), header.end()) + payload;
}

inline std::span<const std::uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace fovea::api
