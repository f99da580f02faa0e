// fovea demo: import or generate, learn, measure, serve, ask, in one terminal, then the console in
// a browser. Owns the story; each step is the program's own.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "api/client.h"
#include "api/commands.h"
#include "api/console_service.h"
#include "api/evaluation.h"
#include "api/handler.h"
#include "api/http_server.h"
#include "api/import.h"
#include "api/learn_progress.h"
#include "api/measured_service.h"
#include "api/server.h"
#include "api/visit.h"
#include "engine/engine.h"
#include "engine/evaluate.h"
#include "engine/learning.h"
#include "engine/pipeline.h"
#include "engine/synthetic.h"

namespace fovea::api {
namespace {

namespace fs = std::filesystem;

/// How long the page is served where nobody sits who could end it: scripts go on.
constexpr std::chrono::seconds kPageOfAScript{60};
constexpr int kPageSecondsMax = 86'400;

struct DemoFlags {
  std::optional<fs::path> source;
  std::optional<fs::path> data;
  std::optional<int> page_seconds;  // absent: until it is ended, or kPageOfAScript
};

/// Gone with the object, with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "fovea-demo-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error(
          fmt::format("{} cannot be made; give a directory with --data", name));
    }
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void generate(const fs::path& data, Progress& progress) {
  engine::EngineOptions options;
  options.load_model = false;
  const auto engine = engine::Engine::open(data, options);
  const engine::SyntheticOptions shop;
  const std::vector<engine::Item> items = engine::synthetic_items(shop);
  for (std::size_t begin = 0; begin < items.size(); begin += engine::kItemsPerPutMax) {
    engine->put_items(
        std::span(items).subspan(begin, std::min(engine::kItemsPerPutMax, items.size() - begin)));
  }
  engine->declare_action("view", 1);
  engine->declare_action("purchase", 2);
  std::vector<engine::Event> batch;
  std::size_t users = 0;
  const auto flush = [&] {
    engine->record(batch);
    batch.clear();
    progress.bar("generating", users, shop.users);
  };
  engine::synthetic_events(shop, [&](std::span<const engine::Event> events) {
    if (batch.size() + events.size() > engine::kEventsPerRecordMax) flush();
    batch.insert(batch.end(), events.begin(), events.end());
    ++users;
  });
  flush();
  progress.clear();
}

void import_source(const fs::path& source, const fs::path& data, Progress& progress) {
  ImportOptions options;
  options.data = data;
  options.items = (source / "items.jsonl").string();
  options.events = (source / "events.jsonl").string();
  import_files(options, progress);
}

void learn(const fs::path& data, bool generated, Progress& progress) {
  engine::LearnOptions options;
  if (generated) options.train.epochs_max = 20;  // enough to see, and done within a minute
  options.split = engine::Split::kLeaveOneOut;
  options.train.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  engine::learn(data, options, [&](const engine::LearnProgress& step) {
    show(progress, {"  " + step.stage, step.message, step.done, step.of});
  });
  progress.keep();
}

void measure(engine::Engine& engine, Progress& progress) {
  const engine::Evaluation evaluation = engine::evaluate(
      engine, {}, [&](std::size_t done, std::size_t of) { progress.bar("measuring", done, of); });
  progress.clear();
  std::cout << "\nQuality: every item ranked for each user, whose last behaviour was held out\n"
            << table(evaluation);
  if (evaluation.popular.ndcg_10 > 0) {
    std::cout << fmt::format(
        "The ranked list's ndcg@10 is {:.1f} times that of the most popular items.\n",
        evaluation.ranked.ndcg_10 / evaluation.popular.ndcg_10);
  }
}

/// Somebody whose taste is known but not endlessly: the first in key order with a few dozen
/// behaviours, else whoever has most.
std::string pick_user(storage::Db& db) {
  constexpr std::size_t kEnough = 20;
  constexpr std::size_t kMany = 60;
  std::string user;
  std::size_t most = 0;
  bool found = false;
  db.history().for_each_user([&](std::string_view user_id, std::span<const storage::Event> events) {
    const bool fits = events.size() >= kEnough && events.size() <= kMany;
    if (found || (!fits && events.size() <= most)) return;
    found = fits;
    most = events.size();
    user = user_id;
  });
  return user;
}

/// Well known items, from the most popular down, far enough apart to be of different kinds.
std::vector<std::string> well_known(engine::Engine& engine) {
  constexpr std::size_t kItems = 40;
  constexpr std::size_t kStep = 5;
  const engine::Snapshot snapshot = engine.snapshot();
  const storage::Catalog& catalog = snapshot.db->catalog();
  std::vector<std::string> items;
  const auto order = snapshot.popularity->order();
  for (std::size_t i = 0; i < order.size() && items.size() < kItems; i += kStep) {
    if (catalog.present(order[i])) items.push_back(catalog.item_id(order[i]));
  }
  return items;
}

