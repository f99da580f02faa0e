// Framing: whole frames are found however the bytes arrive, and nothing is allocated on a claim.
#include "api/framing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <variant>

#include "tests/messages.h"

namespace fovea::api {
namespace {

using testing::HasSubstr;

constexpr std::size_t kMax = 1000;

std::vector<std::uint8_t> frame_of(const std::string& payload) {
  const auto header = frame_header(payload.size());
  const std::string bytes = std::string(header.begin(), header.end()) + payload;
  return {bytes.begin(), bytes.end()};
}

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

TEST(Framing, AWholeFrameIsFoundAndItsProtocolTold) {
  for (const auto& [first, protocol] :
       {std::pair('\x80', WireProtocol::kBinary), std::pair('\x82', WireProtocol::kCompact)}) {
    const std::string payload = std::string(1, first) + "rest";
    const auto bytes = frame_of(payload);
    const auto parsed = FrameReader(kMax).next(bytes);
    const auto* frame = std::get_if<Frame>(&parsed);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->protocol, protocol);
    EXPECT_EQ(text_of(frame->payload), payload);
  }
}

TEST(Framing, EverySplitNeedsNoMoreThanWhatIsMissing) {
  const auto bytes = frame_of("\x82" + std::string(40, 'x'));
  for (std::size_t have = 0; have < bytes.size(); ++have) {
    const auto parsed = FrameReader(kMax).next(std::span(bytes).first(have));
    const auto* need = std::get_if<NeedMore>(&parsed);
    ASSERT_TRUE(need) << have;
    EXPECT_GE(need->bytes, 1U) << have;
    EXPECT_LE(need->bytes, bytes.size() - have) << have;
  }
}

TEST(Framing, WhatIsNeededIsEnoughInTheEnd) {
  const auto bytes = frame_of("\x82" + std::string(300, 'x'));
  std::size_t have = 0;
  int steps = 0;
  for (;; ++steps) {
    const auto parsed = FrameReader(kMax).next(std::span(bytes).first(have));
    if (std::holds_alternative<Frame>(parsed)) break;
    have += std::get<NeedMore>(parsed).bytes;
  }
  EXPECT_EQ(have, bytes.size());
  EXPECT_EQ(steps, 2);  // the header and the protocol, then the rest
}

TEST(Framing, WhatFollowsAFrameIsLeftAlone) {
  auto bytes = frame_of(
      "\x80"
      "first");
  const auto second = frame_of(
      "\x82"
      "second");
  bytes.insert(bytes.end(), second.begin(), second.end());
  const auto parsed = FrameReader(kMax).next(bytes);
  EXPECT_EQ(text_of(std::get<Frame>(parsed).payload),
            "\x80"
            "first");
}

TEST(Framing, TheLimitItselfIsAllowedAndOneMoreIsNot) {
  const auto at_limit = frame_of("\x80" + std::string(kMax - 1, 'x'));
  EXPECT_TRUE(std::holds_alternative<Frame>(FrameReader(kMax).next(at_limit)));

  const auto over = frame_of("\x82" + std::string(kMax, 'x'));
  // Known from the header and one byte: the body need not be sent, let alone be held.
  const auto parsed = FrameReader(kMax).next(std::span(over).first(kFrameHeaderBytes + 1));
  const auto& bad = std::get<BadFrame>(parsed);
  EXPECT_EQ(bad.protocol, WireProtocol::kCompact);
  EXPECT_THAT(bad.reason, HasSubstr("1001 bytes"));
  EXPECT_THAT(bad.reason, HasSubstr("at most 1000"));
}

TEST(Framing, AnEmptyFrameIsRefused) {
  const std::vector<std::uint8_t> bytes(kFrameHeaderBytes, 0);
  EXPECT_THAT(std::get<BadFrame>(FrameReader(kMax).next(bytes)).reason, HasSubstr("empty"));
}

TEST(Framing, MessagesComeWithAndWithoutFramesInOneStream) {
  for (const auto protocol : {WireProtocol::kBinary, WireProtocol::kCompact}) {
    const std::string bare = message(protocol, [](FoveaClient& client) { client.send_status(); });
    const std::string stream = bare + framed(bare) + bare + bare;
    FrameReader reader(kMax);
    std::size_t begin = 0;
    std::string found;
    for (std::size_t end = 0; end <= stream.size(); ++end) {
      const auto parsed = reader.next(as_bytes(stream).subspan(begin, end - begin));
      ASSERT_FALSE(std::holds_alternative<BadFrame>(parsed));
      const auto* frame = std::get_if<Frame>(&parsed);
      if (frame == nullptr) continue;
      EXPECT_EQ(text_of(frame->payload), bare);
      found += frame->framed ? 'f' : 'b';
      begin += frame->bytes();
    }
    EXPECT_EQ(found, "bfbb");
  }
}

TEST(Framing, OtherProtocolsAreNoFrames) {
  const std::string http = "GET / HTTP/1.1\r\n\r\n";
  const auto parsed = FrameReader(kMax).next(std::vector<std::uint8_t>(http.begin(), http.end()));
  const auto& bad = std::get<BadFrame>(parsed);
  EXPECT_FALSE(bad.protocol);
  EXPECT_THAT(bad.reason, HasSubstr("0x2f"));
}

TEST(Framing, TheHeaderHoldsTheLength) {
  EXPECT_EQ(frame_header(0x01020304), (std::array<std::uint8_t, 4>{1, 2, 3, 4}));
}

void append(ReceiveBuffer& buffer, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto room = buffer.room(bytes.size());
    const std::size_t taken = std::min(room.size(), bytes.size());
    std::copy_n(bytes.begin(), taken, room.begin());
    buffer.received(taken);
    bytes = bytes.subspan(taken);
  }
}

