// The settings of `fovea serve`, each under one name on the command line, in the environment and in
// [server] of the configuration file. Owns names, units, ranges, defaults and which source wins;
// what a setting does is the server's.
#pragma once

#include <boost/json.hpp>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/config.h"
#include "api/server.h"
#include "engine/gpu_options.h"
#include "engine/searched_text.h"

namespace CLI {  // NOLINT(readability-identifier-naming): its own
class App;
}

namespace fovea::api {

/// What was resolved. Texts have been checked and can be parsed. `server.host` and `server.port`
/// are left to whoever parses the addresses, `server.tls` and `.tokens` to whoever reads the files.
struct ServeSettings {
  std::string thrift = "127.0.0.1:7070";  ///< HOST:PORT
  std::string http;                       ///< HOST:PORT; empty: no such port.
  std::string console = "on";             ///< That port's page: on, read-only or off.
  std::string device = "auto";            ///< cpu, gpu or auto.
  std::string tls_cert;                   ///< Files; empty: the wire is not encrypted.
  std::string tls_key;                    ///< Named where tls_cert is.
  std::string tls_client_ca;              ///< Empty: clients need no certificate.
  std::string token_file;                 ///< Empty: what changes the store needs no token.
  std::string log_format = "text";
  std::string log_requests = "none";
  engine::GpuOptions gpu;
  std::size_t store_memory_mib = 256;  ///< storage::DbOptions::memory_bytes
  engine::SearchOptions search;
  ServerOptions server;
};

/// Texts by the settings' keys, such as "idle_timeout_ms": what the command line said.
using SettingTexts = std::map<std::string, std::string, std::less<>>;

/// Adds a flag for each setting, which writes to `given`; `given` must outlive the parsing.
void add_setting_flags(CLI::App& command, SettingTexts& given);
/// The same for those of the search by words and vectors alone, of a command that serves nothing.
void add_search_flags(CLI::App& command, SettingTexts& given);

struct ResolvedSettings {
  ServeSettings settings;
  /// By key: "default", "--threads", "FOVEA_SERVER_THREADS" or "fovea.toml:7".
  std::map<std::string, std::string, std::less<>> sources;
  /// Sentences that name the source, the key and what would be right. Where there are any, the
  /// settings are not what was asked for.
  std::vector<std::string> complaints;
  bool flag_is_wrong = false;  ///< One of the complaints is about the command line.
};

/// A flag goes before the environment's FOVEA_SERVER_KEY, that before the file, that before the
/// default. A wrong value is complained of even where another source wins.
ResolvedSettings resolve_settings(const SettingTexts& flags, const std::filesystem::path& file,
                                  const std::vector<FileSetting>& from_file);

/// Throws with all complaints, where there are any, a line each: std::invalid_argument where the
/// command line is wrong, otherwise std::runtime_error.
void require(const std::vector<std::string>& complaints, bool flag_is_wrong);

/// Those of add_search_flags() in the same way, as require() has it; the other settings are not
/// looked at.
engine::SearchOptions resolve_search(const SettingTexts& flags, const std::filesystem::path& file,
                                     const std::vector<FileSetting>& from_file);

/// Each of those by its key: what two searches must have in common to find the same.
boost::json::object to_json(const engine::SearchOptions& search);

/// [server] with every setting in effect, as TOML that can be read again; each line says in a
/// comment where its value came from.
std::string to_toml(const ResolvedSettings& resolved);

}  // namespace fovea::api
