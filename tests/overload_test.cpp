// Claim: a server whose workers are all busy lets in no more than its limits, refuses the rest with
// when to come back, keeps nothing of what it refused but a line of the log a second, and answers
// everyone whom it let in. What is
// left of its throughput under three times its capacity is measured by
// tests/benchmarks/overload_benchmark.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <chrono>
#include <deque>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/server.h"
#include "tests/messages.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

/// Every rank waits until the latch opens.
class Held : public FoveaNull {
 public:
  void rank(RankResponse& response, const RankRequest& request) override {
    ++begun;
    open.wait();
    response.request_id = request.user_id;
  }
  std::atomic<std::size_t> begun{0};
  std::latch open{1};
};

class Peer {
 public:
  explicit Peer(std::uint16_t port) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
    const timeval limit{60, 0};  // a server that says nothing fails the test and does not hold it
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  void rank(const std::string& user) {
    asio::write(socket_, asio::buffer(framed(message(WireProtocol::kBinary, [&](auto& client) {
                  RankRequest request;
                  request.__set_user_id(user);
                  client.send_rank(request);
                }))));
  }
  /// Of the next answer; throws Overloaded where that is it.
  std::string answer() {
    std::array<std::uint8_t, kFrameHeaderBytes> header{};
    asio::read(socket_, asio::buffer(header));
    std::size_t length = 0;
    for (const auto byte : header) length = length << 8 | byte;
    std::string payload(length, '\0');
    asio::read(socket_, asio::buffer(payload));
    RankResponse response;
    read_message(WireProtocol::kBinary, payload,
                 [&](FoveaClient& client) { client.recv_rank(response); });
    return response.request_id;
  }

 private:
  asio::io_context io_;
  tcp::socket socket_{io_};
};

/// What is logged while it lives.
class CapturedLog {
 public:
  CapturedLog() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("captured", lines_));
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  std::vector<std::string> lines() const { return lines_->last_formatted(); }

 private:
  const std::shared_ptr<spdlog::logger> before_;
  const std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> lines_ =
      std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(100'000);
};

class OverloadTest : public testing::Test {
 protected:
  static constexpr std::size_t kWorkers = 2;
  static constexpr std::size_t kAdmitted = 8;
  static constexpr std::size_t kAsking = 4;  // connections that are refused
  static constexpr std::size_t kAtOnce = 8;  // requests that each sends before it reads

  OverloadTest() : server_(held_, {.port = 0, .requests_max = kAdmitted, .threads = kWorkers}) {
    server_.start();
    for (std::size_t i = 0; i < kAdmitted; ++i) {
      waiting_.emplace_back(server_.port()).rank("waiting-" + std::to_string(i));
    }
    while (server_.requests() < kAdmitted || held_.begun < kWorkers) std::this_thread::yield();
    for (std::size_t i = 0; i < kAsking; ++i) asking_.emplace_back(server_.port());
  }
  ~OverloadTest() override {
    if (!held_.open.try_wait()) held_.open.count_down();
  }

  void expect_refusals(std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) {
      for (Peer& peer : asking_) {
        for (std::size_t i = 0; i < kAtOnce; ++i) peer.rank("too many");
      }
      for (Peer& peer : asking_) {
        for (std::size_t i = 0; i < kAtOnce; ++i) {
          try {
            FAIL() << peer.answer() << " was let in";
          } catch (const Overloaded& refused) {
            ASSERT_GT(refused.retry_after_ms, 0);
            ASSERT_THAT(refused.message, testing::HasSubstr("8 requests"));
          }
        }
      }
      ASSERT_EQ(server_.requests(), kAdmitted);
      ASSERT_EQ(held_.begun, kWorkers);
    }
  }

  CapturedLog log_;
  Held held_;
  Server server_;
  std::deque<Peer> waiting_;
  std::deque<Peer> asking_;
};

TEST_F(OverloadTest, IsRefusedAboveTheLimitsAndWhoWasLetInIsAnswered) {
  expect_refusals(100);
  EXPECT_EQ(server_.refused(), 100 * kAsking * kAtOnce);
  held_.open.count_down();
  for (std::size_t i = 0; i < kAdmitted; ++i) {
    EXPECT_EQ(waiting_[i].answer(), "waiting-" + std::to_string(i));
  }
  EXPECT_EQ(held_.begun, kAdmitted) << "something that was refused was begun";
  // And the next one is let in again.
  asking_.front().rank("next");
  EXPECT_EQ(asking_.front().answer(), "next");
}

TEST_F(OverloadTest, IsToldInTheLogAtMostOnceASecond) {
  const auto begin = std::chrono::steady_clock::now();
  expect_refusals(100);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto lines = log_.lines();
  ASSERT_FALSE(lines.empty());
  EXPECT_THAT(lines.front(), testing::HasSubstr(server_.address() + ": refused as overloaded: "));
  EXPECT_THAT(lines.front(), testing::HasSubstr("8 requests are being answered or waiting"));
  EXPECT_LE(static_cast<double>(lines.size()), took.count() + 1);
  std::size_t told = 0;
  for (const std::string& line : lines) {
    const auto more = line.find(" (");
    told += 1 + (more == std::string::npos ? 0 : std::stoul(line.substr(more + 2)));
  }
  EXPECT_LE(told, server_.refused()) << "the rest is told with the next line";
}

TEST_F(OverloadTest, LeavesNothingBehindHoweverManyAreRefused) {
#ifdef FOVEA_SANITIZED
  GTEST_SKIP() << "the sanitizer keeps what is freed";
#endif
  const auto in_use = [] {
    const auto memory = mallinfo2();
    return static_cast<std::int64_t>(memory.uordblks + memory.hblkhd);
  };
  expect_refusals(100);  // what is made once is there after these
  const std::int64_t before = in_use();
  expect_refusals(1'000);
  constexpr auto kRefused = static_cast<std::int64_t>(1'000 * kAsking * kAtOnce);
  EXPECT_LT(in_use() - before, kRefused) << "not a byte of each";
}

}  // namespace
}  // namespace fovea::api
