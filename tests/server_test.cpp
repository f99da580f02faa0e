// The server's promises about connections: order, limits, timeouts and the end, over real sockets.
// What the methods answer is contract_test's.
#include "api/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <thrift/TApplicationException.h>

#include <algorithm>
#include <atomic>
#include <boost/asio.hpp>
#include <chrono>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/client.h"
#include "tests/eventually.h"
#include "tests/messages.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using testing::HasSubstr;

/// Answers status at once, and getHistory when the gate opens.
class Gate : public FoveaNull {
 public:
  void status(Status& status) override { status.version = "gate"; }
  void getHistory(std::vector<Event>& events, const std::string& user_id, std::int32_t) override {
    ++waiting;
    open.wait();
    events.emplace_back().user_id = user_id;
  }
  void rank(RankResponse& response, const RankRequest& request) override {
    ++ranked;
    response.request_id = request.user_id;
  }

  std::atomic<int> waiting{0};
  std::atomic<int> ranked{0};
  std::latch open{1};
};

/// A client that sends what it likes. Every read has a time limit, so that a server that does not
/// answer fails the test instead of holding it.
class Peer {
 public:
  explicit Peer(std::uint16_t port) { connect(port); }
  Peer() { socket_.open(tcp::v4()); }

  void connect(std::uint16_t port) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
    const timeval limit{20, 0};
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }

  void send(const std::string& bytes) {
    boost::system::error_code error;  // the server may have closed already; reading tells
    asio::write(socket_, asio::buffer(bytes), error);
  }

  /// The next frame's payload; absent: the server has closed.
  std::optional<std::string> receive() {
    std::array<std::uint8_t, kFrameHeaderBytes> header{};
    if (!read(header.data(), header.size())) return std::nullopt;
    std::size_t length = 0;
    for (const auto byte : header) length = length << 8 | byte;
    std::string payload(length, '\0');
    if (!read(payload.data(), length)) return std::nullopt;
    return payload;
  }

  /// Whether the next bytes are these.
  bool receive_bare(const std::string& expected) {
    std::string got(expected.size(), '\0');
    return read(got.data(), got.size()) && got == expected;
  }

  /// Whether the connection ends without another byte.
  bool ends() {
    char byte = 0;
    boost::system::error_code error;
    const std::size_t bytes = socket_.read_some(asio::buffer(&byte, 1), error);
    return bytes == 0 && (error == asio::error::eof || error == asio::error::connection_reset);
  }

  void close_write() { socket_.shutdown(tcp::socket::shutdown_send); }

 private:
  bool read(void* into, std::size_t bytes) {
    boost::system::error_code error;
    asio::read(socket_, asio::buffer(into, bytes), error);
    return !error;
  }

  asio::io_context io_;
  tcp::socket socket_{io_};
};

const std::string& status_frame() {
  static const std::string frame =
      framed(message(WireProtocol::kBinary, [](FoveaClient& client) { client.send_status(); }));
  return frame;
}

std::string history_frame(const std::string& user_id) {
  return framed(message(WireProtocol::kBinary,
                        [&](FoveaClient& client) { client.send_getHistory(user_id, 1); }));
}

std::string version_in(const std::optional<std::string>& payload) {
  if (!payload) return "(closed)";
  Status status;
  read_message(WireProtocol::kBinary, *payload,
               [&](FoveaClient& client) { client.recv_status(status); });
  return status.version;
}

/// The sentence of a TApplicationException.
std::string complaint_in(const std::optional<std::string>& payload,
                         WireProtocol protocol = WireProtocol::kBinary) {
  if (!payload) return "(closed)";
  try {
    Status status;
    read_message(protocol, *payload, [&](FoveaClient& client) { client.recv_status(status); });
  } catch (const apache::thrift::TApplicationException& error) {
    return error.what();
  }
  return "(a result)";
}

class ServerTest : public testing::Test {
 protected:
  Server& start(ServerOptions options = {}) {
    options.port = 0;
    if (options.threads == 0) options.threads = 2;
    server.emplace(gate, options);
    server->start();
    return *server;
  }
  void TearDown() override {
    if (!gate.open.try_wait()) gate.open.count_down();
  }

  Gate gate;
  std::optional<Server> server;
};

TEST_F(ServerTest, AnyFreePortIsTakenAndTold) {
  start();
  EXPECT_NE(server->port(), 0);
  EXPECT_EQ(server->address(), "127.0.0.1:" + std::to_string(server->port()));
  Client client({"127.0.0.1", server->port()});
  Status status;
  client->status(status);
  EXPECT_EQ(status.version, "gate");
}

