// A message is made and read by the generated client over memory; sockets are Asio's, so that one
// thread drives all of them.
#include "api/load_target.h"

#include <fmt/format.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <algorithm>
#include <array>
#include <boost/asio.hpp>
#include <deque>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "api/framing.h"
#include "api/stream.h"

namespace fovea::api {
namespace {

namespace asio = boost::asio;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::transport::TMemoryBuffer;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

/// As long as the server's longest answer.
constexpr std::size_t kReplyBytesMax = 16'384'000;

template <typename... Cases>
struct Overloads : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloads(Cases...) -> Overloads<Cases...>;

std::string encoded(const Call& call) {
  const auto memory = std::make_shared<TMemoryBuffer>();
  FoveaClient client(std::make_shared<TBinaryProtocol>(memory));
  std::visit(
      Overloads{[&](const RankRequest& request) { client.send_rank(request); },
                [&](const std::vector<RankRequest>& requests) { client.send_rankMany(requests); },
                [&](const std::vector<Event>& events) { client.send_record(events); }},
      call);
  return memory->getBufferAsString();
}

/// What `answer`, which returns whether the answer is degraded, returns or throws.
template <typename AnswerIt>
Answer outcome_of(AnswerIt answer) {
  try {
    return {.outcome = Outcome::kAnswered, .degraded = answer()};
  } catch (const Overloaded& error) {
    return {.outcome = Outcome::kOverloaded, .message = error.message};
  } catch (const InvalidRequest& error) {
    return {.outcome = Outcome::kInvalid, .message = error.message};
  } catch (const Unavailable& error) {
    return {.outcome = Outcome::kUnavailable, .message = error.message};
  } catch (const std::exception& error) {
    return {.outcome = Outcome::kFault, .message = error.what()};
  }
}

bool any_degraded(const std::vector<RankResponse>& responses) {
  return std::ranges::any_of(responses, &RankResponse::degraded);
}

/// `method` tells which result the payload holds.
Answer decoded(const Call& method, std::span<const std::uint8_t> payload) {
  // The memory is only read; Thrift's interface has no const.
  const auto memory = std::make_shared<TMemoryBuffer>(const_cast<std::uint8_t*>(payload.data()),
                                                      static_cast<std::uint32_t>(payload.size()));
  FoveaClient client(std::make_shared<TBinaryProtocol>(memory));
  return outcome_of([&] {
    return std::visit(Overloads{[&](const RankRequest&) {
                                  RankResponse response;
                                  client.recv_rank(response);
                                  return response.degraded;
                                },
                                [&](const std::vector<RankRequest>&) {
                                  std::vector<RankResponse> responses;
                                  client.recv_rankMany(responses);
                                  return any_degraded(responses);
                                },
                                [&](const std::vector<Event>&) {
                                  client.recv_record();
                                  return false;
                                }},
                      method);
  });
}

Answer called(FoveaIf& service, const Call& call) {
  return outcome_of([&] {
    return std::visit(Overloads{[&](const RankRequest& request) {
                                  RankResponse response;
                                  service.rank(response, request);
                                  return response.degraded;
                                },
                                [&](const std::vector<RankRequest>& requests) {
                                  std::vector<RankResponse> responses;
                                  service.rankMany(responses, requests);
                                  return any_degraded(responses);
                                },
                                [&](const std::vector<Event>& events) {
                                  service.record(events);
                                  return false;
                                }},
                      call);
  });
}

struct Connection {
  Answer lost(const std::string& why) {
    stream.reset();
    buffer = {};
    reader = FrameReader(kReplyBytesMax);
    return {.outcome = Outcome::kLost, .message = why};
  }

  std::optional<Stream> stream;  // absent: not connected
  ReceiveBuffer buffer;
  FrameReader reader{kReplyBytesMax};
};

class Sockets final : public Target {
 public:
  Sockets(const HostPort& address, std::size_t connections, const TlsFiles& tls)
      : host_(address.host), connections_(connections) {
    if (!tls.ca.empty()) tls_ = client_context(tls);
    boost::system::error_code error;
    tcp::resolver resolver(io());
    const auto found = resolver.resolve(address.host, std::to_string(address.port), error);
    if (!error) {
      tcp::socket first(io());
      endpoint_ = asio::connect(first, found, error);
    }
    if (error) {
      throw std::runtime_error(
          fmt::format("no server answers at {}; is `fovea serve` running? ({})", to_string(address),
                      error.message()));
    }
  }

