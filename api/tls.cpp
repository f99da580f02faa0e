// OpenSSL's contexts, and sentences for what it complains about.
#include "api/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pemerr.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "api/watch_files.h"

namespace fovea::api {
namespace {

namespace ssl = boost::asio::ssl;
using Context = std::shared_ptr<ssl::context>;
using Error = boost::system::error_code;

[[noreturn]] void fail_tls(const std::filesystem::path& file, const std::string& what) {
  throw std::runtime_error(fmt::format("{} {}", file.string(), what));
}

/// OpenSSL says of a file that is missing only that there is no PEM in it.
void require_readable(const std::filesystem::path& file) {
  if (std::filesystem::is_directory(file)) fail_tls(file, "is a directory; a PEM file is expected");
  errno = 0;
  const std::ifstream stream(file);
  if (!stream) fail_tls(file, fmt::format("cannot be read: {}", std::strerror(errno)));
}

bool has_reason(const Error& error, int library, int reason) {
  const auto code = static_cast<unsigned long>(error.value());
  return ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason;
}

void use_identity(ssl::context& context, const TlsFiles& files) {
  require_readable(files.certificate);
  require_readable(files.key);
  Error error;
  context.use_certificate_chain_file(files.certificate.string(), error);
  if (error) {
    fail_tls(files.certificate,
             fmt::format("is not a certificate in PEM (BEGIN CERTIFICATE): {}", error.message()));
  }
  bool encrypted = false;
  // Without this OpenSSL asks on the terminal, where nobody may sit.
  context.set_password_callback(
      [&encrypted](std::size_t, ssl::context::password_purpose) {
        encrypted = true;
        return std::string();
      },
      error);
  context.use_private_key_file(files.key.string(), ssl::context::pem, error);
  if (encrypted) fail_tls(files.key, "is encrypted; give a key without a passphrase");
  if (error && has_reason(error, ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH)) {
    fail_tls(files.key,
             fmt::format("is not the key of the certificate in {}; give the pair that was "
                         "made together",
                         files.certificate.string()));
  }
  if (error) {
    fail_tls(files.key,
             fmt::format("is not a private key in PEM (BEGIN PRIVATE KEY): {}", error.message()));
  }
  context.set_password_callback(
      [](std::size_t, ssl::context::password_purpose) { return std::string(); }, error);
}

void use_ca(ssl::context& context, const std::filesystem::path& file) {
  require_readable(file);
  Error error;
  context.load_verify_file(file.string(), error);
  if (error) {
    fail_tls(file,
             fmt::format("has no certificate in PEM (BEGIN CERTIFICATE): {}", error.message()));
  }
}

Context new_context(ssl::context::method method) {
  auto context = std::make_shared<ssl::context>(method);
  SSL_CTX* const handle = context->native_handle();
  SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
  // A peer may not have a handshake of 1.2 repeated, which costs it nothing and us a signature.
  SSL_CTX_set_options(handle, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  return context;
}

Context server_context(const TlsFiles& files) {
  Context context = new_context(ssl::context::tls_server);
  use_identity(*context, files);
  SSL_CTX* const handle = context->native_handle();
  // A session is remembered by its client's ticket; a cache here would grow with strangers.
  SSL_CTX_set_session_cache_mode(handle, SSL_SESS_CACHE_OFF);
  constexpr std::array<unsigned char, 5> kSessionsOf = {'f', 'o', 'v', 'e', 'a'};
  // Without it a session with a client's certificate is refused when it is resumed.
  SSL_CTX_set_session_id_context(handle, kSessionsOf.data(), kSessionsOf.size());
  if (!files.ca.empty()) {
    use_ca(*context, files.ca);
    // Told to clients, so that one with several certificates knows which to show.
    SSL_CTX_set_client_CA_list(handle, SSL_load_client_CA_file(files.ca.c_str()));
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  }
  return context;
}

}  // namespace

Tls::Tls(TlsFiles files)
    : files_(std::move(files)),
      context_(server_context(files_)),
      watching_([this](const std::stop_token& stop) { watch(stop); }) {}

Tls::~Tls() = default;

Context Tls::context() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

void Tls::watch(const std::stop_token& stop) {
  watch_files({files_.certificate, files_.key, files_.ca}, stop, [this](bool first) {
    try {
      Context renewed = server_context(files_);
      const std::lock_guard lock(mutex_);
      std::swap(context_, renewed);
    } catch (const std::exception& error) {
      spdlog::warn("the certificate that was read before stays: {}", error.what());
      return;
    }
    if (!first) spdlog::info("{} was renewed", files_.certificate.string());
  });
}

Context client_context(const TlsFiles& files) {
  Context context = new_context(ssl::context::tls_client);
  use_ca(*context, files.ca);
  if (!files.certificate.empty()) use_identity(*context, files);
  context->set_verify_mode(ssl::verify_peer);
  return context;
}

}  // namespace fovea::api
