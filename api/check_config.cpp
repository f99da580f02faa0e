#include "api/check_config.h"

#include <fmt/format.h>

#include <exception>
#include <iostream>
#include <stdexcept>

#include "api/declarations.h"
#include "api/log.h"
#include "api/tls.h"
#include "api/tokens.h"
#include "storage/db.h"

namespace fovea::api {
namespace {

void check_address(ServeConfiguration& configuration, std::string_view key,
                   const HostPort& address) {
  ServerOptions options = configuration.resolved.settings.server;
  options.host = address.host;
  options.port = address.port;
  options.tls = configuration.tls;
  try {
    check_listen_address(options);
  } catch (const std::exception& error) {
    configuration.complaints.push_back(fmt::format(
        "{} ({}): {}", key, configuration.resolved.sources.find(key)->second, error.what()));
  }
}

void read_tls(ServeConfiguration& configuration) {
  const ServeSettings& settings = configuration.resolved.settings;
  const bool certificate = !settings.tls_cert.empty();
  if (certificate != !settings.tls_key.empty() ||
      (!settings.tls_client_ca.empty() && !certificate)) {
    configuration.complaints.emplace_back(
        "tls_cert and tls_key belong together, and tls_client_ca to them");
    return;
  }
  if (!certificate) return;
  try {
    configuration.tls = std::make_shared<const Tls>(
        TlsFiles{settings.tls_cert, settings.tls_key, settings.tls_client_ca});
  } catch (const std::runtime_error& error) {
    configuration.complaints.emplace_back(error.what());
  }
}

void read_tokens(ServeConfiguration& configuration) {
  const std::string& file = configuration.resolved.settings.token_file;
  if (file.empty()) return;
  try {
    configuration.tokens = std::make_shared<const Tokens>(Tokens::read(file));
  } catch (const std::runtime_error& error) {
    configuration.complaints.emplace_back(error.what());
  }
}

/// Actions, holdout and experiments as the file says them.
std::string as_toml(const Config& config) {
  std::string toml;
  for (const auto& action : config.actions) {
    std::string name;
    append_json_string(name, action.name);
    toml += fmt::format("\n[actions.{}]\nweight = {}\nseen = {}\n", name, action.weight,
                        !config.not_seen.contains(action.name));
  }
  if (config.experiments.holdout.share > 0) toml += '\n' + to_toml(config.experiments.holdout);
  for (const auto& experiment : config.experiments.list) toml += '\n' + to_toml(experiment);
  return toml;
}

}  // namespace

void ServeConfiguration::require() const {
  api::require(complaints, resolved.flag_is_wrong);
}

ServeConfiguration read_serve_configuration(const std::filesystem::path& data,
                                            const std::filesystem::path& config,
                                            const SettingTexts& flags) {
  ServeConfiguration read;
  if (!config.empty()) read.file = read_config(config, read.complaints);
  read.resolved = resolve_settings(flags, config, read.file.server);
  for (const auto& complaint : read.resolved.complaints) read.complaints.push_back(complaint);

  const ServeSettings& settings = read.resolved.settings;
  read_tls(read);
  read_tokens(read);
  read.thrift = parse_host_port(settings.thrift);
  check_address(read, "thrift", read.thrift);
  if (!settings.http.empty()) {
    read.http = parse_host_port(settings.http);
    check_address(read, "http", *read.http);
    if (read.http->port != 0 && settings.http == settings.thrift) {
      read.complaints.push_back(
          fmt::format("thrift and http are both {}; each needs a port of its own", settings.http));
    }
  }
  if (!std::filesystem::is_directory(data)) {
    read.complaints.push_back(fmt::format(
        "there is no data directory {}; create it with: fovea import --data {} --items FILE "
        "--events FILE",
        data.string(), data.string()));
  }
  return read;
}

void check_config(ServeConfiguration configuration, const std::filesystem::path& data) {
  if (std::filesystem::is_directory(data)) {
    try {
      storage::Db::open(data, storage::Access::kReadOnly);
    } catch (const storage::StoreError& error) {
      configuration.complaints.emplace_back(error.what());
    }
  }
  std::cout << to_toml(configuration.resolved) << as_toml(configuration.file) << std::flush;
  try {
    configuration.require();
  } catch (const std::invalid_argument& error) {  // to whoever checks, all mistakes are the same
    throw std::runtime_error(error.what());
  }
}

}  // namespace fovea::api