  std::size_t slots() const override { return connections_.size(); }

  void begin(std::size_t slot, Call call, std::function<void(Answer)> done) override {
    asio::co_spawn(io(), exchange(connections_[slot], std::move(call)),
                   [done = std::move(done)](const std::exception_ptr& thrown, Answer answer) {
                     if (thrown) std::rethrow_exception(thrown);  // no memory: run() throws it
                     done(std::move(answer));
                   });
  }

  void abandon() override {
    for (Connection& connection : connections_) {
      if (connection.stream) connection.stream->close();
    }
  }

 private:
  asio::awaitable<Answer> exchange(Connection& connection, Call call) {
    const std::string message = encoded(call);
    if (!connection.stream || !connection.stream->socket().is_open()) {
      const auto failed = co_await connect(connection.stream.emplace(tcp::socket(io())));
      if (failed) co_return at_now(connection.lost("cannot connect: " + failed.message()));
    }
    const auto header = frame_header(message.size());
    const std::array<asio::const_buffer, 2> buffers = {asio::buffer(header), asio::buffer(message)};
    auto [error, bytes] = co_await asio::async_write(*connection.stream, buffers, kAsTuple);
    if (error) co_return at_now(connection.lost("the connection ended: " + error.message()));
    co_return co_await receive(connection, call);
  }

  asio::awaitable<boost::system::error_code> connect(Stream& stream) {
    auto [error] = co_await stream.socket().async_connect(endpoint_, kAsTuple);
    if (error) co_return error;
    boost::system::error_code ignored;
    stream.socket().set_option(tcp::no_delay(true), ignored);
    if (tls_ == nullptr) co_return error;
    stream.encrypt(tls_);
    stream.expect(host_);
    co_return co_await stream.handshake(asio::ssl::stream_base::client);
  }

  asio::awaitable<Answer> receive(Connection& connection, const Call& call) {
    for (;;) {
      const ParsedFrame parsed = connection.reader.next(connection.buffer.data());
      if (const auto* bad = std::get_if<BadFrame>(&parsed)) {
        co_return at_now(connection.lost("the answer cannot be read: " + bad->reason));
      }
      if (const auto* frame = std::get_if<Frame>(&parsed)) {
        const auto at = Clock::now();
        Answer answer = decoded(call, frame->payload);
        answer.at = at;
        connection.buffer.consume(frame->bytes());
        co_return answer;
      }
      const auto room = connection.buffer.room(std::get<NeedMore>(parsed).bytes);
      auto [error, bytes] = co_await connection.stream->async_read_some(
          asio::buffer(room.data(), room.size()), kAsTuple);
      if (error) co_return at_now(connection.lost("the connection ended: " + error.message()));
      connection.buffer.received(bytes);
    }
  }

  static Answer at_now(Answer answer) {
    answer.at = Clock::now();
    return answer;
  }

  std::string host_;
  std::shared_ptr<asio::ssl::context> tls_;  // null: not encrypted
  tcp::endpoint endpoint_;
  std::deque<Connection> connections_;
};

class Calls final : public Target {
 public:
  Calls(FoveaIf& service, std::size_t threads)
      : service_(service), threads_(threads), pool_(threads) {}
  ~Calls() override { pool_.join(); }

  std::size_t slots() const override { return threads_; }

  void begin(std::size_t, Call call, std::function<void(Answer)> done) override {
    // Until `done` is called there is something to wait for.
    asio::post(pool_, [this, call = std::move(call), done = std::move(done),
                       work = asio::make_work_guard(io())]() mutable {
      Answer answer = called(service_, call);
      answer.at = Clock::now();
      asio::post(io(), [done = std::move(done), answer = std::move(answer)] { done(answer); });
    });
  }

  void abandon() override {}

 private:
  FoveaIf& service_;
  std::size_t threads_;
  asio::thread_pool pool_;
};

}  // namespace

const char* name(Outcome outcome) {
  constexpr std::array<const char*, kOutcomes> kNames = {
      "answered", "overloaded", "invalid", "unavailable", "fault", "lost", "unanswered"};
  return kNames[static_cast<std::size_t>(outcome)];
}

std::unique_ptr<Target> connect_target(const HostPort& address, std::size_t connections,
                                       const TlsFiles& tls) {
  return std::make_unique<Sockets>(address, connections, tls);
}

std::unique_ptr<Target> call_target(FoveaIf& service, std::size_t threads) {
  return std::make_unique<Calls>(service, threads);
}

}  // namespace fovea::api