TEST_F(ServerTest, BothProtocolsMayShareAConnection) {
  start();
  Peer peer(server->port());
  peer.send(status_frame());
  EXPECT_EQ(version_in(peer.receive()), "gate");
  peer.send(
      framed(message(WireProtocol::kCompact, [](FoveaClient& client) { client.send_status(); })));
  Status status;
  const auto reply = peer.receive();
  ASSERT_TRUE(reply);
  read_message(WireProtocol::kCompact, *reply,
               [&](FoveaClient& client) { client.recv_status(status); });
  EXPECT_EQ(status.version, "gate");
}

TEST_F(ServerTest, PipelinedFramesAreAnsweredInOrder) {
  start();
  Peer peer(server->port());
  std::string frames;
  constexpr int kFrames = 200;
  for (int i = 0; i < kFrames; ++i) {
    RankRequest request;
    request.__set_user_id(std::to_string(i));
    frames += framed(
        message(WireProtocol::kBinary, [&](FoveaClient& client) { client.send_rank(request); }));
  }
  peer.send(frames);
  for (int i = 0; i < kFrames; ++i) {
    const auto reply = peer.receive();
    ASSERT_TRUE(reply);
    RankResponse response;
    read_message(WireProtocol::kBinary, *reply,
                 [&](FoveaClient& client) { client.recv_rank(response); });
    ASSERT_EQ(response.request_id, std::to_string(i));
  }
}

TEST_F(ServerTest, AFrameMayArriveByteByByte) {
  start();
  Peer peer(server->port());
  for (const char byte : status_frame()) peer.send(std::string(1, byte));
  EXPECT_EQ(version_in(peer.receive()), "gate");
}

TEST_F(ServerTest, ManyConnectionsAreServedAtOnce) {
  start();
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      Peer peer(server->port());
      for (int n = 0; n < 100; ++n) {
        peer.send(status_frame());
        if (version_in(peer.receive()) == "gate") ++answered;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answered, 800);
}

TEST_F(ServerTest, ATruncatedFrameEndsWithItsConnectionOnly) {
  start();
  Peer cut(server->port());
  cut.send(status_frame().substr(0, 10));
  cut.close_write();
  EXPECT_TRUE(cut.ends());
  Peer other(server->port());
  other.send(status_frame());
  EXPECT_EQ(version_in(other.receive()), "gate");
}

TEST_F(ServerTest, MessagesWithoutAFrameAreAnsweredWithoutOne) {
  start({.threads = 2});
  const std::string bare = history_frame("ann").substr(kFrameHeaderBytes);
  Peer peer(server->port());
  peer.send(bare.substr(0, 7));
  peer.send(bare.substr(7) + status_frame());
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  gate.open.count_down();
  const auto answer = peer.receive_bare(message(WireProtocol::kBinary, [](FoveaClient& client) {
                                          client.send_getHistory("ann", 1);
                                        }).substr(0, 2));
  EXPECT_TRUE(answer) << "it begins as a message does";
}

TEST_F(ServerTest, AFrameOverTheLimitIsToldSoAndClosed) {
  start({.frame_bytes_max = 1000});
  Peer peer(server->port());
  // All of it is sent: the answer must arrive although nobody reads the rest.
  peer.send(framed("\x80" + std::string(500'000, 'x')));
  EXPECT_THAT(complaint_in(peer.receive()), HasSubstr("at most 1000 are allowed"));
  EXPECT_TRUE(peer.ends());
}

TEST_F(ServerTest, GarbageIsClosed) {
  start();
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(4, '\0'),
                                   std::string("\x7f\xff\xff\xff\x01", 5)}) {
    Peer peer(server->port());
    peer.send(bytes);
    EXPECT_TRUE(peer.ends());
  }
}

TEST_F(ServerTest, MalformedArgumentsAreToldSoAndClosed) {
  start();
  Peer peer(server->port());
  const std::string whole = status_frame().substr(kFrameHeaderBytes);
  peer.send(framed(whole.substr(0, whole.size() - 1)) + status_frame());
  EXPECT_THAT(complaint_in(peer.receive()), HasSubstr("arguments of status"));
  EXPECT_TRUE(peer.ends());
}

TEST_F(ServerTest, AFrameThatTakesTooLongIsClosedHoweverOftenAByteComes) {
  start({.read_timeout = milliseconds{300}});
  Peer peer(server->port());
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<bool> done{false};
  std::thread slow([&] {
    for (std::size_t i = 0; i < status_frame().size() && !done; ++i) {
      peer.send(status_frame().substr(i, 1));
      std::this_thread::sleep_for(milliseconds{100});
    }
  });
  EXPECT_TRUE(peer.ends());
  done = true;
  slow.join();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds{300});
}