TEST(ReceiveBuffer, ClaimsCommitNoMemory) {
  ReceiveBuffer buffer;
  const auto room = buffer.room(std::size_t{1} << 30);
  EXPECT_EQ(room.size(), ReceiveBuffer::kChunkBytesMax);
  EXPECT_EQ(buffer.capacity(), ReceiveBuffer::kChunkBytesMax);
}

TEST(ReceiveBuffer, FramesComeOutAsTheyWentIn) {
  ReceiveBuffer buffer;
  std::vector<std::uint8_t> stream;
  constexpr std::size_t kFrames = 300;
  for (std::size_t i = 0; i < kFrames; ++i) {
    const auto bytes = frame_of("\x80" + std::string(i * 7, static_cast<char>('a' + i % 26)));
    stream.insert(stream.end(), bytes.begin(), bytes.end());
  }
  std::size_t found = 0;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t piece = std::min<std::size_t>(1 + at % 977, stream.size() - at);
    append(buffer, std::span(stream).subspan(at, piece));
    at += piece;
    for (;;) {
      const auto parsed = FrameReader(10'000).next(buffer.data());
      const auto* frame = std::get_if<Frame>(&parsed);
      if (frame == nullptr) break;
      ASSERT_EQ(text_of(frame->payload),
                "\x80" + std::string(found * 7, static_cast<char>('a' + found % 26)));
      buffer.consume(kFrameHeaderBytes + frame->payload.size());
      ++found;
    }
  }
  EXPECT_EQ(found, kFrames);
  EXPECT_TRUE(buffer.data().empty());
}

TEST(ReceiveBuffer, MemoryIsGivenBackAfterALargeFrame) {
  ReceiveBuffer buffer;
  append(buffer, std::vector<std::uint8_t>(std::size_t{1} << 20));
  EXPECT_GE(buffer.capacity(), std::size_t{1} << 20);
  buffer.consume(std::size_t{1} << 20);
  EXPECT_EQ(buffer.room(1).size(), ReceiveBuffer::kChunkBytesMin);
}

}  // namespace
}  // namespace fovea::api
