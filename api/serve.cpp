// fovea serve: opens the data directory, serves it until a signal, says in the log what is served.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/check_config.h"
#include "api/commands.h"
#include "api/config.h"
#include "api/console.h"
#include "api/console_service.h"
#include "api/declarations.h"
#include "api/experiments_reload.h"
#include "api/handler.h"
#include "api/http_server.h"
#include "api/log.h"
#include "api/logged_service.h"
#include "api/measured_service.h"
#include "api/serve_settings.h"
#include "api/server.h"
#include "api/supervision.h"
#include "api/tls.h"
#include "engine/engine.h"
#include "engine/pipeline.h"

namespace fovea::api {
namespace {

constexpr std::size_t kThreadsOfGpu = 64;

struct ServeFlags {
  std::filesystem::path data;
  std::filesystem::path config;
  SettingTexts settings;
  bool check_config = false;
};

int wait_for_signal(boost::asio::io_context& io, boost::asio::signal_set& signals) {
  int received = 0;
  signals.async_wait([&](const boost::system::error_code&, int number) {
    received = number;
    io.stop();
  });
  io.run();
  return received;
}

engine::EngineOptions engine_options(const ServeConfiguration& configuration) {
  const ServeSettings& settings = configuration.resolved.settings;
  engine::EngineOptions options;
  options.device = settings.device == "cpu"   ? engine::DeviceChoice::kCpu
                   : settings.device == "gpu" ? engine::DeviceChoice::kGpu
                                              : engine::DeviceChoice::kAuto;
  options.gpu = settings.gpu;
  options.db.memory_bytes = settings.store_memory_mib << 20;
  options.not_seen = configuration.file.not_seen;
  options.search = settings.search;
  return options;
}

/// For the Thrift port; the other one has the same but its address.
ServerOptions server_options(const ServeConfiguration& configuration, engine::Engine& engine) {
  ServerOptions options = configuration.resolved.settings.server;
  options.host = configuration.thrift.host;
  options.port = configuration.thrift.port;
  options.tls = configuration.tls;
  options.tokens = configuration.tokens;
  options.log_requests = parse_log_requests(configuration.resolved.settings.log_requests);
  // Whoever waits for a GPU needs no core, and only those who wait at once are ranked together.
  if (options.threads == 0 && engine.snapshot().gpu != nullptr) options.threads = kThreadsOfGpu;
  if (options.tokens && (!options.tls || !options.tls->demands_certificates())) {
    spdlog::info(
        "Thrift clients may not change the store: with --token-file they need a certificate, and "
        "--tls-client-ca says whose");
  }
  return options;
}

void serve(const ServeFlags& flags) {
  ServeConfiguration configuration =
      read_serve_configuration(flags.data, flags.config, flags.settings);
  if (flags.check_config) return check_config(std::move(configuration), flags.data);
  configuration.require();
  const ServeSettings& settings = configuration.resolved.settings;
  const BackgroundLog background_log(parse_log_format(settings.log_format));
  // Before anything starts: a signal that comes early ends the program as gently as a late one.
  boost::asio::io_context io{1};
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);

  const auto engine = engine::Engine::open(flags.data, engine_options(configuration));
  declare_actions(*engine, configuration.file);
  engine->set_experiments(configuration.file.experiments);
  keep_declarations(engine->db(), configuration.file.experiments);
  std::optional<ExperimentsReload> reload;
  if (!flags.config.empty()) {
    reload.emplace(*engine, flags.config, configuration.file, [&flags](const Config& config) {
      return resolve_settings(flags.settings, flags.config, config.server).complaints;
    });
  }
  ServerOptions options = server_options(configuration, *engine);
  Handler handler(*engine, options.deadline_default);
  MeasuredService measured(handler);
  LoggedService logged(measured, options.log_requests);
  FoveaIf& service =
      options.log_requests.any() ? static_cast<FoveaIf&>(logged) : static_cast<FoveaIf&>(measured);
  Server server(service, options);
  std::optional<ConsoleService> console;  // outlives the server that asks it
  std::optional<HttpServer> http;
  const auto ports = [&] {
    return std::vector<PortFigures>{
        {"thrift", server.connections(), server.requests(), server.refused()},
        {"http", http->connections(), http->requests(), http->refused()}};
  };
  const auto experiments = [&] {
    return ExperimentFigures{
        .exposures = engine->figures().exposures,
        .config_taken = reload ? std::optional(!reload->refused()) : std::nullopt};
  };
  if (configuration.http) {
    const ConsoleMode mode = parse_console_mode(settings.console);
    if (mode != ConsoleMode::kOff) {
      console.emplace(
          *engine, measured, flags.data, ports,
          ConsoleRights{.writes = mode == ConsoleMode::kOn, .token = options.tokens != nullptr});
    }
    options.host = configuration.http->host;
    options.port = configuration.http->port;
    http.emplace(
        service, [&] { return measured.metrics_text(ports(), experiments()); }, options,
        Console{mode, console ? &*console : nullptr});
  }
  std::vector<Supervision::Probe> probes = {
      [&](std::function<void()> answered) { server.probe(std::move(answered)); }};
  if (http) {
    probes.emplace_back([&](std::function<void()> answered) { http->probe(std::move(answered)); });
  }
  Supervision supervision(io, std::move(probes), [&] { return engine->status().model_version; });
  server.start();
  if (http) http->start();

  const auto status = engine->status();
  spdlog::info("data {}: {} items, {} users, model {}", flags.data.string(), status.items,
               status.users, status.model_version.empty() ? "none yet" : status.model_version);
  if (status.model_version.empty()) {
    spdlog::info(
        "without a model popular items are ranked; `fovea train` makes one while this runs");
  }
  spdlog::info("fovea {} on {}, {}", status.version, status.device, status.faiss);
  spdlog::info("serving Thrift on {}", server.address());
  if (http) spdlog::info("serving HTTP on {}", http->address());
  if (console) {
    spdlog::info("console at {}://{}/", options.tls ? "https" : "http", http->address());
  }
  supervision.ready();

  const int received = wait_for_signal(io, signals);
  spdlog::info("{}: answering what is in flight, then ending",
               received == SIGINT ? "SIGINT" : "SIGTERM");
  supervision.stopping();
  if (http) http->drain();
  server.stop();
  if (http) http->stop();
}

}  // namespace

void add_serve(CLI::App& app) {
  const auto flags = std::make_shared<ServeFlags>();
  CLI::App* command =
      app.add_subcommand("serve", "Serve a data directory over Thrift, and over HTTP");
  command->add_option("--data", flags->data, "Data directory, as `fovea import` made it")
      ->required();
  command
      ->add_option("--config", flags->config,
                   "TOML: [server] with the settings below; actions, their weights, what "
                   "counts as seen; [[experiment]]s and [holdout], which are read again when the "
                   "file changes")
      ->type_name("FILE");
  command->add_flag("--check-config", flags->check_config,
                    "Serve nothing: print the settings in effect as TOML, with where each came "
                    "from; fail with all that is wrong");
  add_setting_flags(*command, flags->settings);
  command->footer(
      "Each setting has a key in [server] of --config and a variable in the environment:\n"
      "--wait-max-ms is wait_max_ms and FOVEA_SERVER_WAIT_MAX_MS. A flag goes before the\n"
      "environment, that before the file.\n"
      "Example: fovea serve --data shop --thrift 127.0.0.1:7070");
  command->callback([flags] { serve(*flags); });
}

}  // namespace fovea::api
