// One table of methods. Thrift 0.17 allocates whatever a list or string claims to hold, so that
// every read here has limits.
#include "api/dispatch.h"

#include <fmt/format.h>
#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <algorithm>
#include <array>
#include <new>

#include "api/tokens.h"

namespace fovea::api {
namespace {

namespace protocol = apache::thrift::protocol;
using apache::thrift::TApplicationException;
using apache::thrift::TConfiguration;
using apache::thrift::TException;
using apache::thrift::transport::TMemoryBuffer;
using apache::thrift::transport::TTransportException;

/// The contract nests seven deep (rankMany's arguments down to a value's texts); what is unknown
/// may nest some more.
constexpr int kNestingMax = 16;

/// Elements of one container. A struct is allocated for each before it is read, so that this bounds
/// what a claim can cost to some megabytes. Above the engine's longest list, whose refusal names
/// the field.
constexpr std::size_t kContainerMax = 16'384;

/// Of a name that is no method's, in what is answered and logged.
constexpr std::size_t kNameBytesMax = 64;

std::string printable(std::string_view name) {
  std::string result(name.substr(0, kNameBytesMax));
  std::replace_if(result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

std::unique_ptr<protocol::TProtocol> make_reader(const Frame& frame) {
  const auto bytes = static_cast<int>(frame.payload.size());
  // The memory is only read; Thrift's interface has no const.
  const auto memory = std::make_shared<TMemoryBuffer>(
      const_cast<std::uint8_t*>(frame.payload.data()), static_cast<std::uint32_t>(bytes),
      TMemoryBuffer::OBSERVE, std::make_shared<TConfiguration>(bytes, bytes, kNestingMax));
  const int elements = static_cast<int>(std::min(frame.payload.size(), kContainerMax));
  if (frame.protocol == WireProtocol::kCompact) {
    return std::make_unique<protocol::TCompactProtocolT<TMemoryBuffer>>(memory, bytes, elements);
  }
  return std::make_unique<protocol::TBinaryProtocolT<TMemoryBuffer>>(memory, bytes, elements, true,
                                                                     true);
}

std::unique_ptr<protocol::TProtocol> make_writer(WireProtocol wire,
                                                 const std::shared_ptr<TMemoryBuffer>& memory) {
  if (wire == WireProtocol::kCompact) {
    return std::make_unique<protocol::TCompactProtocolT<TMemoryBuffer>>(memory);
  }
  return std::make_unique<protocol::TBinaryProtocolT<TMemoryBuffer>>(memory);
}

struct MessageHeader {
  std::string name;
  protocol::TMessageType type = protocol::T_CALL;
  std::int32_t sequence = 0;
};

template <typename Body>
std::string write_message(WireProtocol wire, const std::string& name, protocol::TMessageType type,
                          std::int32_t sequence, const Body& body, std::size_t bytes_max) {
  const auto memory = std::make_shared<TMemoryBuffer>();
  memory->setMaxBufferSize(static_cast<std::uint32_t>(bytes_max));
  const auto writer = make_writer(wire, memory);
  writer->writeMessageBegin(name, type, sequence);
  body.write(writer.get());
  writer->writeMessageEnd();
  return memory->getBufferAsString();
}

/// A message without arguments is no longer, so that others need not be looked at twice.
constexpr std::size_t kBareMessageBytesMax = 32;

/// An error's message and name are short; this leaves room for both.
constexpr std::size_t kErrorBytesMax = 65'536;

std::string write_error(WireProtocol wire, const std::string& name, std::int32_t sequence,
                        TApplicationException::TApplicationExceptionType type,
                        const std::string& message) {
  return write_message(wire, name, protocol::T_EXCEPTION, sequence,
                       TApplicationException(type, message), kErrorBytesMax);
}

/// The arguments could not be read.
struct MalformedArguments : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a method works with: either answers, or fails with `overloaded`.
struct Call {
  FoveaIf* service;  // null: overloaded
  const Overloaded* overloaded;
  bool allowed;  // false: refused
  protocol::TProtocol& reader;
  WireProtocol wire;
  const MessageHeader& header;
  std::size_t reply_bytes_max;
};

/// How many bytes of the message were not read.
std::uint32_t left_over(protocol::TProtocol& reader) {
  return dynamic_cast<TMemoryBuffer&>(*reader.getTransport()).available_read();
}

template <typename Arguments>
Arguments read_arguments(protocol::TProtocol& reader) {
  Arguments arguments;
  try {
    arguments.read(&reader);
  } catch (const TTransportException&) {
    throw MalformedArguments("they end early, or claim to be longer than their frame");
  } catch (const protocol::TProtocolException& error) {
    using Error = protocol::TProtocolException;
    switch (error.getType()) {
      case Error::INVALID_DATA:
        throw MalformedArguments("a required field is missing, or a type is unknown");
      case Error::SIZE_LIMIT:
        throw MalformedArguments(fmt::format(
            "a list or map claims more entries than its frame can hold or more than {}, or a text "
            "more bytes than its frame",
            kContainerMax));
      case Error::NEGATIVE_SIZE:
        throw MalformedArguments("a length is negative");
      case Error::DEPTH_LIMIT:
        throw MalformedArguments(fmt::format("they nest more than {} deep", kNestingMax));
      default:
        throw MalformedArguments(error.what());
    }
  } catch (const std::length_error&) {
    throw MalformedArguments("a length is too large");
  }
  if (const auto bytes = left_over(reader); bytes > 0) {
    throw MalformedArguments(fmt::format("{} bytes follow them in the frame", bytes));
  }
  return arguments;
}

InvalidRequest needs_certificate(const std::string& method) {
  InvalidRequest invalid;
  invalid.field = "certificate";
  invalid.message = fmt::format(
      "{} changes the store, which this server allows over Thrift only to clients with a "
      "certificate (`fovea serve --tls-client-ca`); over HTTP it takes a token",
      method);
  return invalid;
}

/// Reads the arguments, has `invoke(service, arguments, result)` answer, writes the result or the
/// error that the contract declares.
template <typename Arguments, typename Result, typename Invoke>
std::string answer(const Call& call, Invoke invoke) {
  Result result;
  try {
    if (call.service == nullptr) throw Overloaded(*call.overloaded);
    if (!call.allowed) throw needs_certificate(call.header.name);
    const auto arguments = read_arguments<Arguments>(call.reader);
    invoke(*call.service, arguments, result);
  } catch (const InvalidRequest& error) {
    if constexpr (requires { result.invalid; }) {
      result.invalid = error;
      result.__isset.invalid = true;
    } else {
      throw;
    }
  } catch (const Overloaded& error) {
    if constexpr (requires { result.overloaded; }) {
      result.overloaded = error;
      result.__isset.overloaded = true;
    } else if constexpr (requires { result.unavailable; }) {
      result.unavailable.message = error.message;
      result.__isset.unavailable = true;
    } else {
      throw;
    }
  } catch (const Unavailable& error) {
    if constexpr (requires { result.unavailable; }) {
      result.unavailable = error;
      result.__isset.unavailable = true;
    } else {
      throw;
    }
  }
  return write_message(call.wire, call.header.name, protocol::T_REPLY, call.header.sequence, result,
                       call.reply_bytes_max);
}

InvalidRequest missing(const char* field) {
  InvalidRequest invalid;
  invalid.field = field;
  invalid.message = fmt::format("{} is missing", field);
  return invalid;
}

/// A method's whole argument left out is the caller's mistake like any other.
void require(bool set, const char* field) {
  if (!set) throw missing(field);
}

struct Method {
  std::string_view name;
  std::string (*answer)(const Call& call);
  Access access = Access::kChanges;
  bool from_memory = false;
};

constexpr std::array kMethods = {
    Method{"rank",
           [](const Call& call) {
             return answer<Fovea_rank_args, Fovea_rank_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.request, "request");
                   service.rank(result.success, arguments.request);
                   result.__isset.success = true;
                 });
           },
           Access::kReads},
    Method{"rankMany",
           [](const Call& call) {
             return answer<Fovea_rankMany_args, Fovea_rankMany_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.requests, "requests");
                   service.rankMany(result.success, arguments.requests);
                   result.__isset.success = true;
                 });
           },
           Access::kReads},
    Method{"record",
           [](const Call& call) {
             return answer<Fovea_record_args, Fovea_record_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.events, "events");
                   result.success = service.record(arguments.events);
                   result.__isset.success = true;
                 });
           }},
    Method{"putItems",
           [](const Call& call) {
             return answer<Fovea_putItems_args, Fovea_putItems_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.items, "items");
                   result.success = service.putItems(arguments.items);
                   result.__isset.success = true;
                 });
           }},
    Method{"removeItems",
           [](const Call& call) {
             return answer<Fovea_removeItems_args, Fovea_removeItems_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.item_ids, "item_ids");
                   result.success = service.removeItems(arguments.item_ids);
                   result.__isset.success = true;
                 });
           }},
    Method{"getItems",
           [](const Call& call) {
             return answer<Fovea_getItems_args, Fovea_getItems_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.item_ids, "item_ids");
                   service.getItems(result.success, arguments.item_ids);
                   result.__isset.success = true;
                 });
           },
           Access::kReads},
    Method{"getHistory",
           [](const Call& call) {
             return answer<Fovea_getHistory_args, Fovea_getHistory_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto& result) {
                   require(arguments.__isset.user_id, "user_id");
                   require(arguments.__isset.limit, "limit");
                   service.getHistory(result.success, arguments.user_id, arguments.limit);
                   result.__isset.success = true;
                 });
           },
           Access::kReads},
    Method{"deleteUser",
           [](const Call& call) {
             return answer<Fovea_deleteUser_args, Fovea_deleteUser_result>(
                 call, [](FoveaIf& service, const auto& arguments, auto&) {
                   require(arguments.__isset.user_id, "user_id");
                   service.deleteUser(arguments.user_id);
                 });
           }},
    Method{.name = "status",
           .answer =
               [](const Call& call) {
                 return answer<Fovea_status_args, Fovea_status_result>(
                     call, [](FoveaIf& service, const auto&, auto& result) {
                       service.status(result.success);
                       result.__isset.success = true;
                     });
               },
           .access = Access::kReads,
           .from_memory = true},
};

