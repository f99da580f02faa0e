// Claim: a message that comes without a frame ends where Thrift's own reader ends it, however its
// bytes arrive, and what is none is told so without waiting for more than the limit.
#include "api/message_scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/messages.h"

namespace fovea::api {
namespace {

using apache::thrift::protocol::TBinaryProtocolT;
using apache::thrift::protocol::TCompactProtocolT;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TMemoryBuffer;
using testing::HasSubstr;

constexpr std::size_t kMax = 1 << 20;

Value texts() {
  Value value;
  value.__set_texts({"a", "", std::string(300, 'x')});
  return value;
}
Value number(double of) {
  Value value;
  value.__set_number(of);
  return value;
}

/// One of every method, with every kind of value.
std::vector<std::function<void(FoveaClient&)>> calls() {
  Event event;
  event.user_id = "u";
  event.item_id = "i";
  event.action = "view";
  event.__set_time_ms(1'700'000'000'123);
  event.__set_value(-1.5);
  Item item;
  item.item_id = "i";
  item.__set_text(std::string(1000, 't'));
  Value flag;
  flag.__set_flag(false);
  item.__set_attributes({{"tags", texts()}, {"year", number(1999)}, {"new", flag}});
  item.__set_embedding(std::vector<double>(40, 0.25));
  RankRequest rich;
  rich.__set_user_id("ann");
  rich.__set_session(std::vector<Event>(20, event));
  rich.__set_candidates(std::vector<std::string>(200, "candidate"));
  rich.__set_include_seen(true);
  rich.__set_explain(false);
  rich.__set_limit(1000);
  rich.__set_deadline_ms(50);
  rich.__set_diversity(.5);
  Boost boost;
  boost.filter = "has(year)";
  boost.add = 2;
  rich.__set_boosts({boost, boost});
  rich.__set_variants({{"a", "b"}, {"c", "d"}});
  return {[](auto& client) { client.send_status(); },
          [](auto& client) { client.send_rank(RankRequest()); },
          [=](auto& client) { client.send_rank(rich); },
          [=](auto& client) { client.send_rankMany({rich, RankRequest(), rich}); },
          [=](auto& client) { client.send_record(std::vector<Event>(17, event)); },
          [=](auto& client) { client.send_putItems({item, item}); },
          [](auto& client) { client.send_removeItems({}); },
          [](auto& client) { client.send_getItems({"a", "b"}); },
          [](auto& client) { client.send_getHistory("u", -1); },
          [](auto& client) { client.send_deleteUser("u"); }};
}

class Scan : public testing::TestWithParam<WireProtocol> {
 protected:
  /// Where Thrift's own reader ends; absent: it refuses.
  std::optional<std::size_t> thrifts_end(const std::string& bytes) {
    const auto size = static_cast<int>(bytes.size());
    const auto memory = std::make_shared<TMemoryBuffer>(
        std::make_shared<apache::thrift::TConfiguration>(size, size, 64));
    memory->write(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                  static_cast<std::uint32_t>(bytes.size()));
    // Limits: without them it allocates whatever a length claims.
    std::unique_ptr<TProtocol> reader;
    if (GetParam() == WireProtocol::kCompact) {
      reader = std::make_unique<TCompactProtocolT<TMemoryBuffer>>(memory, size, size);
    } else {
      reader = std::make_unique<TBinaryProtocolT<TMemoryBuffer>>(memory, size, size, true, true);
    }
    try {
      std::string name;
      apache::thrift::protocol::TMessageType type{};
      std::int32_t sequence = 0;
      reader->readMessageBegin(name, type, sequence);
      reader->skip(apache::thrift::protocol::T_STRUCT);
    } catch (const std::exception&) {
      return std::nullopt;
    }
    return bytes.size() - static_cast<TMemoryBuffer&>(*reader->getTransport()).available_read();
  }
};

INSTANTIATE_TEST_SUITE_P(Protocols, Scan,
                         testing::Values(WireProtocol::kBinary, WireProtocol::kCompact),
                         [](const auto& instance) {
                           return instance.param == WireProtocol::kBinary ? "Binary" : "Compact";
                         });

TEST_P(Scan, EveryMessageEndsWhereItEndsAndNoSooner) {
  for (const auto& send : calls()) {
    const std::string bytes = message(GetParam(), send);
    MessageScan slowly(GetParam(), kMax);
    for (std::size_t have = 0; have < bytes.size(); ++have) {
      const auto looked = slowly.look(as_bytes(bytes).first(have));
      const auto* need = std::get_if<NeedMore>(&looked);
      ASSERT_TRUE(need) << have;
      ASSERT_GE(need->bytes, 1U);
      ASSERT_LE(need->bytes, bytes.size() - have) << have;
    }
    const auto end = slowly.look(as_bytes(bytes));
    EXPECT_EQ(std::get<MessageEnd>(end).bytes, bytes.size());
    const std::string two = bytes + bytes;
    const auto first = MessageScan(GetParam(), kMax).look(as_bytes(two));
    EXPECT_EQ(std::get<MessageEnd>(first).bytes, bytes.size());
  }
}

TEST_P(Scan, WhatItNeedsIsEnoughInFewSteps) {
  for (const auto& send : calls()) {
    const std::string bytes = message(GetParam(), send);
    MessageScan scan(GetParam(), kMax);
    std::size_t have = 0;
    for (;;) {
      const auto looked = scan.look(as_bytes(bytes).first(have));
      if (std::holds_alternative<MessageEnd>(looked)) break;
      have += std::get<NeedMore>(looked).bytes;
      ASSERT_LE(have, bytes.size());
    }
    EXPECT_EQ(have, bytes.size());
  }
}

TEST_P(Scan, BytesGoneWrongEndWhereThriftEndsThem) {
  std::mt19937_64 random(1);
  const auto all = calls();
  int agreed = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = message(GetParam(), all[random() % all.size()]);
    for (auto flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[1 + random() % (bytes.size() - 1)] = static_cast<char>(random());
    }
    bytes += std::string(random() % 50, '\0');
    const auto expected = thrifts_end(bytes);
    const auto looked = MessageScan(GetParam(), kMax).look(as_bytes(bytes));
    if (!expected) continue;  // stricter there, in values that have no length
    const auto* end = std::get_if<MessageEnd>(&looked);
    ASSERT_TRUE(end) << "round " << round;
    ASSERT_EQ(end->bytes, *expected) << "round " << round;
    ++agreed;
  }
  EXPECT_GT(agreed, 2'000);
}

TEST_P(Scan, WhatIsLongerThanItMayBeIsRefusedBeforeItHasCome) {
  Item item;
  item.item_id = "i";
  item.__set_text(std::string(5000, 't'));
  const std::string bytes =
      message(GetParam(), [&](FoveaClient& client) { client.send_putItems({item}); });
  MessageScan scan(GetParam(), 1000);
  const auto looked = scan.look(as_bytes(bytes).first(100));
  ASSERT_TRUE(std::holds_alternative<NoMessage>(looked));
  EXPECT_THAT(std::get<NoMessage>(looked).reason, HasSubstr("1000 bytes"));
}

TEST_P(Scan, NestingIsBounded) {
  std::string bytes = message(GetParam(), [](FoveaClient& client) { client.send_status(); });
  bytes.pop_back();  // the struct's end
  const std::string level =
      GetParam() == WireProtocol::kBinary ? std::string("\x0C\0\x01", 3) : std::string("\x1C");
  for (int i = 0; i < 10'000; ++i) bytes += level;
  const auto looked = MessageScan(GetParam(), kMax).look(as_bytes(bytes));
  ASSERT_TRUE(std::holds_alternative<NoMessage>(looked));
  EXPECT_THAT(std::get<NoMessage>(looked).reason, HasSubstr("deep"));
}

}  // namespace
}  // namespace fovea::api
