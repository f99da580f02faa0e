// fovea serve: opens the data directory, serves it until a signal, says in the log what is served.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "api/address.h"
#include "api/commands.h"
#include "api/config.h"
#include "api/device_flag.h"
#include "api/handler.h"
#include "api/http_server.h"
#include "api/measured_service.h"
#include "api/server.h"
#include "engine/engine.h"
#include "engine/pipeline.h"

namespace fovea::api {
namespace {

constexpr std::size_t kThreadsOfGpu = 64;

struct Flags {
  std::filesystem::path data;
  std::string thrift = "127.0.0.1:7070";
  std::string http;  // empty: no HTTP port
  std::filesystem::path config;
  std::size_t threads = 0;
  bool insecure = false;
  std::int64_t deadline_ms = 0;
  std::int64_t wait_ms = 100;
  engine::EngineOptions engine{.device = engine::DeviceChoice::kAuto};
};

int wait_for_signal(boost::asio::io_context& io, boost::asio::signal_set& signals) {
  int received = 0;
  signals.async_wait([&](const boost::system::error_code&, int number) { received = number; });
  io.run();
  return received;
}

void serve(const Flags& flags) {
  const HostPort address = parse_host_port(flags.thrift);
  std::optional<HostPort> http_address;
  if (!flags.http.empty()) http_address = parse_host_port(flags.http);
  if (!std::filesystem::is_directory(flags.data)) {
    throw std::runtime_error(fmt::format(
        "there is no data directory {}; create it with: fovea import --data {} --items FILE "
        "--events FILE",
        flags.data.string(), flags.data.string()));
  }
  // Before anything starts: a signal that comes early ends the program as gently as a late one.
  boost::asio::io_context io{1};
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);

  Config config;
  if (!flags.config.empty()) config = read_config(flags.config);
  engine::EngineOptions engine_options = flags.engine;
  engine_options.not_seen = config.not_seen;
  const auto engine = engine::Engine::open(flags.data, engine_options);
  declare_actions(*engine, config);
  ServerOptions options;
  options.host = address.host;
  options.port = address.port;
  options.threads = flags.threads;
  // Whoever waits for a GPU needs no core, and only those who wait at once are ranked together.
  if (options.threads == 0 && engine->snapshot().gpu != nullptr) options.threads = kThreadsOfGpu;
  options.insecure = flags.insecure;
  options.deadline_default = std::chrono::milliseconds{flags.deadline_ms};
  options.wait_max = std::chrono::milliseconds{flags.wait_ms};
  Handler handler(*engine, options.deadline_default);
  MeasuredService service(handler);
  Server server(service, options);
  std::optional<HttpServer> http;
  if (http_address) {
    const auto metrics = [&] {
      const std::vector<PortFigures> ports = {
          {"thrift", server.connections(), server.requests(), server.refused()},
          {"http", http->connections(), http->requests(), http->refused()},
      };
      return service.metrics_text(ports);
    };
    options.host = http_address->host;
    options.port = http_address->port;
    http.emplace(service, metrics, options);
  }
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

  const int received = wait_for_signal(io, signals);
  spdlog::info("{}: answering what is in flight, then ending",
               received == SIGINT ? "SIGINT" : "SIGTERM");
  if (http) http->drain();
  server.stop();
  if (http) http->stop();
}

}  // namespace

void add_serve(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("serve", "Serve a data directory over Thrift");
  command->add_option("--data", flags->data, "Data directory, as `fovea import` made it")
      ->required();
  command
      ->add_option("--config", flags->config, "TOML: actions, their weights, what counts as seen")
      ->type_name("FILE");
  command
      ->add_option(
          "--thrift", flags->thrift,
          "HOST:PORT to listen on, binary or compact protocol, framed or not; port 0: any free one")
      ->capture_default_str();
  command
      ->add_option(
          "--http", flags->http,
          "HOST:PORT for JSON over HTTP, health and metrics; port 0: any free one; absent: "
          "no such port")
      ->type_name("HOST:PORT");
  command
      ->add_option("--threads", flags->threads,
                   "Answer so many requests at once; 0: one a core, or 64 with a GPU")
      ->capture_default_str();
  command
      ->add_option("--deadline-ms", flags->deadline_ms,
                   "Deadline of a request that names none; 0: none")
      ->check(CLI::Range(0, 60'000))
      ->capture_default_str();
  command
      ->add_option("--wait-max-ms", flags->wait_ms,
                   "Refuse a request that would wait longer for its turn; 0: let 512 wait")
      ->check(CLI::Range(0, 60'000))
      ->capture_default_str();
  add_device(*command, flags->engine.device, "What ranks");
  add_gpu_memory(*command, flags->engine.gpu);
  command->add_flag("--insecure", flags->insecure,
                    "Let other machines connect, without encryption");
  command->footer("Example: fovea serve --data shop --thrift 127.0.0.1:7070");
  command->callback([flags] { serve(*flags); });
}

}  // namespace fovea::api