TEST_F(ServerTest, AnIdleConnectionIsClosedAndABusyOneIsNot) {
  start({.idle_timeout = milliseconds{400}});
  Peer idle(server->port());
  Peer waiting(server->port());
  waiting.send(history_frame("ann"));  // its answer takes longer than the idle timeout
  EXPECT_TRUE(idle.ends());
  gate.open.count_down();
  EXPECT_TRUE(waiting.receive());
}

TEST_F(ServerTest, ConnectionsOverTheLimitAreClosedAtOnce) {
  start({.connections_max = 2});
  Peer first(server->port());
  std::optional<Peer> second(server->port());
  ASSERT_TRUE(eventually([&] { return server->connections() == 2; }));
  Peer third(server->port());
  EXPECT_TRUE(third.ends());
  first.send(status_frame());
  EXPECT_EQ(version_in(first.receive()), "gate");
  second.reset();
  ASSERT_TRUE(eventually([&] { return server->connections() == 1; }));
  Peer fourth(server->port());
  fourth.send(status_frame());
  EXPECT_EQ(version_in(fourth.receive()), "gate");
}

TEST_F(ServerTest, RequestsOverTheLimitAreRefusedWhileOthersWait) {
  start({.requests_max = 1});
  Peer waiting(server->port());
  waiting.send(history_frame("ann"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  Peer refused(server->port());
  refused.send(framed(message(WireProtocol::kBinary,
                              [](FoveaClient& client) { client.send_rank(RankRequest()); })));
  const auto reply = refused.receive();
  ASSERT_TRUE(reply);
  try {
    RankResponse response;
    read_message(WireProtocol::kBinary, *reply,
                 [&](FoveaClient& client) { client.recv_rank(response); });
    FAIL() << "it was answered";
  } catch (const Overloaded& overloaded) {
    EXPECT_GT(overloaded.retry_after_ms, 0);
  }
  gate.open.count_down();
  EXPECT_TRUE(waiting.receive());
  refused.send(status_frame());
  EXPECT_EQ(version_in(refused.receive()), "gate");
}

TEST_F(ServerTest, StatusIsAnsweredWhenEveryWorkerIsBusyAndNoRequestIsLetIn) {
  start({.requests_max = 1, .threads = 1});
  Peer waiting(server->port());
  waiting.send(history_frame("ann"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  Peer other(server->port());
  other.send(status_frame());
  EXPECT_EQ(version_in(other.receive()), "gate");
  EXPECT_EQ(server->refused(), 0U);
  gate.open.count_down();
  EXPECT_TRUE(waiting.receive());
}

std::string rank_frame(const std::string& user_id) {
  return framed(message(WireProtocol::kBinary, [&](FoveaClient& client) {
    RankRequest request;
    request.__set_user_id(user_id);
    client.send_rank(request);
  }));
}

TEST_F(ServerTest, RequestsSentAtOnceAreAnsweredInTheirOrder) {
  start({.threads = 4});
  Peer peer(server->port());
  // The first waits at the gate; what is answered before it must not overtake it.
  std::string frames = history_frame("first");
  for (int i = 0; i < 50; ++i) frames += rank_frame(std::to_string(i));
  peer.send(frames);
  ASSERT_TRUE(eventually([&] { return gate.ranked == 7; })) << "eight at once, the first waits";
  gate.open.count_down();
  const auto first = peer.receive();
  ASSERT_TRUE(first);
  std::vector<Event> events;
  read_message(WireProtocol::kBinary, *first,
               [&](FoveaClient& client) { client.recv_getHistory(events); });
  EXPECT_EQ(events.at(0).user_id, "first");
  for (int i = 0; i < 50; ++i) {
    const auto reply = peer.receive();
    ASSERT_TRUE(reply);
    RankResponse response;
    read_message(WireProtocol::kBinary, *reply,
                 [&](FoveaClient& client) { client.recv_rank(response); });
    EXPECT_EQ(response.request_id, std::to_string(i));
  }
}

TEST_F(ServerTest, NoMoreIsReadFromOneConnectionThanItMayHaveInFlight) {
  start({.pipelined_max = 3, .threads = 2});
  Peer peer(server->port());
  std::string frames = history_frame("ann");
  for (int i = 0; i < 9; ++i) frames += rank_frame("u");
  peer.send(frames);
  ASSERT_TRUE(eventually([&] { return gate.ranked == 2; }));
  Peer other(server->port());  // what a worker could have answered meanwhile
  other.send(rank_frame("other"));
  EXPECT_TRUE(other.receive());
  EXPECT_EQ(gate.ranked, 3) << "a fourth request of the first connection was begun";
  gate.open.count_down();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(peer.receive());
}

TEST_F(ServerTest, WhatACallerWhoHasGoneAskedForIsNotBegun) {
  start({.threads = 1});
  Peer holding(server->port());
  holding.send(history_frame("ann"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  {
    Peer gone(server->port());
    ASSERT_TRUE(eventually([&] { return server->connections() == 2; }));
    gone.send(rank_frame("gone") + rank_frame("gone"));
  }
  ASSERT_TRUE(eventually([&] { return server->requests() == 3; }));
  Peer staying(server->port());
  staying.send(rank_frame("here"));
  ASSERT_TRUE(eventually([&] { return server->requests() == 4; }));
  gate.open.count_down();
  EXPECT_TRUE(staying.receive());
  EXPECT_EQ(gate.ranked, 1);
  EXPECT_TRUE(eventually([&] { return server->requests() == 0 && server->connections() == 2; }));
}

TEST_F(ServerTest, AFaultyRequestIsToldSoBehindTheAnswersBeforeIt) {
  start({.frame_bytes_max = 1000, .threads = 2});
  Peer peer(server->port());
  peer.send(history_frame("ann") + framed("\x80" + std::string(5'000, 'x')) + status_frame());
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  gate.open.count_down();
  EXPECT_TRUE(peer.receive());
  EXPECT_THAT(complaint_in(peer.receive()), HasSubstr("at most 1000 are allowed"));
  EXPECT_TRUE(peer.ends());
}

TEST_F(ServerTest, StoppingAnswersWhatIsInFlightAndClosesTheRest) {
  start();
  Peer idle(server->port());
  Peer waiting(server->port());
  waiting.send(history_frame("ann"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  const auto port = server->port();
  std::thread stopping([&] { server->stop(); });
  EXPECT_TRUE(idle.ends());
  gate.open.count_down();
  EXPECT_TRUE(waiting.receive());
  EXPECT_TRUE(waiting.ends());
  stopping.join();
  EXPECT_THROW(Peer{port}, boost::system::system_error);
  server->stop();  // twice does no harm
}

TEST_F(ServerTest, StoppingWaitsNoLongerThanItMay) {
  start({.drain_timeout = milliseconds{200}});
  Peer waiting(server->port());
  waiting.send(history_frame("ann"));
  ASSERT_TRUE(eventually([&] { return gate.waiting == 1; }));
  std::thread stopping([&] { server->stop(); });
  // The method itself cannot be cut short, the connection can.
  std::this_thread::sleep_for(milliseconds{400});
  gate.open.count_down();
  stopping.join();
  server.reset();
  EXPECT_TRUE(waiting.ends());
}

TEST_F(ServerTest, AServerThatRunsOutOfDescriptorsGoesOnWhenTheyAreBack) {
#ifdef FOVEA_SANITIZED
  GTEST_SKIP() << "the sanitizer needs descriptors itself";
#endif
  start();
  Peer peer;  // its descriptor is there before they run out
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  peer.connect(server->port());
  peer.send(status_frame());
  std::this_thread::sleep_for(milliseconds{300});
  EXPECT_EQ(server->connections(), 0U);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(version_in(peer.receive()), "gate");
}

TEST_F(ServerTest, OtherMachinesAreNotServedUnlessAskedTo) {
  Server refused(gate, {.host = "0.0.0.0", .port = 0});
  try {
    refused.start();
    FAIL() << "it listens";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--insecure"));
  }
  Server allowed(gate, {.host = "0.0.0.0", .port = 0, .insecure = true});
  allowed.start();
  Peer peer(allowed.port());
  peer.send(status_frame());
  EXPECT_EQ(version_in(peer.receive()), "gate");
}

TEST_F(ServerTest, AnAddressInUseIsNamed) {
  start();
  Server second(gate, {.port = server->port()});
  try {
    second.start();
    FAIL() << "both listen";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr(server->address()));
  }
}

TEST_F(ServerTest, ANameThatIsNoAddressIsNamed) {
  Server nowhere(gate, {.host = "no such host", .port = 0});
  try {
    nowhere.start();
    FAIL() << "it listens";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'no such host'"));
  }
}

}  // namespace
}  // namespace fovea::api
