// fovea bench: serves a data directory or finds who does, raises the load, tells what happened.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "api/address.h"
#include "api/bench_report.h"
#include "api/client.h"
#include "api/commands.h"
#include "api/device_flag.h"
#include "api/handler.h"
#include "api/load.h"
#include "api/output_file.h"
#include "api/server.h"
#include "api/tls_flags.h"
#include "engine/engine.h"

namespace fovea::api {
namespace {

constexpr double kWarmUpS = 2;
constexpr std::chrono::milliseconds kFirstAnswerTimeout{30'000};  // of the first question
// Where no rates are given.
constexpr double kFirstRate = 100;
constexpr double kRateFactor = 1.25;
constexpr double kRateMax = 1e6;
/// So many rates in a row that do not keep the bound are the end; one may be the machine's mood.
constexpr int kMisses = 2;

struct BenchFlags {
  std::filesystem::path data;
  std::string thrift;
  TlsFiles tls;
  bool in_process = false;
  std::size_t threads = 0;
  std::size_t connections = 64;
  std::vector<double> rates;
  double seconds = 10;
  double p99_max_ms = 25;
  WorkloadOptions workload;
  engine::EngineOptions engine{.device = engine::DeviceChoice::kAuto};
  std::optional<std::filesystem::path> json;
  std::optional<std::filesystem::path> html;
};

/// Who answers, and all that must live as long. Later members use earlier ones.
struct Served {
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<Handler> handler;
  std::unique_ptr<Server> server;
  Population population;
  Status status;
  std::string description;
  std::unique_ptr<Target> target;
};

void connect(const HostPort& address, std::size_t connections, const TlsFiles& tls,
             Served& served) {
  Client client(address, kFirstAnswerTimeout, tls);
  try {
    client->status(served.status);
  } catch (const std::exception& error) {
    throw std::runtime_error(client.explain(error));
  }
  served.target = connect_target(address, connections, tls);
}

/// A server that runs; only who and what to draw comes from the directory, as it was when opened.
Served find_server(const BenchFlags& flags) {
  Served served;
  {
    const auto db = storage::Db::open(flags.data, storage::Access::kReadOnly);
    served.population = population_of(*db, flags.workload.seed);
  }
  const HostPort address = parse_host_port(flags.thrift);
  connect(address, flags.connections, flags.tls, served);
  served.description =
      fmt::format("server at {}, {} connections", to_string(address), flags.connections);
  return served;
}

Served serve_here(const BenchFlags& flags) {
  const std::size_t threads =
      flags.threads > 0 ? flags.threads : std::max(1U, std::thread::hardware_concurrency());
  Served served;
  served.engine = engine::Engine::open(flags.data, flags.engine);
  served.population = population_of(served.engine->db(), flags.workload.seed);
  if (flags.in_process) {
    served.handler = std::make_unique<Handler>(*served.engine);
    served.handler->status(served.status);
    served.target = call_target(*served.handler, threads);
    served.description = fmt::format("called in this process from {} threads", threads);
    return served;
  }
  served.server =
      std::make_unique<Server>(*served.engine, ServerOptions{.port = 0, .threads = threads});
  served.server->start();
  connect({"127.0.0.1", served.server->port()}, flags.connections, {}, served);
  served.description = fmt::format("server of {} threads in this process, {} connections", threads,
                                   flags.connections);
  return served;
}

/// Empty where the machine does not tell.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

/// Measures the rates given; else raises the rate until it does not keep the bound.
void measure(const BenchFlags& flags, Served& served, BenchReport& report) {
  Workload workload(served.population, flags.workload);
  const auto at = [&](double rate) -> const LoadResult& {
    const LoadResult& result = report.rates.emplace_back(run_load(*served.target, workload,
                                                                  {.rate_per_s = rate,
                                                                   .seconds = flags.seconds,
                                                                   .warm_up_s = kWarmUpS,
                                                                   .seed = flags.workload.seed}));
    std::cout << table_row(result) << std::flush;
    if (result.due > 0 && result.of(Outcome::kAnswered) == 0) {
      throw std::runtime_error(fmt::format("none of {} requests was answered; the first: {}",
                                           result.due, result.first_failure));
    }
    return result;
  };
  for (const double rate : flags.rates) at(rate);
  if (!flags.rates.empty()) return;
  int misses = 0;
  for (double rate = kFirstRate; rate <= kRateMax && misses < kMisses;
       rate = std::round(rate * kRateFactor)) {
    misses = kept(at(rate), flags.p99_max_ms) ? 0 : misses + 1;
  }
}

void bench(const BenchFlags& flags) {
  validate(flags.workload);
  if (!std::filesystem::is_directory(flags.data)) {
    throw std::runtime_error(fmt::format("there is no data directory {}", flags.data.string()));
  }
  std::optional<OutputFile> json;
  std::optional<OutputFile> html;
  if (flags.json) json.emplace("--json", *flags.json);
  if (flags.html) html.emplace("--html", *flags.html);
  Served served = flags.thrift.empty() ? serve_here(flags) : find_server(flags);

  BenchReport report;
  report.cores = std::thread::hardware_concurrency();
  report.processor = processor_name();
  report.target = served.description;
  report.status = served.status;
  report.workload = flags.workload;
  report.seconds = flags.seconds;
  report.warm_up_s = kWarmUpS;
  report.p99_max_ms = flags.p99_max_ms;
  std::cout << introduction(report) << table_head() << std::flush;
  measure(flags, served, report);
  std::cout << verdict(report) << '\n';
  if (json) json->write(bench_json(report));
  if (html) html->write(bench_page(report));
}

}  // namespace

void add_bench(CLI::App& app) {
  const auto flags = std::make_shared<BenchFlags>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure latency under load, and the load that a bound allows");
  command->footer(
      "An open loop: requests come at random times whether or not the ones before are answered, "
      "and\n"
      "a latency counts from when its request was due. `queued` found every connection taken, "
      "`late`\n"
      "is how late the generator itself was, `cpu s` are processor seconds of this process and\n"
      "`generator` those of its sending thread. The directory is written to as by any server:\n"
      "rankings are logged, and record and mixed record behaviours.\n\n"
      "Example:\n  fovea bench --data shop --workload mixed --html bench.html\n"
      "  fovea bench --data shop --thrift 127.0.0.1:7070 --rates 100,200,400");
  command
      ->add_option("--data", flags->data,
                   "Data directory: whose users and items to draw, and to serve unless --thrift")
      ->required()
      ->type_name("DIR");
  auto* thrift = command->add_option("--thrift", flags->thrift,
                                     "HOST:PORT of a running `fovea serve` of that directory; "
                                     "otherwise it is served here, over loopback");
  add_client_tls(*command, flags->tls);
  command->get_option("--tls-ca")->needs(thrift);
  command->add_flag("--in-process", flags->in_process, "Call the engine here, without a socket")
      ->excludes(thrift);
  command->add_option("--threads", flags->threads, "That answer here at once; 0: one a core")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024))
      ->excludes(thrift);
  command
      ->add_option("--connections", flags->connections,
                   "Connections, each with one request at a time")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  command->add_option("--workload", flags->workload.name, "What is asked")
      ->capture_default_str()
      ->check(
          CLI::IsMember(std::vector<std::string>(std::begin(kWorkloads), std::end(kWorkloads))));
  command->add_option("--filter", flags->workload.filter, "Of the workloads filtered and search");
  command->add_option("--query", flags->workload.query,
                      "Of the workload search; otherwise words of the items' texts");
  command
      ->add_option("--rates", flags->rates,
                   "Requests a second, separated by commas; otherwise from 100 up by a quarter "
                   "until p99 passes its bound")
      ->delimiter(',')
      ->check(CLI::Range(0.1, kRateMax));
  command->add_option("--seconds", flags->seconds, "Measured at each rate")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 86'400.0));
  command->add_option("--p99-max-ms", flags->p99_max_ms, "The bound of a rate's p99")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 1e6));
  command->add_option("--seed", flags->workload.seed, "Of arrivals and of what is drawn")
      ->capture_default_str();
  add_device(*command, flags->engine.device, "What ranks here");
  command->add_option("--json", flags->json, "Write all figures")->type_name("FILE");
  command->add_option("--html", flags->html, "Write a page with the latency curve")
      ->type_name("FILE");
  command->callback([flags] { bench(*flags); });
}

}  // namespace fovea::api
