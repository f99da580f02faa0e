// Certificates, keys and what they must be signed by: files of a server or a client as contexts of
// TLS, 1.2 or newer. Knows no connection.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

namespace boost::asio::ssl {
class context;  // NOLINT(readability-identifier-naming): Asio's name
}

namespace fovea::api {

/// All PEM. A server has certificate and key; a client has `ca`, and certificate and key where the
/// server demands them.
struct TlsFiles {
  std::filesystem::path certificate;  ///< The chain, one's own first.
  std::filesystem::path key;          ///< Without a passphrase.
  /// Whom the other side's certificate must be signed by; empty at a server: nobody need show one.
  std::filesystem::path ca;
};

/// What a server shows and demands. context() from any thread.
class Tls {
 public:
  /// Throws std::runtime_error with a sentence that names the file.
  explicit Tls(TlsFiles files);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  bool demands_certificates() const { return !files_.ca.empty(); }

  /// For the next connection. What has been renewed is taken (api/watch_files), and where that
  /// cannot be read a line of the log says so and the one before stays.
  std::shared_ptr<boost::asio::ssl::context> context() const;

 private:
  void watch(const std::stop_token& stop);

  const TlsFiles files_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;  // under mutex_
  std::jthread watching_;                               // last: it uses the others
};

/// What a client demands, and shows where there is a certificate. Throws as Tls does.
std::shared_ptr<boost::asio::ssl::context> client_context(const TlsFiles& files);

}  // namespace fovea::api
