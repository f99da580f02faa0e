// Dispatch: every method is found in both protocols, and whatever the bytes say there is an answer.
#include "api/dispatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thrift/TApplicationException.h>

#include <new>
#include <stdexcept>

#include "tests/messages.h"

namespace fovea::api {
namespace {

using apache::thrift::TApplicationException;
using testing::ElementsAre;
using testing::HasSubstr;

/// Answers with what it was given, so that both ways through the bytes can be seen.
class Echo : public FoveaIf {
 public:
  void rank(RankResponse& response, const RankRequest& request) override {
    if (fail) fail();
    response.request_id = request.user_id;
    for (const auto& item_id : request.candidates) response.items.emplace_back().item_id = item_id;
  }
  void rankMany(std::vector<RankResponse>& responses,
                const std::vector<RankRequest>& requests) override {
    for (const auto& request : requests) rank(responses.emplace_back(), request);
  }
  std::int32_t record(const std::vector<Event>& events) override {
    return static_cast<std::int32_t>(events.size());
  }
  std::int32_t putItems(const std::vector<Item>& items) override {
    return static_cast<std::int32_t>(items.size());
  }
  std::int32_t removeItems(const std::vector<std::string>& item_ids) override {
    return static_cast<std::int32_t>(item_ids.size());
  }
  void getItems(std::vector<Item>& items, const std::vector<std::string>& item_ids) override {
    if (fail) fail();
    for (const auto& item_id : item_ids) items.emplace_back().item_id = item_id;
  }
  void getHistory(std::vector<Event>& events, const std::string& user_id,
                  std::int32_t limit) override {
    for (std::int32_t i = 0; i < limit; ++i) events.emplace_back().user_id = user_id;
  }
  void deleteUser(const std::string& user_id) override { deleted = user_id; }
  void status(Status& status) override {
    if (fail) fail();
    status.version = "echo";
  }

  std::string deleted;
  std::function<void()> fail;
};

class Dispatch : public testing::TestWithParam<WireProtocol> {
 protected:
  Reply answer(const std::string& payload, DispatchOptions options = {}) {
    return dispatch(echo, Frame{GetParam(), as_bytes(payload)}, options);
  }
  std::string sent(const std::function<void(FoveaClient&)>& send) {
    return message(GetParam(), send);
  }
  void read(const Reply& reply, const std::function<void(FoveaClient&)>& receive) {
    read_message(GetParam(), reply.payload, receive);
  }
  /// What the reply says that is no result of the method.
  TApplicationException exception(const Reply& reply) {
    try {
      read(reply, [](FoveaClient& client) {
        Status status;
        client.recv_status(status);
      });
    } catch (const TApplicationException& error) {
      return error;
    }
    ADD_FAILURE() << "a result, not an exception";
    return {};
  }
  /// `send` as the method `name`, with whatever follows the header.
  std::string message_of(const std::string& name, apache::thrift::protocol::TMessageType type,
                         const std::function<void(apache::thrift::protocol::TProtocol&)>& body) {
    const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
    const auto writer = protocol_over(GetParam(), memory);
    writer->writeMessageBegin(name, type, 7);
    body(*writer);
    writer->writeMessageEnd();
    return memory->getBufferAsString();
  }

