// A connected socket's bytes, encrypted or not: one type for both, so that what is said over it is
// written once. Owns the socket and TLS' state over it; who decides about either is its owner.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace fovea::api {

/// Completes with (error, results...) instead of throwing: a connection that ends is nothing rare.
inline constexpr auto kAsTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

/// For Asio and Beast a stream like any. One read and one write at a time, from one thread; it
/// stays where it is.
class Stream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;  // NOLINT(readability-identifier-naming): Asio's
  using Context = boost::asio::ssl::context;
  using Error = boost::system::error_code;

  explicit Stream(Socket connected) : socket_(std::move(connected)) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& socket() { return socket_; }  ///< What lies below; its bytes are TLS' once encrypted.

  /// From now on everything is TLS, a handshake first.
  void encrypt(const std::shared_ptr<Context>& context) {
    context_ = context;
    tls_.emplace(socket_, *context_);
  }
  /// As a client, before the handshake: the peer's certificate must be for this name or address.
  void expect(const std::string& host) {
    SSL_set_tlsext_host_name(tls_->native_handle(), host.c_str());
    tls_->set_verify_callback(boost::asio::ssl::host_name_verification(host));
  }

  boost::asio::awaitable<Error> handshake(boost::asio::ssl::stream_base::handshake_type side) {
    auto [error] = co_await tls_->async_handshake(side, kAsTuple);
    co_return error;
  }

  /// Whether the peer has shown a certificate that the handshake found good.
  bool peer_is_known() const {
    if (!tls_) return false;
    // Where none was shown the result is good too.
    SSL* const ssl = const_cast<Tls&>(*tls_).native_handle();
    return SSL_get0_peer_certificate(ssl) != nullptr && SSL_get_verify_result(ssl) == X509_V_OK;
  }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& into, Token&& token) {
    return boost::asio::async_initiate<Token, void(Error, std::size_t)>(
        [this](auto&& handler, const Buffers& buffers) {
          using Completion = decltype(handler);
          if (tls_) {
            tls_->async_read_some(buffers, std::forward<Completion>(handler));
          } else {
            socket_.async_read_some(buffers, std::forward<Completion>(handler));
          }
        },
        token, into);
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& from, Token&& token) {
    return boost::asio::async_initiate<Token, void(Error, std::size_t)>(
        [this](auto&& handler, const Buffers& buffers) {
          using Completion = decltype(handler);
          if (tls_) {
            tls_->async_write_some(buffers, std::forward<Completion>(handler));
          } else {
            socket_.async_write_some(buffers, std::forward<Completion>(handler));
          }
        },
        token, from);
  }

  /// Whether bytes lie here that a read would give at once.
  bool readable() {
    if (tls_ && SSL_pending(tls_->native_handle()) > 0) return true;
    Error ignored;
    return socket_.available(ignored) > 0;
  }

  /// Tells the peer that no more is written, so that it can tell the end from a cut. What still
  /// comes can only be dropped then: it is read from the socket, undeciphered.
  boost::asio::awaitable<void> end_writing() {
    if (tls_) {
      // As if the peer had said so already: TLS would wait for that otherwise.
      SSL_set_shutdown(tls_->native_handle(), SSL_RECEIVED_SHUTDOWN);
      co_await tls_->async_shutdown(kAsTuple);
    }
    Error ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }

  /// Reads end once what has arrived is read.
  void end_reading() {
    Error ignored;
    socket_.shutdown(Socket::shutdown_receive, ignored);
  }

  /// What waits for the socket ends with an error; a later read or write goes on.
  void cancel() {
    Error ignored;
    socket_.cancel(ignored);
  }

  /// At once; what waits for the socket ends with an error.
  void close() {
    Error ignored;
    socket_.close(ignored);
  }

 private:
  using Tls = boost::asio::ssl::stream<Socket&>;

  Socket socket_;
  std::shared_ptr<Context> context_;
  std::optional<Tls> tls_;
};

}  // namespace fovea::api
