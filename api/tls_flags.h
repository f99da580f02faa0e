// The flags of TLS of every command that connects.
#pragma once

#include <CLI/CLI.hpp>

#include "api/tls.h"

namespace fovea::api {

inline void add_client_tls(CLI::App& command, TlsFiles& files) {
  auto* ca = command.add_option("--tls-ca", files.ca,
                                "Connect with TLS to a server whose certificate is signed by one "
                                "of these, PEM");
  auto* certificate = command.add_option("--tls-cert", files.certificate,
                                         "The certificate to show to the server, PEM");
  auto* key = command.add_option("--tls-key", files.key, "The certificate's key, PEM");
  ca->type_name("FILE");
  certificate->type_name("FILE")->needs(key)->needs(ca);
  key->type_name("FILE")->needs(certificate);
}

}  // namespace fovea::api