  Echo echo;
};

INSTANTIATE_TEST_SUITE_P(Protocols, Dispatch,
                         testing::Values(WireProtocol::kBinary, WireProtocol::kCompact),
                         [](const auto& instance) {
                           return instance.param == WireProtocol::kBinary ? "Binary" : "Compact";
                         });

RankRequest request_of(const std::string& user_id) {
  RankRequest request;
  request.__set_user_id(user_id);
  request.__set_candidates({"a", "b"});
  return request;
}

Event event_of(const std::string& item_id) {
  Event event;
  event.user_id = "u";
  event.item_id = item_id;
  event.action = "view";
  return event;
}

TEST_P(Dispatch, RankIsAnswered) {
  const auto reply = answer(sent([](auto& client) { client.send_rank(request_of("ann")); }));
  EXPECT_FALSE(reply.close);
  EXPECT_FALSE(reply.fault);
  EXPECT_EQ(reply.method, "rank");
  RankResponse response;
  read(reply, [&](auto& client) { client.recv_rank(response); });
  EXPECT_EQ(response.request_id, "ann");
  ASSERT_EQ(response.items.size(), 2U);
  EXPECT_EQ(response.items[1].item_id, "b");
}

TEST_P(Dispatch, RankManyIsAnsweredInOrder) {
  std::vector<RankResponse> responses;
  read(answer(sent(
           [](auto& client) { client.send_rankMany({request_of("ann"), request_of("bob")}); })),
       [&](auto& client) { client.recv_rankMany(responses); });
  ASSERT_EQ(responses.size(), 2U);
  EXPECT_EQ(responses[0].request_id, "ann");
  EXPECT_EQ(responses[1].request_id, "bob");
}

TEST_P(Dispatch, WritesAreAnswered) {
  read(answer(sent([](auto& client) { client.send_record({event_of("a"), event_of("b")}); })),
       [](auto& client) { EXPECT_EQ(client.recv_record(), 2); });
  read(answer(sent([](auto& client) { client.send_putItems(std::vector<Item>(3)); })),
       [](auto& client) { EXPECT_EQ(client.recv_putItems(), 3); });
  read(answer(sent([](auto& client) { client.send_removeItems({"a"}); })),
       [](auto& client) { EXPECT_EQ(client.recv_removeItems(), 1); });
  read(answer(sent([](auto& client) { client.send_deleteUser("ann"); })),
       [](auto& client) { client.recv_deleteUser(); });
  EXPECT_EQ(echo.deleted, "ann");
}

TEST_P(Dispatch, ReadsAreAnswered) {
  std::vector<Item> items;
  read(answer(sent([](auto& client) { client.send_getItems({"a", "b"}); })),
       [&](auto& client) { client.recv_getItems(items); });
  EXPECT_EQ(items.size(), 2U);
  std::vector<Event> events;
  read(answer(sent([](auto& client) { client.send_getHistory("ann", 4); })),
       [&](auto& client) { client.recv_getHistory(events); });
  EXPECT_EQ(events.size(), 4U);
  Status status;
  read(answer(sent([](auto& client) { client.send_status(); })),
       [&](auto& client) { client.recv_status(status); });
  EXPECT_EQ(status.version, "echo");
}

TEST_P(Dispatch, DeclaredExceptionsArriveAsThemselves) {
  echo.fail = [] {
    InvalidRequest invalid;
    invalid.field = "limit";
    invalid.message = "limit is 0";
    throw invalid;
  };
  const auto reply = answer(sent([](auto& client) { client.send_rank(request_of("ann")); }));
  EXPECT_FALSE(reply.fault);
  try {
    RankResponse response;
    read(reply, [&](auto& client) { client.recv_rank(response); });
    FAIL() << "nothing was thrown";
  } catch (const InvalidRequest& invalid) {
    EXPECT_EQ(invalid.field, "limit");
  }
}

TEST_P(Dispatch, WhatAMethodThrowsBesidesIsAnInternalErrorThatStaysInTheLog) {
  echo.fail = [] { throw std::runtime_error("the secret of the machine"); };
  const auto reply = answer(sent([](auto& client) { client.send_status(); }));
  EXPECT_FALSE(reply.close);
  EXPECT_THAT(*reply.fault, HasSubstr("the secret of the machine"));
  const auto error = exception(reply);
  EXPECT_EQ(error.getType(), TApplicationException::INTERNAL_ERROR);
  EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
}

TEST_P(Dispatch, MemoryThatRunsOutIsAnInternalError) {
  echo.fail = [] { throw std::bad_alloc(); };
  const auto error = exception(answer(sent([](auto& client) { client.send_status(); })));
  EXPECT_EQ(error.getType(), TApplicationException::INTERNAL_ERROR);
  EXPECT_THAT(error.what(), HasSubstr("memory"));
}

TEST_P(Dispatch, OverloadIsAnsweredAsEachMethodDeclaresIt) {
  Overloaded overloaded;
  overloaded.message = "too much";
  overloaded.retry_after_ms = 20;
  const auto refused = [&](const std::function<void(FoveaClient&)>& send) {
    const std::string payload = sent(send);
    return refuse(overloaded, Frame{GetParam(), as_bytes(payload)});
  };
  RankResponse response;
  std::vector<Item> items;
  EXPECT_THROW(read(refused([](auto& client) { client.send_rank(request_of("ann")); }),
                    [&](auto& client) { client.recv_rank(response); }),
               Overloaded);
  EXPECT_THROW(read(refused([](auto& client) { client.send_record({}); }),
                    [&](auto& client) { client.recv_record(); }),
               Overloaded);
  EXPECT_THROW(read(refused([](auto& client) { client.send_getItems({"a"}); }),
                    [&](auto& client) { client.recv_getItems(items); }),
               Unavailable);
  const auto reply = refused([](auto& client) { client.send_status(); });
  EXPECT_THAT(exception(reply).what(), HasSubstr("too much"));
  EXPECT_FALSE(reply.close);
}

TEST_P(Dispatch, AnUnknownMethodIsNamedAndTheConnectionGoesOn) {
  const auto reply = answer(message_of("rnak", apache::thrift::protocol::T_CALL,
                                       [](auto& writer) { writer.writeFieldStop(); }));
  EXPECT_FALSE(reply.close);
  EXPECT_TRUE(reply.method.empty());
  const auto error = exception(reply);
  EXPECT_EQ(error.getType(), TApplicationException::UNKNOWN_METHOD);
  EXPECT_THAT(error.what(), HasSubstr("'rnak'"));
}

TEST_P(Dispatch, AnUnknownMethodsNameIsCutAndMadePrintable) {
  const auto reply =
      answer(message_of("\x1b[2J\n" + std::string(100'000, 'x'), apache::thrift::protocol::T_CALL,
                        [](auto& writer) { writer.writeFieldStop(); }));
  EXPECT_LT(reply.payload.size(), 300U);
  EXPECT_THAT(exception(reply).what(), HasSubstr("'?[2J?xxx"));
}

TEST_P(Dispatch, OnlyCallsAreTaken) {
  for (const auto type : {apache::thrift::protocol::T_REPLY, apache::thrift::protocol::T_EXCEPTION,
                          apache::thrift::protocol::T_ONEWAY}) {
    const auto reply =
        answer(message_of("status", type, [](auto& writer) { writer.writeFieldStop(); }));
    EXPECT_TRUE(reply.close);
    EXPECT_EQ(exception(reply).getType(), TApplicationException::INVALID_MESSAGE_TYPE);
  }
}

TEST_P(Dispatch, EveryTruncationIsAnsweredWithAProtocolError) {
  auto request = request_of("ann");
  request.__set_session({event_of("a")});
  const auto payload = sent([&](auto& client) { client.send_rankMany({request}); });
  for (std::size_t bytes = 1; bytes < payload.size(); ++bytes) {
    const auto reply = answer(payload.substr(0, bytes));
    ASSERT_TRUE(reply.close) << bytes;
    ASSERT_EQ(exception(reply).getType(), TApplicationException::PROTOCOL_ERROR) << bytes;
  }
}

TEST_P(Dispatch, BytesBehindTheArgumentsAreRefused) {
  const auto reply = answer(sent([](auto& client) { client.send_status(); }) + "xyz");
  EXPECT_TRUE(reply.close);
  EXPECT_THAT(exception(reply).what(), HasSubstr("3 bytes follow"));
}

TEST_P(Dispatch, AMissingRequiredFieldIsAProtocolErrorThatNamesTheMethod) {
  using namespace apache::thrift::protocol;
  const auto reply = answer(message_of("record", T_CALL, [](TProtocol& writer) {
    writer.writeStructBegin("args");
    writer.writeFieldBegin("events", T_LIST, 1);
    writer.writeListBegin(T_STRUCT, 1);
    writer.writeStructBegin("Event");
    writer.writeFieldBegin("user_id", T_STRING, 1);
    writer.writeString(std::string("ann"));
    writer.writeFieldEnd();
    writer.writeFieldStop();
    writer.writeStructEnd();
    writer.writeListEnd();
    writer.writeFieldEnd();
    writer.writeFieldStop();
    writer.writeStructEnd();
  }));
  EXPECT_TRUE(reply.close);
  const auto error = exception(reply);
  EXPECT_EQ(error.getType(), TApplicationException::PROTOCOL_ERROR);
  EXPECT_THAT(error.what(), HasSubstr("arguments of record"));
  EXPECT_THAT(error.what(), HasSubstr("required field is missing"));
}

TEST_P(Dispatch, AMissingArgumentIsNamed) {
  const auto reply = answer(message_of("rank", apache::thrift::protocol::T_CALL, [](auto& writer) {
    writer.writeStructBegin("args");
    writer.writeFieldStop();
    writer.writeStructEnd();
  }));
  try {
    RankResponse response;
    read(reply, [&](auto& client) { client.recv_rank(response); });
    FAIL() << "nothing was thrown";
  } catch (const InvalidRequest& invalid) {
    EXPECT_EQ(invalid.field, "request");
  }
}

TEST_P(Dispatch, AWrongTypeIsAMissingField) {
  using namespace apache::thrift::protocol;
  const auto reply = answer(message_of("record", T_CALL, [](TProtocol& writer) {
    writer.writeStructBegin("args");
    writer.writeFieldBegin("events", T_I64, 1);
    writer.writeI64(5);
    writer.writeFieldEnd();
    writer.writeFieldStop();
    writer.writeStructEnd();
  }));
  EXPECT_THROW(read(reply, [](auto& client) { client.recv_record(); }), InvalidRequest);
}

TEST_P(Dispatch, ClaimedSizesAreRefusedBeforeTheyAreAllocated) {
  using namespace apache::thrift::protocol;
  for (const std::uint32_t claimed : {17'000U, 1'000'000U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    const auto reply = answer(message_of("rankMany", T_CALL, [&](TProtocol& writer) {
      writer.writeStructBegin("args");
      writer.writeFieldBegin("requests", T_LIST, 1);
      writer.writeListBegin(T_STRUCT, claimed);
      // The frame is long enough for the claim not to be refused by its length.
      for (int i = 0; i < 20'000; ++i) writer.writeByte(0);
    }));
    EXPECT_TRUE(reply.close) << claimed;
    EXPECT_EQ(exception(reply).getType(), TApplicationException::PROTOCOL_ERROR) << claimed;
  }
}

TEST_P(Dispatch, DeepNestingIsRefused) {
  using namespace apache::thrift::protocol;
  const auto reply = answer(message_of("status", T_CALL, [](TProtocol& writer) {
    // A field that no version knows, holding lists of lists.
    writer.writeStructBegin("args");
    writer.writeFieldBegin("unknown", T_LIST, 9);
    for (int depth = 0; depth < 10'000; ++depth) writer.writeListBegin(T_LIST, 1);
  }));
  EXPECT_TRUE(reply.close);
  EXPECT_THAT(exception(reply).what(), HasSubstr("deep"));
}

TEST_P(Dispatch, AnUnknownFieldIsSkipped) {
  using namespace apache::thrift::protocol;
  const auto reply = answer(message_of("status", T_CALL, [](TProtocol& writer) {
    writer.writeStructBegin("args");
    writer.writeFieldBegin("later", T_STRING, 90);
    writer.writeString(std::string("a field of a later version"));
    writer.writeFieldEnd();
    writer.writeFieldStop();
    writer.writeStructEnd();
  }));
  Status status;
  read(reply, [&](auto& client) { client.recv_status(status); });
  EXPECT_EQ(status.version, "echo");
}

TEST_P(Dispatch, AnAnswerOverTheLimitBecomesASentence) {
  const auto payload = sent([](auto& client) { client.send_getHistory("ann", 1000); });
  const auto reply = answer(payload, {.reply_bytes_max = 2000});
  EXPECT_FALSE(reply.close);
  EXPECT_THAT(exception(reply).what(), HasSubstr("longer than 2000 bytes"));
}

TEST_P(Dispatch, SequenceNumbersComeBack) {
  const auto reply =
      answer(message_of("status", apache::thrift::protocol::T_CALL, [](auto& writer) {
        writer.writeStructBegin("args");
        writer.writeFieldStop();
        writer.writeStructEnd();
      }));
  const auto memory = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  memory->write(reinterpret_cast<const std::uint8_t*>(reply.payload.data()),
                static_cast<std::uint32_t>(reply.payload.size()));
  std::string name;
  auto type = apache::thrift::protocol::T_CALL;
  std::int32_t sequence = 0;
  protocol_over(GetParam(), memory)->readMessageBegin(name, type, sequence);
  EXPECT_EQ(name, "status");
  EXPECT_EQ(type, apache::thrift::protocol::T_REPLY);
  EXPECT_EQ(sequence, 7);
}

}  // namespace
}  // namespace fovea::api