void go_on(const DemoFlags& flags, const std::string& user) {
  std::cout << "\nGo on:\n";
  std::string data = "shop";
  if (flags.data) {
    data = flags.data->string();
  } else {
    std::cout << fmt::format("  fovea demo --data {}{}\n", data,
                             flags.source ? " --source " + flags.source->string() : "");
  }
  std::cout << fmt::format(
      "  fovea serve --data {}\n"
      "  fovea ask 127.0.0.1:7070 --user {} --explain\n"
      "and with your own items.jsonl and events.jsonl (see fovea import --help):\n"
      "  fovea demo --source DIR\n",
      data, user);
}

/// Absent: until somebody ends it.
std::optional<std::chrono::seconds> page_time(const DemoFlags& flags) {
  if (flags.page_seconds) return std::chrono::seconds{*flags.page_seconds};
  if (::isatty(STDOUT_FILENO) == 1) return std::nullopt;
  return kPageOfAScript;
}

/// Returns when `time` has passed, or at SIGINT or SIGTERM.
void serve_page(engine::Engine& engine, MeasuredService& service, const Server& thrift,
                const fs::path& data, std::optional<std::chrono::seconds> time) {
  namespace asio = boost::asio;
  std::optional<ConsoleService> console;  // outlives the server that asks it
  std::optional<HttpServer> http;
  const auto ports = [&] {
    return std::vector<PortFigures>{
        {"thrift", thrift.connections(), thrift.requests(), thrift.refused()},
        {"http", http->connections(), http->requests(), http->refused()}};
  };
  console.emplace(engine, service, data, ports, ConsoleRights{});
  ServerOptions options;
  options.port = 0;
  http.emplace(
      service, [&] { return service.metrics_text(ports(), {}); }, options,
      Console{ConsoleMode::kOn, &*console});

  asio::io_context io{1};
  asio::signal_set signals(io, SIGINT, SIGTERM);
  asio::steady_timer end(io);
  signals.async_wait([&](const boost::system::error_code&, int) { io.stop(); });
  if (time) {
    end.expires_after(*time);
    end.async_wait([&](const boost::system::error_code&) { io.stop(); });
  }
  http->start();
  std::cout << fmt::format("\nLook at it in a browser ({}):\nhttp://{}/\n",
                           time ? fmt::format("for {} s", time->count()) : "Ctrl-C ends it",
                           http->address())
            << std::flush;
  io.run();
}

void run(const DemoFlags& flags) {
  spdlog::set_level(spdlog::level::warn);  // the story is told on stdout
  std::optional<TemporaryDirectory> temporary;
  if (!flags.data) temporary.emplace();
  const fs::path data = flags.data ? *flags.data : temporary->path();
  Progress progress = Progress::to_stderr();

  if (flags.source) {
    std::cout << fmt::format("Data: {}, imported into {}\n", flags.source->string(), data.string())
              << std::flush;
    import_source(*flags.source, data, progress);
  } else {
    std::cout << fmt::format("Data: a generated bookshop whose readers' tastes drift, in {}\n",
                             data.string())
              << std::flush;
    generate(data, progress);
  }
  std::cout << "Learning, without each user's last two behaviours\n" << std::flush;
  learn(data, !flags.source, progress);

  const auto engine = engine::Engine::open(data);
  measure(*engine, progress);

  Handler handler(*engine);
  MeasuredService service(handler);
  ServerOptions server_options;
  server_options.port = 0;
  Server server(service, server_options);
  server.start();
  Client client({"127.0.0.1", server.port()});
  Status status;
  client->status(status);
  std::cout << fmt::format("\nServing {} items and {} users at {} (Thrift, framed), version {}\n",
                           status.items, status.users, server.address(), status.model_version);
  const std::string user = pick_user(engine->db());
  try {
    if (!user.empty()) show_visit(std::cout, client, user, well_known(*engine));
  } catch (const std::exception& error) {
    throw std::runtime_error(client.explain(error));
  }
  go_on(flags, user);
  const auto time = page_time(flags);
  if (!time || time->count() > 0) serve_page(*engine, service, server, data, time);
}

}  // namespace

void add_demo(CLI::App& app) {
  const auto flags = std::make_shared<DemoFlags>();
  CLI::App* command = app.add_subcommand("demo", "Show everything in a minute");
  command->footer(
      "A catalogue and its users, a trained model's quality, one user's list, one new behaviour,\n"
      "the list reordered, and why; then the page that shows all of it in a browser. On a "
      "generated\n"
      "catalogue, or on your own items.jsonl and events.jsonl.\n\n"
      "Example:\n  fovea demo --data shop");
  command->add_option("--source", flags->source, "Directory with items.jsonl and events.jsonl")
      ->type_name("DIR");
  command
      ->add_option("--data", flags->data,
                   "Data directory to make and keep; a temporary one otherwise")
      ->type_name("DIR");
  command
      ->add_option(
          "--page-seconds", flags->page_seconds,
          "How long the page is served; 0: not at all. Otherwise until Ctrl-C, and for 60 s "
          "where the output is no terminal")
      ->type_name("S")
      ->check(CLI::Range(0, kPageSecondsMax));
  command->callback([flags] { run(*flags); });
}

}  // namespace fovea::api
