// Messages: every method's arguments in both protocols, their conversion and validation. Whatever
// the bytes, there is an answer that a client can read. The first byte chooses the protocol and
// either a whole message (0) or a method whose arguments the rest is.
#include <thrift/TApplicationException.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "api/dispatch.h"
#include "api/wire.h"
#include "tests/messages.h"

using namespace fovea::api;

namespace {

/// Does with arguments what the handler does before it asks the engine, and refuses what it
/// refuses.
class Validator : public FoveaIf {
 public:
  void rank(RankResponse& response, const RankRequest& request) override {
    refuse_invalid([&] { fovea::engine::validate(from_wire(request)); });
    response.request_id = "valid";
  }
  void rankMany(std::vector<RankResponse>& responses,
                const std::vector<RankRequest>& requests) override {
    for (const auto& request : requests) rank(responses.emplace_back(), request);
  }
  std::int32_t record(const std::vector<Event>& events) override {
    for (const auto& event : events) {
      refuse_invalid([&] { fovea::engine::validate(from_wire(event), "events[0]."); });
    }
    return 0;
  }
  std::int32_t putItems(const std::vector<Item>& items) override {
    for (const auto& item : items) {
      refuse_invalid([&] { fovea::engine::validate(from_wire(item, "items[0]."), "items[0]."); });
    }
    return 0;
  }
  std::int32_t removeItems(const std::vector<std::string>& item_ids) override {
    for (const auto& id : item_ids) check_id(id);
    return 0;
  }
  void getItems(std::vector<Item>& items, const std::vector<std::string>& item_ids) override {
    for (const auto& id : item_ids) {
      check_id(id);
      items.emplace_back().item_id = id;
    }
  }
  void getHistory(std::vector<Event>&, const std::string& user_id, std::int32_t) override {
    check_id(user_id);
  }
  void deleteUser(const std::string& user_id) override { check_id(user_id); }
  void status(Status&) override {}

 private:
  template <typename Call>
  static void refuse_invalid(Call call) {
    try {
      call();
    } catch (const fovea::engine::InvalidRequest& error) {
      throw on_the_wire(error);
    }
  }
  static InvalidRequest on_the_wire(const fovea::engine::InvalidRequest& error) {
    InvalidRequest invalid;
    invalid.field = error.field;
    invalid.message = error.what();
    return invalid;
  }
  static void check_id(const std::string& id) {
    refuse_invalid([&] { fovea::engine::validate_id(id, "id"); });
  }
};

constexpr std::array kNames = {"rank",     "rankMany",   "record",     "putItems", "removeItems",
                               "getItems", "getHistory", "deleteUser", "status"};

std::string header_of(WireProtocol protocol, const char* name) {
  const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  protocol_over(protocol, memory)->writeMessageBegin(name, apache::thrift::protocol::T_CALL, 1);
  return memory->getBufferAsString();
}

void check_readable(WireProtocol protocol, const Reply& reply) {
  const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  memory->write(reinterpret_cast<const std::uint8_t*>(reply.payload.data()),
                static_cast<std::uint32_t>(reply.payload.size()));
  const auto reader = protocol_over(protocol, memory);
  std::string name;
  auto type = apache::thrift::protocol::T_CALL;
  std::int32_t sequence = 0;
  reader->readMessageBegin(name, type, sequence);
  reader->skip(apache::thrift::protocol::T_STRUCT);
  if (memory->available_read() != 0) std::abort();
  const bool failed = type == apache::thrift::protocol::T_EXCEPTION;
  if (failed != reply.fault.has_value() || (!failed && type != apache::thrift::protocol::T_REPLY)) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto protocol = data[0] & 1 ? WireProtocol::kCompact : WireProtocol::kBinary;
  const std::size_t choice = (data[0] >> 1) % (kNames.size() + 1);
  std::string payload = choice == 0 ? "" : header_of(protocol, kNames[choice - 1]);
  payload.append(reinterpret_cast<const char*>(data) + 1, size - 1);

  Validator service;
  const Frame frame{protocol, as_bytes(payload)};
  check_readable(protocol, dispatch(service, frame));
  check_readable(protocol, refuse(Overloaded(), frame));
  return 0;
}
