// TLS on both ports, over real sockets and with certificates made here: who is let in, who is not,
// and that whoever is not harms nobody.
#include "api/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <chrono>
#include <fstream>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "api/client.h"
#include "api/http_server.h"
#include "api/load_target.h"
#include "api/server.h"
#include "tests/certificates.h"
#include "tests/eventually.h"
#include "tests/messages.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using testing::HasSubstr;
using Error = boost::system::error_code;

/// Answers getHistory when the gate opens, and the rest at once.
class Gate : public FoveaNull {
 public:
  void status(Status& status) override { status.version = "gate"; }
  void getHistory(std::vector<Event>& events, const std::string& user_id, std::int32_t) override {
    ++waiting;
    open.wait();
    events.emplace_back().user_id = user_id;
  }
  void rank(RankResponse& response, const RankRequest& request) override {
    response.request_id = request.user_id;
    response.items.resize(static_cast<std::size_t>(request.limit));
  }

  std::atomic<int> waiting{0};
  std::latch open{1};
};

/// A connection that may or may not speak TLS.
class Peer {
 public:
  explicit Peer(std::uint16_t port, const std::shared_ptr<asio::ssl::context>& context = nullptr)
      : context_(context ? context
                         : std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client)),
        stream_(io_, *context_) {
    stream_.next_layer().connect({asio::ip::address_v4::loopback(), port});
  }

  Error handshake() {
    Error error;
    stream_.handshake(asio::ssl::stream_base::client, error);
    return error;
  }
  void send(const std::string& bytes) {
    Error error;  // the server may have closed already; reading tells
    asio::write(stream_, asio::buffer(bytes), error);
  }
  /// So many bytes, fewer where the connection ended before.
  std::string receive(std::size_t bytes) {
    std::string got(bytes, '\0');
    got.resize(asio::read(stream_, asio::buffer(got), end_));
    return got;
  }
  std::string receive_all() {
    std::string got;
    for (std::string more = receive(1); !more.empty(); more = receive(1)) got += more;
    return got;
  }
  /// What the last receive ended with.
  const Error& end() const { return end_; }

  std::string receive_frame() {
    const std::string header = receive(kFrameHeaderBytes);
    if (header.size() < kFrameHeaderBytes) return "";
    std::size_t length = 0;
    for (const char byte : header) length = length << 8 | static_cast<unsigned char>(byte);
    return receive(length);
  }

  void send_plain(const std::string& bytes) {
    Error error;
    asio::write(stream_.next_layer(), asio::buffer(bytes), error);
  }
  /// Reads to the end, whatever it is.
  void await_end() {
    std::array<char, 1024> dropped{};
    Error error;
    while (!error) stream_.next_layer().read_some(asio::buffer(dropped), error);
    EXPECT_TRUE(error == asio::error::eof || error == asio::error::connection_reset) << error;
  }
  void cut() { stream_.next_layer().close(); }

 private:
  asio::io_context io_;
  std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<tcp::socket> stream_;
  Error end_;
};

std::string history_frame(const std::string& user_id) {
  return framed(message(WireProtocol::kBinary,
                        [&](FoveaClient& client) { client.send_getHistory(user_id, 1); }));
}

constexpr const char* kGetLivez =
    "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

class TlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { certificates = std::make_unique<Certificates>(); }
  static void TearDownTestSuite() { certificates.reset(); }

  void start(const TlsFiles& files, ServerOptions options = {}) {
    options.port = 0;
    options.threads = 2;
    options.tls = std::make_shared<const Tls>(files);
    thrift.emplace(gate, options);
    thrift->start();
    http.emplace(gate, [] { return std::string(); }, options, Console{.mode = ConsoleMode::kOn});
    http->start();
  }
  void TearDown() override {
    if (!gate.open.try_wait()) gate.open.count_down();
  }

  std::string version_over_thrift(const TlsFiles& files, const std::string& host = "127.0.0.1") {
    Client client({host, thrift->port()}, milliseconds{10'000}, files);
    Status status;
    client->status(status);
    return status.version;
  }
  std::string livez(const TlsFiles& files) {
    Peer peer(http->port(), client_context(files));
    if (const Error error = peer.handshake()) return error.message();
    peer.send(kGetLivez);
    return peer.receive_all();
  }
  /// Both ports still answer who comes as they should.
  void expect_served() {
    EXPECT_EQ(version_over_thrift(certificates->client()), "gate");
    EXPECT_THAT(livez(certificates->client()), HasSubstr("{\"live\":true}"));
  }

  static inline std::unique_ptr<Certificates> certificates;
  Gate gate;
  std::optional<Server> thrift;
  std::optional<HttpServer> http;
};

TEST_F(TlsTest, BothPortsAreServedAndTheirEndIsTold) {
  start(certificates->server());
  expect_served();
  Peer peer(http->port(), client_context(certificates->client()));
  ASSERT_FALSE(peer.handshake());
  peer.send(kGetLivez);
  EXPECT_THAT(peer.receive_all(), HasSubstr("200 OK"));
  EXPECT_EQ(peer.end(), asio::error::eof) << "and not a truncated stream: " << peer.end().message();
}

TEST_F(TlsTest, PipelinedFramesAreAnsweredInOrderHoweverLong) {
  start(certificates->server());
  Peer peer(thrift->port(), client_context(certificates->client()));
  ASSERT_FALSE(peer.handshake());
  const auto user = [](int i) { return std::to_string(i) + std::string(20'000, 'x'); };
  constexpr int kFrames = 6;  // below what may be in flight: nobody reads while all are sent
  for (int round = 0; round < 5; ++round) {
    std::string frames;
    for (int i = 0; i < kFrames; ++i) {
      RankRequest request;
      request.__set_user_id(user(i));
      request.__set_limit(1000);
      frames += framed(
          message(WireProtocol::kBinary, [&](FoveaClient& client) { client.send_rank(request); }));
    }
    peer.send(frames);
    for (int i = 0; i < kFrames; ++i) {
      RankResponse response;
      read_message(WireProtocol::kBinary, peer.receive_frame(),
                   [&](FoveaClient& client) { client.recv_rank(response); });
      ASSERT_EQ(response.request_id, user(i));
      ASSERT_EQ(response.items.size(), 1000U);
    }
  }
}

TEST_F(TlsTest, AnAnswerOverHttpThatIsLongerThanARecordArrivesWhole) {
  start(certificates->server());
  Peer peer(http->port(), client_context(certificates->client()));
  ASSERT_FALSE(peer.handshake());
  const std::string body = R"({"user_id":"ann","limit":1000})";
  peer.send(
      "POST /v1/rank HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string answer = peer.receive_all();
  const auto begin = answer.find("\r\n\r\n");
  ASSERT_NE(begin, std::string::npos);
  const std::string got = answer.substr(begin + 4);
  EXPECT_GT(got.size(), 30'000U);
  EXPECT_THAT(answer, HasSubstr("Content-Length: " + std::to_string(got.size()) + "\r\n"));
  EXPECT_EQ(peer.end(), asio::error::eof);
}

TEST_F(TlsTest, AServerOfAnotherAuthorityIsNotTrusted) {
  start(certificates->server());
  const TlsFiles stranger{{}, {}, certificates->certificate("stranger")};
  EXPECT_THROW(version_over_thrift(stranger), std::exception);
  EXPECT_THAT(livez(stranger), HasSubstr("certificate verify failed"));
  expect_served();
}

TEST_F(TlsTest, AServerWhoseCertificateIsForAnotherNameIsNotTrusted) {
  start(certificates->server(), {.host = "127.0.0.2"});
  EXPECT_THROW(version_over_thrift(certificates->client(), "127.0.0.2"), std::exception);
  const auto target = connect_target({"127.0.0.2", thrift->port()}, 1, certificates->client());
  Answer answer;
  target->begin(0, RankRequest(), [&](const Answer& got) { answer = got; });
  target->io().run();
  EXPECT_EQ(answer.outcome, Outcome::kLost);
  EXPECT_THAT(answer.message, HasSubstr("certificate verify failed"));
}

TEST_F(TlsTest, ABenchConnectsWithACertificate) {
  start(certificates->server_for_clients());
  const auto target = connect_target({"127.0.0.1", thrift->port()}, 1, certificates->client());
  for (int i = 0; i < 3; ++i) {
    Answer answer{.outcome = Outcome::kUnanswered};
    target->begin(0, RankRequest(), [&](const Answer& got) { answer = got; });
    target->io().restart();
    target->io().run();
    EXPECT_EQ(answer.outcome, Outcome::kAnswered) << answer.message;
  }
  EXPECT_EQ(thrift->connections(), 1U) << "one handshake for all three";
}

TEST_F(TlsTest, WhereCertificatesAreDemandedOthersAreNotServed) {
  start(certificates->server_for_clients());
  expect_served();
  const TlsFiles none{{}, {}, certificates->certificate("authority")};
  EXPECT_THROW(version_over_thrift(none), std::exception);
  EXPECT_EQ(livez(none), "");
  const TlsFiles stranger{certificates->certificate("stranger"), certificates->key("stranger"),
                          certificates->certificate("authority")};
  EXPECT_THROW(version_over_thrift(stranger), std::exception);
  EXPECT_EQ(livez(stranger), "");
}

TEST_F(TlsTest, OneWithoutACertificateIsToldWhatIsMissing) {
  start(certificates->server_for_clients());
  for (const auto port : {thrift->port(), http->port()}) {
    const TlsFiles none{{}, {}, certificates->certificate("authority")};
    Peer peer(port, client_context(none));
    ASSERT_FALSE(peer.handshake()) << "in TLS 1.3 the server's verdict comes after";
    peer.send(std::string(1000, 'x'));  // unread, and yet the alert must arrive
    EXPECT_EQ(peer.receive_all(), "");
    EXPECT_THAT(peer.end().message(), HasSubstr("certificate required"));
  }
}

TEST_F(TlsTest, Tls11IsRefusedAnd12IsNot) {
  start(certificates->server());
  for (const auto port : {thrift->port(), http->port()}) {
    for (const bool old : {true, false}) {
      const auto context = client_context(certificates->client());
      // Else this client would not even try.
      SSL_CTX_set_security_level(context->native_handle(), 0);
      SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context->native_handle(),
                                    old ? TLS1_1_VERSION : TLS1_2_VERSION);
      Peer peer(port, context);
      const Error error = peer.handshake();
      if (old) {
        EXPECT_THAT(error.message(), HasSubstr("alert protocol version"));
      } else {
        EXPECT_FALSE(error) << error.message();
      }
    }
  }
}

TEST_F(TlsTest, PlainBytesAreClosedAndHarmNobody) {
  start(certificates->server());
  for (const auto port : {thrift->port(), http->port()}) {
    for (const std::string& bytes :
         {history_frame("ann"), std::string(kGetLivez), std::string(100'000, '\0'),
          std::string("\x16\x03\x01\xff\xff", 5) + std::string(70'000, 'x'),
          std::string("\x16\x03\x01\x00\x05hello", 10)}) {
      Peer peer(port);
      peer.send_plain(bytes);
      peer.await_end();
    }
  }
  EXPECT_EQ(gate.waiting, 0);
  EXPECT_TRUE(eventually([&] { return thrift->connections() + http->connections() == 0; }));
  expect_served();
}

TEST_F(TlsTest, AHandshakeThatIsNotFinishedIsClosedInTime) {
  start(certificates->server(), {.read_timeout = milliseconds{300}});
  for (const auto port : {thrift->port(), http->port()}) {
    for (const std::string& begun : {std::string(), std::string("\x16\x03\x01\x02", 4)}) {
      const auto begin = std::chrono::steady_clock::now();
      Peer peer(port);
      peer.send_plain(begun);
      peer.await_end();
      EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds{300});
    }
  }
}

TEST_F(TlsTest, AConnectionThatIsCutEndsAlone) {
  start(certificates->server());
  for (const auto port : {thrift->port(), http->port()}) {
    Peer peer(port, client_context(certificates->client()));
    ASSERT_FALSE(peer.handshake());
    peer.send(history_frame("ann").substr(0, 10));
    peer.cut();
    Peer forged(port, client_context(certificates->client()));
    ASSERT_FALSE(forged.handshake());
    forged.send_plain(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
    forged.await_end();
  }
  EXPECT_TRUE(eventually([&] { return thrift->connections() + http->connections() == 0; }));
  expect_served();
}

TEST_F(TlsTest, AFaultyFrameIsToldSoAndClosed) {
  start(certificates->server(), {.frame_bytes_max = 1000});
  Peer peer(thrift->port(), client_context(certificates->client()));
  ASSERT_FALSE(peer.handshake());
  // All of it is sent: the answer must arrive although nobody reads the rest.
  peer.send(framed("\x80" + std::string(500'000, 'x')));
  EXPECT_THAT(peer.receive_frame(), HasSubstr("at most 1000 are allowed"));
  EXPECT_EQ(peer.receive(1), "");
  EXPECT_EQ(peer.end(), asio::error::eof);
}

TEST_F(TlsTest, MalformedArgumentsAreToldSoWhileMoreIsAwaited) {
  start(certificates->server());
  Peer peer(thrift->port(), client_context(certificates->client()));
  ASSERT_FALSE(peer.handshake());
  const std::string whole =
      message(WireProtocol::kBinary, [](FoveaClient& client) { client.send_status(); });
  peer.send(framed(whole.substr(0, whole.size() - 1)));
  EXPECT_THAT(peer.receive_frame(), HasSubstr("arguments of status"));
  EXPECT_EQ(peer.receive(1), "");
  EXPECT_EQ(peer.end(), asio::error::eof);
}

TEST_F(TlsTest, TheConsolesOwnPageIsOneThatCameEncrypted) {
  start(certificates->server());
  const std::string host = "localhost:" + std::to_string(http->port());
  const auto status = [&](const std::string& origin) {
    Peer peer(http->port(), client_context(certificates->client()));
    EXPECT_FALSE(peer.handshake());
    const std::string body = R"({"user_id":"ann"})";
    peer.send("POST /v1/users/delete HTTP/1.1\r\nHost: " + host + "\r\nOrigin: " + origin +
              "\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
    return peer.receive_all().substr(0, std::string("HTTP/1.1 200").size());
  };
  EXPECT_EQ(status("https://" + host), "HTTP/1.1 200");
  EXPECT_EQ(status("http://" + host), "HTTP/1.1 403");
}

TEST_F(TlsTest, StoppingAnswersWhatIsInFlightAndClosesTheRest) {
  start(certificates->server());
  Peer begun(thrift->port());  // its handshake is not done
  Peer idle(thrift->port(), client_context(certificates->client()));
  ASSERT_FALSE(idle.handshake());
  Peer waiting(thrift->port(), client_context(certificates->client()));
  ASSERT_FALSE(waiting.handshake());
  waiting.send(history_frame("ann"));
  Peer posted(http->port(), client_context(certificates->client()));
  ASSERT_FALSE(posted.handshake());
  const std::string body = R"({"user_id":"ann","limit":1})";
  posted.send("POST /v1/history HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_TRUE(eventually([&] { return gate.waiting == 2 && thrift->connections() == 3; }));
  std::thread stopping([&] {
    thrift->stop();
    http->stop();
  });
  begun.await_end();
  EXPECT_EQ(idle.receive(1), "");
  EXPECT_EQ(idle.end(), asio::error::eof);
  gate.open.count_down();
  EXPECT_THAT(waiting.receive_frame(), HasSubstr("ann"));
  EXPECT_EQ(waiting.receive(1), "");
  EXPECT_EQ(waiting.end(), asio::error::eof);
  EXPECT_THAT(posted.receive_all(), HasSubstr("\"ann\""));
  EXPECT_EQ(posted.end(), asio::error::eof);
  stopping.join();
}

TEST_F(TlsTest, OtherMachinesMayConnect) {
  start(certificates->server(), {.host = "0.0.0.0"});
  expect_served();
}

TEST(TlsFilesTest, WhatIsRenewedIsTakenWithoutARestart) {
  Certificates certificates;
  const Tls tls(certificates.server());
  const auto before = tls.context();
  // What cannot be used is not taken.
  std::filesystem::rename(certificates.key("server"), certificates.directory() / "away");
  std::filesystem::copy_file(certificates.key("client"), certificates.key("server"));
  std::this_thread::sleep_for(milliseconds{2500});
  ASSERT_NE(tls.context(), nullptr);
  Gate gate;
  ServerOptions options{.port = 0, .threads = 1};
  options.tls = std::shared_ptr<const Tls>(std::shared_ptr<void>(), &tls);
  Server server(gate, options);
  server.start();
  const auto version = [&] {
    try {
      Client client({"127.0.0.1", server.port()}, milliseconds{10'000}, certificates.client());
      Status status;
      client->status(status);
      return status.version;
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(version(), "gate");
  certificates.renew();
  // The client trusts the new authority only.
  EXPECT_TRUE(eventually([&] { return version() == "gate"; }));
  EXPECT_NE(tls.context(), before);
}

std::string refusal(const TlsFiles& files) {
  try {
    const Tls tls(files);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "(taken)";
}

TEST(TlsFilesTest, AFileThatCannotBeUsedIsNamedWithWhatIsWrong) {
  const Certificates made;
  const auto good = made.server_for_clients();
  EXPECT_EQ(refusal(good), "(taken)");
  const auto absent = made.directory() / "absent";
  const auto text = made.directory() / "text";
  std::ofstream(text) << "not a certificate\n";
  for (auto TlsFiles::* file : {&TlsFiles::certificate, &TlsFiles::key, &TlsFiles::ca}) {
    TlsFiles files = good;
    files.*file = absent;
    EXPECT_EQ(refusal(files), absent.string() + " cannot be read: No such file or directory");
    files.*file = made.directory();
    EXPECT_THAT(refusal(files), HasSubstr("is a directory"));
    files.*file = text;
    EXPECT_THAT(refusal(files), HasSubstr(text.string()));
    EXPECT_THAT(refusal(files), HasSubstr("in PEM"));
  }
  TlsFiles files = good;
  files.key = made.key("client");
  EXPECT_THAT(refusal(files), HasSubstr(files.key.string() + " is not the key of the certificate"));
  files.key = files.certificate;
  EXPECT_THAT(refusal(files), HasSubstr("is not a private key in PEM"));
}

TEST(TlsFilesTest, AKeyBehindAPassphraseIsRefusedAndNotAskedFor) {
  const Certificates made;
  TlsFiles files = made.server();
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(files.key.c_str(), "r"),
                                                           std::fclose);
  EVP_PKEY* key = PEM_read_PrivateKey(in.get(), nullptr, nullptr, nullptr);
  ASSERT_NE(key, nullptr);
  files.key = made.directory() / "locked";
  std::FILE* const out = std::fopen(files.key.c_str(), "w");
  ASSERT_NE(out, nullptr);
  PEM_write_PKCS8PrivateKey(out, key, EVP_aes_256_cbc(), "secret", 6, nullptr, nullptr);
  std::fclose(out);
  EVP_PKEY_free(key);
  EXPECT_EQ(refusal(files), files.key.string() + " is encrypted; give a key without a passphrase");
}

}  // namespace
}  // namespace fovea::api
