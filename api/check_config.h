// What `fovea serve` is told, read and judged before anything is served. Owns which mistakes can be
// known so early; each is a sentence, and all of them come at once.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/address.h"
#include "api/config.h"
#include "api/serve_settings.h"

namespace fovea::api {

struct ServeConfiguration {
  Config file;
  ResolvedSettings resolved;
  HostPort thrift;
  std::optional<HostPort> http;          ///< Absent: no such port.
  std::shared_ptr<const Tls> tls;        ///< Null: the wire is not encrypted.
  std::shared_ptr<const Tokens> tokens;  ///< Null: what changes the store needs none.
  std::vector<std::string> complaints;

  /// Throws std::invalid_argument where the command line is wrong, std::runtime_error where
  /// anything else is; one complaint a line.
  void require() const;
};

/// Reads the file (empty: none), resolves the settings, reads the certificates and tokens that they
/// name, looks up the addresses and whether they may be listened on, and looks for the data
/// directory. Opens no port and no store.
ServeConfiguration read_serve_configuration(const std::filesystem::path& data,
                                            const std::filesystem::path& config,
                                            const SettingTexts& flags);

/// `serve --check-config`: also opens the store read-only, beside a server that may run, then
/// prints what is in effect on stdout, in a form that `--config` takes. Throws as require() does.
void check_config(ServeConfiguration configuration, const std::filesystem::path& data);

}  // namespace fovea::api
