// Certificates for tests of TLS, made when they are needed: an authority, what it signs, a
// stranger's authority; as PEM files in a folder that goes with them.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "api/tls.h"

namespace fovea::api {

/// Writes NAME.pem and NAME.key for each certificate.
class Certificates {
 public:
  Certificates() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea_tls_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
    const Signed authority = make("authority", nullptr);
    make("server", &authority);
    make("client", &authority);
    make("stranger", nullptr);
  }
  ~Certificates() { std::filesystem::remove_all(directory_); }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;

  const std::filesystem::path& directory() const { return directory_; }
  std::filesystem::path certificate(const std::string& name) const {
    return directory_ / (name + ".pem");
  }
  std::filesystem::path key(const std::string& name) const { return directory_ / (name + ".key"); }

  TlsFiles server() const { return {certificate("server"), key("server"), {}}; }
  TlsFiles server_for_clients() const {
    return {certificate("server"), key("server"), certificate("authority")};
  }
  TlsFiles client() const {
    return {certificate("client"), key("client"), certificate("authority")};
  }

  /// Makes the server's anew, signed by a new authority that `authority` becomes.
  void renew() {
    const Signed authority = make("authority", nullptr);
    make("server", &authority);
  }

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
    void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  struct Signed {
    std::unique_ptr<EVP_PKEY, Free> key;
    std::unique_ptr<X509, Free> certificate;
  };

  static void extend(X509* certificate, X509* issuer, int what, const char* value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, Free> extension(
        X509V3_EXT_conf_nid(nullptr, &context, what, value));
    if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
      throw std::runtime_error("a certificate could not be made");
    }
  }

  /// Without an issuer: an authority.
  Signed make(const std::string& name, const Signed* issuer) const {
    Signed made{std::unique_ptr<EVP_PKEY, Free>(EVP_EC_gen("P-256")),
                std::unique_ptr<X509, Free>(X509_new())};
    X509* const certificate = made.certificate.get();
    X509* const from = issuer == nullptr ? certificate : issuer->certificate.get();
    X509_set_version(certificate, X509_VERSION_3);
    static long serial = 0;
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
    X509_set_pubkey(certificate, made.key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(from));
    extend(certificate, from, NID_basic_constraints,
           issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    extend(certificate, from, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_sign(certificate, (issuer == nullptr ? made : *issuer).key.get(), EVP_sha256());

    const std::unique_ptr<std::FILE, Free> pem(std::fopen(this->certificate(name).c_str(), "w"));
    const std::unique_ptr<std::FILE, Free> secret(std::fopen(key(name).c_str(), "w"));
    if (pem == nullptr || secret == nullptr) throw std::runtime_error("cannot write certificates");
    PEM_write_X509(pem.get(), certificate);
    PEM_write_PrivateKey(secret.get(), made.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return made;
  }

  std::filesystem::path directory_;
};

}  // namespace fovea::api