const Method* find_method(std::string_view name) {
  const auto found = std::find_if(kMethods.begin(), kMethods.end(),
                                  [&](const Method& method) { return method.name == name; });
  return found == kMethods.end() ? nullptr : &*found;
}

Reply fail(WireProtocol wire, const MessageHeader& header,
           TApplicationException::TApplicationExceptionType type, std::string message, bool close) {
  Reply reply;
  reply.payload = write_error(wire, printable(header.name), header.sequence, type, message);
  reply.close = close;
  reply.fault = std::move(message);
  return reply;
}

Reply answer_message(FoveaIf* service, const Overloaded* overloaded, const Frame& frame,
                     const DispatchOptions& options) {
  const auto reader = make_reader(frame);
  MessageHeader header;
  try {
    reader->readMessageBegin(header.name, header.type, header.sequence);
  } catch (const TException& error) {
    return fail(frame.protocol, MessageHeader(), TApplicationException::PROTOCOL_ERROR,
                fmt::format("the message's header cannot be read: {}", error.what()), true);
  }
  if (header.type != protocol::T_CALL) {
    return fail(frame.protocol, header, TApplicationException::INVALID_MESSAGE_TYPE,
                fmt::format("the message is of type {}; a call ({}) is expected",
                            static_cast<int>(header.type), static_cast<int>(protocol::T_CALL)),
                true);
  }
  const Method* method = find_method(header.name);
  if (method == nullptr) {
    return fail(frame.protocol, header, TApplicationException::UNKNOWN_METHOD,
                fmt::format("there is no method '{}'", printable(header.name)), false);
  }

  Reply reply;
  const std::size_t reply_bytes_max = options.reply_bytes_max;
  const bool allowed = options.may_change || method->access == Access::kReads;
  try {
    reply.payload = method->answer(
        {service, overloaded, allowed, *reader, frame.protocol, header, reply_bytes_max});
  } catch (const MalformedArguments& error) {
    reply = fail(frame.protocol, header, TApplicationException::PROTOCOL_ERROR,
                 fmt::format("the arguments of {} cannot be read: {}", method->name, error.what()),
                 true);
  } catch (const Overloaded& error) {
    reply =
        fail(frame.protocol, header, TApplicationException::INTERNAL_ERROR, error.message, false);
  } catch (const TTransportException&) {  // only the answer is written behind read_arguments
    reply = fail(
        frame.protocol, header, TApplicationException::INTERNAL_ERROR,
        fmt::format("the answer is longer than {} bytes; ask for less at once", reply_bytes_max),
        false);
  } catch (const std::bad_alloc&) {
    reply = fail(frame.protocol, header, TApplicationException::INTERNAL_ERROR,
                 fmt::format("there is not enough memory to answer {}", method->name), false);
  } catch (const std::exception& error) {
    reply = fail(frame.protocol, header, TApplicationException::INTERNAL_ERROR,
                 fmt::format("{} failed; the server's log says why", method->name), false);
    reply.fault = fmt::format("{} failed: {}", method->name, error.what());
  }
  reply.method = method->name;
  return reply;
}

}  // namespace

Reply dispatch(FoveaIf& service, const Frame& frame, const DispatchOptions& options) {
  return answer_message(&service, nullptr, frame, options);
}

bool answered_from_memory(const Frame& frame) {
  if (frame.payload.size() > kBareMessageBytesMax) return false;
  try {
    MessageHeader header;
    make_reader(frame)->readMessageBegin(header.name, header.type, header.sequence);
    const Method* method = find_method(header.name);
    return method != nullptr && method->from_memory;
  } catch (const TException&) {
    return false;  // a worker finds out why
  }
}

Reply refuse(const Overloaded& overloaded, const Frame& frame) {
  return answer_message(nullptr, &overloaded, frame, {.reply_bytes_max = kErrorBytesMax});
}

std::string protocol_error(WireProtocol protocol, const std::string& reason) {
  return write_error(protocol, "", 0, TApplicationException::PROTOCOL_ERROR, reason);
}

}  // namespace fovea::api
